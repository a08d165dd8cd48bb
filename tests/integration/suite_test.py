"""The integration suites (tests/integration/suite), a part of them in each run of the tests.

Which part follows from the date, so that all of them have run after some days; TITAN_SUITE_PART=I/N chooses one, TITAN_SUITE=full runs them
whole, as scripts/nightly.sh does.
"""
import datetime
import os
import shutil
import subprocess
import sys
import unittest

from titan import ROOT, TitanTest

RUNNER = os.path.join(ROOT, "tests/integration/suite/run_suite.py")
LAYOUTS = os.path.join(ROOT, "tests/integration/layouts")


def part(count):
    """Today's of so many parts."""
    if os.environ.get("TITAN_SUITE") == "full":
        return "1/1"
    return os.environ.get("TITAN_SUITE_PART", f"{datetime.date.today().toordinal() % count + 1}/{count}")


class SuiteCase(TitanTest):
    def suite(self, *args, exit_status=0):
        result = subprocess.run([sys.executable, "-B", RUNNER, self.path("out"), *args], cwd=ROOT, text=True, capture_output=True)
        self.assertEqual(result.returncode, exit_status, result.stdout + result.stderr)
        return result.stdout + result.stderr


class SuiteTest(SuiteCase):
    def test_features(self):
        self.suite("--part", part(24))

    def test_composition(self):
        self.suite("--test_suite=composition", "--part", part(12))

    def test_layouts(self):
        self.suite("--test_suite=layouts", "--part", part(40))

    def test_layouts_on_processes(self):
        self.suite("--test_suite=layouts", "--comm=gloo", "--ngpu=4", "--part", part(60))

    def test_the_layouts_are_all_products_of_the_axes(self):
        generated = subprocess.run([sys.executable, "-B", os.path.join(LAYOUTS, "generate.py")], check=True, capture_output=True, text=True)
        with open(os.path.join(LAYOUTS, "layouts.toml")) as file:
            self.assertEqual(file.read(), generated.stdout, "generate.py > layouts.toml writes it anew")

    def test_what_is_not_built_yet_is_listed(self):
        for suite in ("ft", "flux"):
            with self.subTest(suite):
                output = self.suite(f"--test_suite={suite}")
                self.assertIn(f"{suite}: of 1 tests 1 not available", output)
                with open(self.path("out/junit.xml")) as file:
                    self.assertIn('skipped="1"', file.read())
                shutil.rmtree(self.path("out"))


SUITE = """
config = "%s"
args = "--model.flavor=tiny --training.local_batch_size=2"
steps = 2
[[test]]
name = "one"
ngpu = 1
holds = ["ends at step 2"]
"""


class RunnerTest(SuiteCase):
    """What a suite says that is wrong is found: a sentence that does not hold fails its test."""

    def own(self, entry, **options):
        config = os.path.join(ROOT, "tests/integration/suite/base_config_cpu.toml")
        return self.suite("--test_suite", self.write("own.toml", SUITE % config + entry), **options)

    def test_a_sentence_that_does_not_hold_fails(self):
        for sentence, why in (
                ("equals one within 1e-6", "step 1: loss "), ("norms equal one within 1e-9", "step 1: grad_norm "),
                ("same bits as one", "step 1: loss "), ("resumes at step 3", "it does not"), ("ends at step 7", "the last step is 2"),
                ("writes nothing.json", "it is not there, or empty"), ('says "Bonjour"', "it does not"),
                ('refuses with "Training"', "exit status 0, not 2")):
            with self.subTest(sentence=sentence):
                output = self.own(f"[[test]]\nname = \"two\"\nngpu = 1\nargs = \"--debug.seed=7\"\nholds = ['{sentence}']", exit_status=1)
                self.assertIn(f"FAILED: {sentence}: {why}", output)
                self.assertIn("of 2 tests 1 passed, 1 FAILED", output)
                self.tearDown()
                self.doCleanups()
                self.setUp()

    def test_a_failing_run_fails(self):
        output = self.own("[[test]]\nname = \"two\"\nngpu = 1\nargs = \"--training.dataset_path=nowhere.u16\"", exit_status=1)
        self.assertIn("FAILED: exit status", output)

    def test_what_is_not_meant_is_refused(self):
        for entry, message in (("[[test]]\nname = \"two\"\nholds = [\"equals one\"]", "not understood: equals one"),
                               ("[[test]]\nname = \"two\"\nhold = []", "unknown: hold; known: "),
                               ("[[test]]\nname = \"one\"", "two tests are called 'one'"),
                               ("[[test]]\nname = \"two\"\nholds = [\"equals ones within 1\"]", "there is no test 'ones'"),
                               ("[[test]]\nname = \"two\"\nholds = [\"equals two within 1\"]", "is a circle of comparisons")):
            with self.subTest(message=message):
                self.assertIn(message, self.own(entry, exit_status=1))
        self.assertIn("there is no test 'nobody'", self.suite("--test_name=nobody", exit_status=1))
        self.assertIn("there is no suite 'nobody'", self.suite("--test_suite=nobody", exit_status=1))
        self.write("out/old.txt", "")
        self.assertIn("Please provide an empty output directory.", self.suite(exit_status=1))


if __name__ == "__main__":
    unittest.main()
