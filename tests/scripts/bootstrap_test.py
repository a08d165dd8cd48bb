"""scripts/bootstrap.sh on pretended machines: what it asks apt-get and pip for, and what it says where it cannot."""

import unittest

from machine import ROOT, Machine, is_running_as_root

BOOTSTRAP = ROOT / "scripts/bootstrap.sh"
SHELL = ["bash", "env", "awk", "sort", "grep", "cat", "mkdir", "touch", "rm", "mv", "sed", "flock", "dirname", "readlink"]
TOOLS = ["g++", "make", "cmake", "ninja", "ccache", "ld.lld", "pkg-config", "git", "python3", "as"]

ENVIRONMENT = "python-2.11.0-26.0.1"

# `python3 -m venv FOLDER` and the `pip install` of the Python it makes.
FAKE_PYTHON = r"""
if [[ "$*" == *venv\ * ]]; then
  site="${@: -1}/lib/python3.11/site-packages"
  mkdir -p "${@: -1}/bin" "$site"
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


def cmake_folder_of(torch):
    folder = torch / "share/cmake/Torch"
    folder.mkdir(parents=True)
    (folder / "TorchConfig.cmake").touch()
    return str(folder)


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
            self.assertEqual(root, f"{here.home}/cache/{ENVIRONMENT}/lib/python3.11/site-packages/torch")

    def test_an_interrupted_installation_is_done_again(self):
        with machine() as here:
            (here.home / "no_network").touch()
            self.assertNotEqual(here.run(BOOTSTRAP).returncode, 0)
            torch_in(here.home / "cache" / ENVIRONMENT)  # what pip may have left
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
            environment = {"Torch_DIR": cmake_folder_of(root)}
            self.assertEqual(here.run(BOOTSTRAP, **environment).returncode, 0)
            self.assertEqual(self.pip_calls(here), [])
            self.assertEqual(here.run(BOOTSTRAP, "--print-torch-root", **environment).stdout, f"{root}\n")

    def files_of(self, here):
        """Of the cache, with their contents; but not the lock."""
        return {path: path.read_bytes() for path in (here.home / "cache").rglob("*") if path.is_file() and path.name != "lock"}

    def test_a_torch_dir_that_is_none_is_refused_and_nothing_touched(self):
        with machine() as here:
            self.assertEqual(here.run(BOOTSTRAP, "--tests").returncode, 0)
            before, calls = self.files_of(here), self.pip_calls(here)
            torch = torch_in(here.home / "elsewhere")  # without TorchConfig.cmake
            for path in ("/no/such/share/cmake/Torch", str(here.home), str(torch), str(torch / "share/cmake/Torch"), "Torch"):
                for arguments in ([], ["--tests"], ["--print-torch-root"], ["--print-python"], ["--print-arrow-root"]):
                    with self.subTest(path=path, arguments=arguments):
                        result = here.run(BOOTSTRAP, *arguments, Torch_DIR=path)
                        self.assertEqual((result.returncode, result.stdout), (1, ""))
                        self.assertIn(f"Torch_DIR is '{path}', where there is no TorchConfig.cmake", result.stderr)
            self.assertEqual((self.files_of(here), self.pip_calls(here)), (before, calls))
            self.assertEqual(here.run(BOOTSTRAP, "--print-cache", Torch_DIR="/no/such").returncode, 0)

    def test_what_programs_run_with_stays_whatever_is_installed(self):
        with machine() as here:
            other = here.home / "cache/python"  # of a clone that needs another version
            torch_in(other, version="2.10.0+cu128")
            (other / ".installed-torch-2.10.0").touch()
            before = self.files_of(here)
            (here.home / "no_network").touch()
            self.assertNotEqual(here.run(BOOTSTRAP).returncode, 0)
            self.assertEqual(before, {path: text for path, text in self.files_of(here).items() if path in before})
            (here.home / "no_network").unlink()
            self.assertEqual(here.run(BOOTSTRAP, "--tests").returncode, 0)
            self.assertEqual(before, {path: text for path, text in self.files_of(here).items() if path in before})
            root = here.run(BOOTSTRAP, "--print-torch-root").stdout.strip()
            self.assertEqual(root, f"{here.home}/cache/{ENVIRONMENT}/lib/python3.11/site-packages/torch")

    def test_an_environment_without_versions_in_its_name_is_used_where_it_has_them(self):
        for arrow, used in (("26.0.1", True), (None, True), ("25.0.0", False)):
            with self.subTest(arrow=arrow), machine() as here:
                python = here.home / "cache/python"
                torch_in(python)
                (python / "bin").mkdir()
                (python / "bin/python").symlink_to(here.bin / "python3")
                (python / ".installed-torch-2.11.0").touch()
                if arrow:
                    (python / f".installed-arrow-{arrow}").touch()
                self.assertEqual(here.run(BOOTSTRAP).returncode, 0)
                root = here.run(BOOTSTRAP, "--print-torch-root").stdout.strip()
                self.assertEqual(root.startswith(f"{here.home}/cache/python/"), used, root)

    def test_an_environment_whose_python_is_gone_is_replaced_when_the_new_one_is_whole(self):
        with machine() as here:
            self.assertEqual(here.run(BOOTSTRAP).returncode, 0)
            python = here.home / "cache" / ENVIRONMENT / "bin/python"
            python.unlink()
            version = here.home / "cache" / ENVIRONMENT / "lib/python3.11/site-packages/torch/version.py"
            (here.home / "no_network").touch()
            self.assertNotEqual(here.run(BOOTSTRAP).returncode, 0)
            self.assertTrue(version.exists(), "a program that runs with it finds it")
            (here.home / "no_network").unlink()
            self.assertEqual(here.run(BOOTSTRAP).returncode, 0)
            self.assertTrue(python.exists() and version.exists())
            self.assertEqual(sorted(path.name for path in (here.home / "cache").iterdir()), ["lock", ENVIRONMENT])
            self.assertNotIn(".new", python.read_text(encoding="utf-8"))

    def test_a_torch_without_python_gets_one_for_the_tests(self):
        with machine() as here:
            root = torch_in(here.home / "elsewhere")
            environment = {"Torch_DIR": cmake_folder_of(root)}
            self.assertEqual(here.run(BOOTSTRAP, "--print-python", **environment).stdout, f"{here.bin}/python3\n")
            self.assertEqual(here.run(BOOTSTRAP, "--tests", **environment).returncode, 0)
            self.assertEqual([call for call in self.pip_calls(here) if "torch==" in call], [])
            self.assertEqual(here.run(BOOTSTRAP, "--print-python", **environment).stdout, f"{here.home}/cache/{ENVIRONMENT}/bin/python\n")

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
