"""scripts/bootstrap.sh on pretended machines: what it asks apt-get and pip for, and what it says where it cannot."""

import unittest

from machine import ROOT, Machine, is_running_as_root

BOOTSTRAP = ROOT / "scripts/bootstrap.sh"
SHELL = ["bash", "env", "awk", "sort", "grep", "cat", "mkdir", "touch", "rm", "flock", "dirname", "readlink"]
TOOLS = ["g++", "make", "cmake", "ninja", "ccache", "ld.lld", "pkg-config", "git", "python3", "as"]

# `python3 -m venv --clear FOLDER` and the `pip install` of the Python it makes.
FAKE_PYTHON = r"""
if [[ "$*" == *venv\ --clear* ]]; then
  site="${@: -1}/lib/python3.11/site-packages"
  rm -rf "${@: -1}"; mkdir -p "${@: -1}/bin" "$site"
  {
    echo '#!/bin/bash'
    echo "echo \"pip \$*\" >>\"$HOME/log\""
    echo '[[ ! -e "$HOME/no_network" ]] || exit 1'
    echo "mkdir -p $site/torch; echo \"__version__ = '2.11.0+cu130'\" >$site/torch/version.py"
  } >"${@: -1}/bin/python"
  chmod +x "${@: -1}/bin/python"
fi
"""


def machine(*, without=()):
    new = Machine(command for command in [*SHELL, *TOOLS, "chmod"] if command not in without)
    new.fake("python3", FAKE_PYTHON)
    return new


def torch_in(prefix, version="2.11.0+cu130"):
    root = prefix / "lib/python3.11/site-packages/torch"
    root.mkdir(parents=True)
    (root / "version.py").write_text(f"__version__ = '{version}'\n", encoding="utf-8")
    return root


class SystemPackages(unittest.TestCase):
    def test_no_apt_lists_what_is_missing(self):
        with machine(without=["cmake", "ninja"]) as here:
            result = here.run(BOOTSTRAP)
            self.assertEqual(result.returncode, 1)
            self.assertRegex(result.stderr, r"(?m)^  cmake +cmake +configuring the build$")
            self.assertRegex(result.stderr, r"(?m)^  ninja +ninja-build +running the build$")
            self.assertNotIn("ccache", result.stderr)
            self.assertFalse([line for line in here.logged() if line.startswith("pip")])

    def test_no_compiler_lists_every_header_too(self):
        with machine(without=["g++"]) as here:
            result = here.run(BOOTSTRAP)
            self.assertEqual(result.returncode, 1)
            self.assertRegex(result.stderr, r"(?m)^  g\+\+ +g\+\+ +compiling$")
            self.assertIn("libtomlplusplus-dev", result.stderr)

    def test_apt_installs_only_what_is_missing(self):
        with machine(without=["cmake"]) as here:
            here.fake("apt-get")
            here.fake("sudo", '[[ "$2" == true ]] || "${@:2}"')
            result = here.run(BOOTSTRAP)
            self.assertEqual(result.returncode, 0, result.stderr)
            apt = [line for line in here.logged() if line.startswith("apt-get")]
            self.assertEqual(apt, ["apt-get -q update", "apt-get -qy install --no-install-recommends --no-upgrade cmake"])

    @unittest.skipIf(is_running_as_root(), "root needs no sudo")
    def test_without_root_the_command_to_run_is_printed(self):
        with machine(without=["cmake"]) as here:
            here.fake("apt-get")
            here.fake("sudo", "exit 1")
            result = here.run(BOOTSTRAP)
            self.assertEqual(result.returncode, 1)
            self.assertIn("sudo apt-get install cmake\n", result.stderr)

    def test_an_old_compiler_is_refused(self):
        with machine() as here:
            here.fake("g++-old", 'echo 11')
            result = here.run(BOOTSTRAP, CXX="g++-old")
            self.assertEqual(result.returncode, 1)
            self.assertIn("found 11", result.stderr)


class Torch(unittest.TestCase):
    def pip_calls(self, here):
        return [line for line in here.logged() if line.startswith("pip")]

    def test_installed_once(self):
        with machine() as here:
            self.assertEqual(here.run(BOOTSTRAP, "--tests").returncode, 0)
            calls = self.pip_calls(here)
            self.assertEqual(len(calls), 3)
            for call, package in zip(calls, ("torch==2.11.0", "pyarrow==", "tokenizers")):
                self.assertIn(package, call)
            self.assertEqual(here.run(BOOTSTRAP, "--tests").returncode, 0)
            self.assertEqual(len(self.pip_calls(here)), 3, "the second call installs nothing")
            root = here.run(BOOTSTRAP, "--print-torch-root").stdout.strip()
            self.assertEqual(root, f"{here.home}/cache/python/lib/python3.11/site-packages/torch")

    def test_an_interrupted_installation_is_done_again(self):
        with machine() as here:
            (here.home / "no_network").touch()
            self.assertNotEqual(here.run(BOOTSTRAP).returncode, 0)
            torch_in(here.home / "cache/python")  # what pip may have left
            self.assertNotEqual(here.run(BOOTSTRAP, "--print-torch-root").returncode, 0)
            (here.home / "no_network").unlink()
            self.assertEqual(here.run(BOOTSTRAP).returncode, 0)
            self.assertEqual(here.run(BOOTSTRAP, "--print-torch-root").returncode, 0)

    def test_an_active_environment_is_used(self):
        for variable in ("VIRTUAL_ENV", "CONDA_PREFIX"):
            with self.subTest(variable), machine() as here:
                root = torch_in(here.home / "environment")
                environment = {variable: str(here.home / "environment")}
                self.assertEqual(here.run(BOOTSTRAP, **environment).returncode, 0)
                self.assertEqual(self.pip_calls(here), [])
                self.assertEqual(here.run(BOOTSTRAP, "--print-torch-root", **environment).stdout, f"{root}\n")

    def test_an_active_environment_with_another_torch_is_not(self):
        with machine() as here:
            torch_in(here.home / "environment", version="2.10.0+cu128")
            self.assertEqual(here.run(BOOTSTRAP, VIRTUAL_ENV=str(here.home / "environment")).returncode, 0)
            self.assertIn("torch==2.11.0", self.pip_calls(here)[0])

    def test_torch_dir_is_used(self):
        with machine() as here:
            root = torch_in(here.home / "elsewhere")
            (root / "share/cmake/Torch").mkdir(parents=True)
            environment = {"Torch_DIR": str(root / "share/cmake/Torch")}
            self.assertEqual(here.run(BOOTSTRAP, **environment).returncode, 0)
            self.assertEqual(self.pip_calls(here), [])
            self.assertEqual(here.run(BOOTSTRAP, "--print-torch-root", **environment).stdout, f"{root}\n")


    def test_a_torch_without_python_gets_one_for_the_tests(self):
        with machine() as here:
            root = torch_in(here.home / "elsewhere")
            (root / "share/cmake/Torch").mkdir(parents=True)
            environment = {"Torch_DIR": str(root / "share/cmake/Torch")}
            self.assertEqual(here.run(BOOTSTRAP, "--print-python", **environment).stdout, f"{here.bin}/python3\n")
            self.assertEqual(here.run(BOOTSTRAP, "--tests", **environment).returncode, 0)
            self.assertEqual([call for call in self.pip_calls(here) if "torch==" in call], [])
            self.assertEqual(here.run(BOOTSTRAP, "--print-python", **environment).stdout, f"{here.home}/cache/python/bin/python\n")

    def test_an_active_environment_lacking_test_packages_is_left_alone(self):
        with machine() as here:
            torch_in(here.home / "environment")
            here.fake("no-packages", "exit 1")
            (here.home / "environment/bin").mkdir()
            (here.home / "environment/bin/python").symlink_to(here.bin / "no-packages")
            result = here.run(BOOTSTRAP, "--tests", VIRTUAL_ENV=str(here.home / "environment"))
            self.assertEqual(result.returncode, 1)
            self.assertIn("the tests need numpy tokenizers", result.stderr)
            self.assertEqual(self.pip_calls(here), [])


class Arguments(unittest.TestCase):
    def test_unknown_argument(self):
        with machine() as here:
            result = here.run(BOOTSTRAP, "--test")
            self.assertEqual(result.returncode, 2)
            self.assertIn("usage:", result.stderr)


if __name__ == "__main__":
    unittest.main()
