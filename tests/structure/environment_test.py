"""Who changes the environment runs alone: other threads, which may be ranks, read it without a lock, and crash in getenv."""

import re
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# Before there are other threads; a process that is only forked; a rank that is a process.
ALLOWED = {"src/app/commands.cpp", "src/app/engine.cpp", "src/app/heap.cpp", "src/app/load_engine.cpp", "src/app/train.cpp",
           "src/comm/nccl_backend.cpp", "src/tools/rank_process.cpp"}
CHANGES = re.compile(r"\b(setenv|unsetenv|putenv|clearenv)\s*\(")


def changing(text):
    return bool(CHANGES.search(re.sub(r"//.*", "", text)))


class EnvironmentTest(unittest.TestCase):
    def test_only_these_change_it(self):
        found = {str(path.relative_to(ROOT)) for pattern in ("src/**/*.cpp", "src/**/*.h", "include/**/*.h")
                 for path in ROOT.glob(pattern) if changing(path.read_text())}
        self.assertEqual(found, ALLOWED)

    def test_a_planted_change_is_found(self):
        self.assertTrue(changing('void f() { ::setenv("A", "1", 0); }'))
        self.assertFalse(changing("// setenv(x) is no call"))


if __name__ == "__main__":
    unittest.main()
