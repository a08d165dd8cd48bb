"""run_integration_tests.sh: what it hands to the runner, from wherever it is called. Bootstrap and build are pretended."""
import shutil
import sys
import unittest

from machine import ROOT, Machine

COMMANDS = ["bash", "env", "dirname", "readlink", "realpath"]
RUNNER = "import os, sys\nprint(os.getcwd(), os.environ['TITAN_TRAIN'], *sys.argv[1:], sep='\\n')\nsys.exit(3)\n"


class RunIntegrationTests(unittest.TestCase):
    def test_arguments_and_paths_are_the_callers(self):
        machine = Machine(COMMANDS)
        self.addCleanup(machine.folder.cleanup)
        clone = machine.home / "a clone"
        for name, text in {
            "scripts/bootstrap.sh": f'#!/bin/bash\n[[ "$1" == --print-python ]] && echo "{sys.executable}"\nexit 0\n',
            "scripts/build.sh": '#!/bin/bash\necho "building $* in $PWD" >&2\n',
            "build/release/titan_train": "",
            "tests/integration/suite/run_suite.py": RUNNER,
        }.items():
            path = clone / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            path.chmod(0o755)
        shutil.copy(ROOT / "scripts/run_integration_tests.sh", clone / "scripts")
        elsewhere = machine.home / "elsewhere"
        elsewhere.mkdir()
        result = machine.run(clone / "scripts/run_integration_tests.sh", "out", "--test_name", "two words", cwd=elsewhere)
        self.assertEqual(result.returncode, 3, "the runner's")
        self.assertEqual(result.stdout.splitlines(), [str(elsewhere), str(clone / "build/release/titan_train"), "out", "--test_name", "two words"])
        self.assertIn(f"building release titan_train in {clone}", result.stderr)


if __name__ == "__main__":
    unittest.main()
