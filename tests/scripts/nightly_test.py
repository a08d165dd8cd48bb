"""nightly.sh: which parts it runs, and what it says of them. Bootstrap, build and what the parts run are pretended."""
import shutil
import sys
import unittest

from machine import ROOT, Machine

COMMANDS = ["bash", "cat", "dirname", "env", "mkdir", "readlink", "realpath"]
RUNNER = "import os, sys\nprint(os.environ['TITAN_TRAIN'], *sys.argv[1:], sep='\\n')\nsys.exit('h100' in sys.argv)\n"
MATRIX = "import os, unittest\nclass T(unittest.TestCase):\n  def test_it(self):\n    self.assertEqual(os.environ['TITAN_CHECKPOINT_MATRIX'], 'full')\n"


class Nightly(unittest.TestCase):
    def setUp(self):
        self.machine = Machine(COMMANDS)
        self.addCleanup(self.machine.folder.cleanup)
        self.clone = self.machine.home / "a clone"
        for name, text in {
            "scripts/bootstrap.sh": f'#!/bin/bash\n[[ "$1" == --print-python ]] && echo "{sys.executable}"\nexit 0\n',
            "scripts/build.sh": '#!/bin/bash\necho "building $*" >&2\n',
            "build/release/tests/deepseek_v3_test": '#!/bin/bash\necho "$TITAN_EXPERT_MATRIX"; exit 1\n',
            "build/release/tests/expert_step_test": '#!/bin/bash\necho "steps of experts"\n',
            "tests/integration/suite/run_suite.py": RUNNER,
            "tests/integration/checkpoint_matrix_test.py": MATRIX,
        }.items():
            path = self.clone / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            path.chmod(0o755)
        shutil.copy(ROOT / "scripts/nightly.sh", self.clone / "scripts")

    def nightly(self, *parts):
        """(exit status, {part: outcome} of the table at the end)"""
        result = self.machine.run(self.clone / "scripts/nightly.sh", "out", *parts)
        table = result.stdout.split("\n\n")[-1].splitlines()
        return result.returncode, {line.split()[0]: line.split()[-1] for line in table}

    def log(self, part):
        return (self.machine.home / "out" / f"{part}.log").read_text(encoding="utf-8").splitlines()

    def test_parts_that_are_named(self):
        self.assertEqual(self.nightly("ft", "features_gloo", "checkpoints"),
                         (0, {"ft": "passed", "features_gloo": "passed", "checkpoints": "passed"}))
        out = self.machine.home / "out"
        self.assertEqual(self.log("features_gloo"),
                         [str(self.clone / "build/release/titan_train"), str(out / "features_gloo"), "--test_suite", "features", "--comm", "gloo"])

    def test_what_fails_is_named_and_stops_nothing(self):
        self.assertEqual(self.nightly("h100", "experts", "nothing", "ft"),
                         (1, {"h100": "FAILED", "experts": "FAILED", "nothing": "FAILED", "ft": "passed"}))
        self.assertEqual(self.log("experts")[:2], ["full", "steps of experts"])
        self.assertEqual(self.log("nothing"), ["nightly: there is no part 'nothing'"])

    def test_all_of_them(self):
        _, outcomes = self.nightly()
        self.assertEqual([part for part, outcome in outcomes.items() if outcome == "passed"],
                         ["features", "models", "flux", "ft", "composition", "layouts", "features_gloo", "models_gloo", "layouts_gloo",
                          "checkpoints"])
        self.assertEqual(list(outcomes)[10:], ["pipelines", "tensors", "checkpoints", "contexts", "experts", "precisions"])


if __name__ == "__main__":
    unittest.main()
