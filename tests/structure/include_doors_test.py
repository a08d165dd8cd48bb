"""Rooms are entered through their doors: checks every #include against the table of docs/design.md.

Prints file:line of each violation. Planted violations prove that each rule can fail.
"""

import fnmatch
import re
import sys
import tempfile
import textwrap
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

INCLUDE = re.compile(r'^\s*#\s*include\s*(<[^>]+>|"[^"]+")')
SUFFIXES = (".h", ".cpp", ".cu", ".cuh")
TORCH = re.compile(r"(ATen|c10|torch|caffe2)/")

# Third-party headers and where they may be included; docs/design.md, "Third-party headers stop at one room".
THIRD_PARTY = {
    r"toml\+\+/": ["src/config/*"],
    r"CLI/": ["src/config/*"],
    r"spdlog/": ["src/tools/*"],
    r"openssl/": ["src/base/*"],
    r"pcre2": ["src/text/tokenizer/*"],
    r"sentencepiece": ["src/text/tokenizer/*"],
    r"nlohmann/json_fwd\.hpp": ["include/*", "src/*", "tests/*"],
    r"nlohmann/": ["src/*", "tests/*"],
    r"(cuda|cublas|cudnn|nvml)\w*(\.|/)|nccl|(ATen|c10)/cuda/": ["src/cuda/*"],
    r"gloo/": ["src/comm/*"],
    r"(arrow|parquet)/": ["src/parquet/*"],
    r"zlib\.h": ["src/text/sources/*", "src/formats/torch_archive/*", "tests/*"],
    r"(zstd|zstd_errors)\.h": ["src/text/sources/*", "tests/*"],
    r"(gtest|gmock)/": ["tests/*"],
}
# Rooms whose private headers are private to a sub-folder.
ROOMS_OF_FOLDERS = {"components", "formats", "models", "text"}
# Headers that cost every file that sees them 10 to 30 seconds of compile time.
UMBRELLAS = {"torch/torch.h", "torch/all.h", "torch/extension.h", "torch/nn.h", "ATen/ATen.h", "ATen/Functions.h"}


class Room:
    """A row of the table: which rooms it may include, those of them that it lists, and which of its files may include LibTorch."""

    def __init__(self, name, may_use, listed, torch):
        self.name = name
        self.may_use = may_use
        self.listed = listed
        self.torch_cell = torch

    def may_include_torch(self, path):
        if self.torch_cell in ("yes", "thin"):
            return True
        if self.torch_cell == "no":
            return False
        only = re.fullmatch(r"only (.*)", self.torch_cell)
        if only:
            return any(fnmatch.fnmatch(path.name, glob) for glob in re.findall(r"`([^`]+)`", only[1]))
        parts = re.fullmatch(r"(.*): yes", self.torch_cell)
        if parts:
            return any(part.strip() in (path.stem, *path.parts) for part in parts[1].split(","))
        raise ValueError(f"docs/design.md: cannot read the torch column of {self.name}: {self.torch_cell!r}")


def read_table(design):
    """The rooms of the table, by name, with `may use` resolved to the set of rooms reachable through it."""
    rooms = {}
    for line in design.splitlines():
        row = re.fullmatch(r"\| `([\w/<>]+)` \|.*\| ([^|]*) \| ([^|]*) \|", line)
        if row:
            name = row[1].removesuffix("/<name>")
            rooms[name] = Room(name, resolve(row[2], rooms), listed_in(row[2], rooms), row[3].strip())
    if not rooms:
        raise ValueError("docs/design.md has no table of rooms")
    return rooms


def resolve(cell, above):
    """The rooms that a `may use` cell stands for, given the rooms of the rows above it."""
    words = [word.strip() for word in cell.split(",")]
    forbidden = {word.removeprefix("not ").strip("`") for word in words if word.startswith("not ")}
    allowed = set()
    for word in words:
        if word in ("everything", "the rooms above"):
            allowed |= set(above) - forbidden
        elif word in above:
            allowed |= {word} | above[word].may_use
        elif word != "-" and not word.startswith("not "):
            raise ValueError(f"docs/design.md: {word!r} is no room above this row")
    return allowed


def listed_in(cell, above):
    """The rooms that a `may use` cell names one by one."""
    return {word.strip() for word in cell.split(",")} & set(above)


class Checker:
    """Collects the violations of one source tree."""

    def __init__(self, root):
        self.root = root
        self.rooms = read_table((root / "docs/design.md").read_text(encoding="utf-8"))
        self.violations = []

    def run(self):
        for path in self.sources("include/titan", "src", "tests"):
            self.check_file(path)
        return self.violations

    def sources(self, *tops):
        return [path.relative_to(self.root) for top in tops
                for path in sorted((self.root / top).rglob("*")) if path.suffix in SUFFIXES]

    def includes_of(self, path):
        """The #includes of a file, each with its line's number."""
        lines = (self.root / path).read_text(encoding="utf-8").splitlines()
        return [(n, match[1]) for n, line in enumerate(lines, 1) if (match := INCLUDE.match(line))]

    def unused(self):
        """The rooms that a row lists and no file of its room includes."""
        included = {name: set() for name in self.rooms}
        for path in self.sources("include/titan", "src"):
            room = self.room_of(path)
            for _, include in self.includes_of(path):
                target = self.room_of(Path("include") / include[1:-1]) if include.startswith('"titan/') else None
                if room and target:
                    included[room.name].add(target.name)
        return [f"{room.name} lists {name}" for room in self.rooms.values() for name in sorted(room.listed - included[room.name])]

    def check_file(self, path):
        room = self.room_of(path)
        if room is None and path.parts[0] != "tests":
            self.report(path, 1, f"{path.parent} is no room of docs/design.md")
            return
        includes = self.includes_of(path)
        for number, include in includes:
            problem = self.problem(path, room, include)
            if problem:
                self.report(path, number, problem)
        names = [include[1:-1] for _, include in includes]
        if any(TORCH.match(name) for name in names) and any(name.startswith("spdlog/") for name in names):
            self.report(path, 1, "spdlog and LibTorch bring different versions of fmt: keep them in different files")

    def problem(self, path, room, include):
        """What is wrong with one #include of `path`, or None."""
        name = include[1:-1]
        if name.startswith("titan/"):
            return self.door_problem(path, room, include)
        if include[0] == '"':
            return self.private_header_problem(path, name)
        if name in UMBRELLAS:
            return f"<{name}> is an umbrella that costs every includer 10 s or more: include what is used"
        if room and path.parts[0] != "tests" and TORCH.match(name) and not room.may_include_torch(path):
            return f"<{name}>: room {room.name} does not include LibTorch here"
        for pattern, places in THIRD_PARTY.items():
            if re.match(pattern, name):
                if not any(fnmatch.fnmatch(str(path), place) for place in places):
                    return f"<{name}> stays in {', '.join(places)}"
                return None
        return None

    def door_problem(self, path, room, include):
        name = include[1:-1]
        if include[0] == "<":
            return f'<{name}>: our own headers are included with "quotes"'
        if not (self.root / "include" / name).is_file():
            return f'"{name}" does not exist'
        target = self.room_of(Path("include") / name)
        if path.parts[0] == "tests" or target is None:
            return None
        if target.name == room.name:
            same_folder = self.folder_of(path) == self.folder_of(Path("include") / name)
            if room.name == "models" and not same_folder:
                return f'"{name}": models do not include each other'
            return None
        if target.name not in room.may_use:
            return f'"{name}": room {room.name} may use {", ".join(sorted(room.may_use)) or "no room"}, not {target.name}'
        return None

    def private_header_problem(self, path, name):
        """A quoted name that is not a door is a private header of the same room, by its path under src/ or tests/."""
        if path.parts[0] == "tests" and (self.root / "tests" / name).is_file():
            return None
        if not (self.root / "src" / name).is_file():
            return f'"{name}" does not exist'
        if path.parts[0] == "include":
            return f'"{name}": a door shows nothing of src/'
        if path.parts[0] == "tests" and path.parts[1] != "unit":
            return None
        if self.folder_of(Path("src") / name) != self.folder_of(path):
            return f'"{name}" is private to src/{self.folder_of(Path("src") / name)}'
        return None

    def folder_of(self, path):
        """The room's folder: `base`, `text/tokenizer`, `models/llama3`; of a file in include/titan, src or tests/unit."""
        parts = path.parts[2 if path.parts[:2] in (("include", "titan"), ("tests", "unit")) else 1 : -1]
        depth = 2 if parts and parts[0] in ROOMS_OF_FOLDERS else 1
        return "/".join(parts[:depth])

    def room_of(self, path):
        return self.rooms.get(self.folder_of(path).split("/")[0])

    def report(self, path, line, problem):
        self.violations.append(f"{path}:{line}: {problem}")


class IncludeDoorsTest(unittest.TestCase):
    def test_the_tree_keeps_to_its_doors(self):
        violations = Checker(ROOT).run()
        self.assertFalse(violations, "\n" + "\n".join(violations))

    def test_the_table_lists_no_room_that_is_not_included(self):
        self.assertEqual(Checker(ROOT).unused(), [])


class PlantedViolationsTest(unittest.TestCase):
    """Each rule is broken once in a tree of its own, and must be reported with file and line."""

    DESIGN = textwrap.dedent("""\
        | room | holds | may use | torch |
        |---|---|---|---|
        | `base` | errors | - | no |
        | `config` | options | base | no |
        | `tools` | logging | base | only `device*.cpp` |
        | `nn` | layers | base | yes |
        | `components` | loss, metrics | the rooms above | loss: yes |
        | `models/<name>` | models | the rooms above, not `components`, not each other | yes |
        | `trainer` | loop | the rooms above, not `models` | yes |
        | `app` | main | everything | thin |
        """)

    def checked(self, files, check):
        """What `check` says of a tree of these files, some empty doors and the table."""
        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder)
            doors = ["base/errors", "config/job_config", "nn/module", "components/loss/loss", "models/llama3/model", "models/qwen3/model"]
            tree = {f"include/titan/{door}.h": "" for door in doors}
            for name, text in {"docs/design.md": self.DESIGN, **tree, **files}.items():
                path = root / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text, encoding="utf-8")
            return check(Checker(root))

    def violations(self, files):
        return self.checked(files, Checker.run)

    def assert_refused(self, path, include, *, extra=None):
        found = self.violations({path: f"// first line\n#include {include}\n", **(extra or {})})
        self.assertTrue(any(line.startswith(f"{path}:") for line in found), f"{path} may include {include}")

    def assert_allowed(self, path, include, *, extra=None):
        self.assertEqual(self.violations({path: f"#include {include}\n", **(extra or {})}), [])

    def test_rooms(self):
        self.assert_refused("src/base/a.cpp", '"titan/config/job_config.h"')
        self.assert_refused("include/titan/config/b.h", '"titan/nn/module.h"')
        self.assert_refused("src/models/llama3/a.cpp", '"titan/components/loss/loss.h"')
        self.assert_refused("src/models/llama3/a.cpp", '"titan/models/qwen3/model.h"')
        self.assert_refused("src/trainer/a.cpp", '"titan/models/llama3/model.h"')
        self.assert_allowed("src/config/a.cpp", '"titan/base/errors.h"')
        self.assert_allowed("src/models/llama3/a.cpp", '"titan/models/llama3/model.h"')
        self.assert_allowed("src/trainer/a.cpp", '"titan/components/loss/loss.h"')
        self.assert_allowed("src/app/a.cpp", '"titan/models/llama3/model.h"')

    def test_a_row_that_lists_too_much(self):
        found = self.checked({"src/config/a.cpp": '#include "titan/base/errors.h"\n'}, Checker.unused)
        self.assertEqual(found, ["tools lists base", "nn lists base"])

    def test_a_folder_without_a_row(self):
        self.assert_refused("src/shed/a.cpp", "<vector>")

    def test_doors_exist_and_are_quoted(self):
        self.assert_refused("src/nn/a.cpp", '"titan/base/nothing.h"')
        self.assert_refused("src/nn/a.cpp", "<titan/base/errors.h>")

    def test_private_headers(self):
        private = {"src/base/private.h": ""}
        self.assert_refused("src/nn/a.cpp", '"base/private.h"', extra=private)
        self.assert_refused("include/titan/base/a.h", '"base/private.h"', extra=private)
        self.assert_refused("src/nn/a.cpp", '"nothing.h"')
        self.assert_allowed("src/base/a.cpp", '"base/private.h"', extra=private)
        self.assert_refused("src/base/a.cpp", '"private.h"', extra=private)
        self.assert_allowed("tests/unit/base/a.cpp", '"base/private.h"', extra=private)
        self.assert_allowed("tests/support/a.h", '"base/private.h"', extra=private)
        self.assert_refused("tests/unit/nn/a.cpp", '"base/private.h"', extra=private)

    def test_private_headers_of_a_sub_folder(self):
        private = {"src/components/loss/private.h": ""}
        self.assert_allowed("src/components/loss/a.cpp", '"components/loss/private.h"', extra=private)
        self.assert_refused("src/components/metrics/a.cpp", '"components/loss/private.h"', extra=private)

    def test_torch_stays_in_its_rooms(self):
        self.assert_refused("src/config/a.cpp", "<ATen/core/Tensor.h>")
        self.assert_refused("src/tools/logging.cpp", "<c10/core/Device.h>")
        self.assert_refused("src/components/metrics/a.cpp", "<ATen/core/Tensor.h>")
        self.assert_allowed("src/tools/device_facts.cpp", "<c10/core/Device.h>")
        self.assert_allowed("src/components/loss/a.cpp", "<ATen/core/Tensor.h>")

    def test_umbrellas(self):
        self.assert_refused("src/nn/a.cpp", "<torch/torch.h>")
        self.assert_refused("tests/unit/nn/a.cpp", "<ATen/ATen.h>")

    def test_third_party_headers_stay_in_their_room(self):
        self.assert_refused("src/nn/a.cpp", "<toml++/toml.h>")
        self.assert_refused("include/titan/config/a.h", "<toml++/toml.h>")
        self.assert_refused("src/config/a.cpp", "<spdlog/spdlog.h>")
        self.assert_refused("include/titan/base/a.h", "<nlohmann/json.hpp>")
        self.assert_refused("src/nn/a.cpp", "<gtest/gtest.h>")
        self.assert_refused("src/nn/a.cpp", "<cuda_runtime_api.h>")
        self.assert_allowed("src/config/a.cpp", "<toml++/toml.h>")

    def test_spdlog_and_torch_in_one_file(self):
        self.assert_refused("src/tools/device.cpp", "<spdlog/spdlog.h>\n#include <c10/core/Device.h>")


if __name__ == "__main__":
    sys.exit(unittest.main())
