"""Every header compiles alone: headers_alone_test.py BUILD_FOLDER [HEADER...]

Each public and private header is compiled as the only include of a file, with the flags of a source file of its room (from
compile_commands.json). What costs is LibTorch and the standard library, not our text, so they are compiled ahead: a header is given a
precompiled prefix of those that it includes itself, directly or through our other headers. Every name that the prefix brings is
one that the header brings too, so nothing that is missing goes unseen. ccache, where it is installed, remembers the outcome.
"""

import concurrent.futures
import hashlib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

# What is worth compiling ahead: a header takes the first of which it includes everything.
PREFIXES = (
    ("ATen/core/Tensor.h", "ATen/core/Generator.h", "c10/core/Device.h", "chrono", "deque", "map", "variant"),
    ("ATen/core/dispatch/Dispatcher.h",),
    ("ATen/core/Tensor.h",),
    ("nlohmann/json.hpp",),
    ("functional", "memory", "optional", "string", "vector"),
    ("functional", "string"),
    ("optional", "string", "vector"),
    ("string",),
)

INCLUDE = re.compile(r'\s*#\s*include\s*[<"]([^>"]+)[>"]')


class Includes:
    """What headers include, read from their text."""

    def __init__(self, folders):
        self.folders = folders
        self.known = {}

    def of(self, header):
        """The headers of others that `header` includes, directly or through ours; nothing where the text does not tell."""
        if header not in self.known:
            self.known[header] = set()  # of a circle
            self.known[header] = self.read(header)
        return self.known[header]

    def read(self, header):
        lines = header.read_text(encoding="utf-8").splitlines()
        included = [(number, match[1]) for number, line in enumerate(lines) if (match := INCLUDE.match(line))]
        last = included[-1][0] if included else 0
        before = (line.strip() for line in lines[:last])
        if any(line and not line.startswith(("#include", "#pragma once", "//")) for line in before):
            return set()  # a name used above its #include, or an #include on a condition
        found = set()
        for _, name in included:
            ours = next((folder / name for folder in (header.parent, *self.folders) if (folder / name).exists()), None)
            found |= self.of(ours) if ours else {name}
        return found


class Compiler:
    """Compiles a header with the flags its room is compiled with."""

    def __init__(self, build):
        self.build = build
        self.folder = build / "headers_alone"
        self.includes = Includes([ROOT / "include", ROOT / "src"])
        self.ccache = shutil.which("ccache")
        self.commands = {}  # a room's folder to the arguments of one of its files
        for entry in json.loads((build / "compile_commands.json").read_text(encoding="utf-8")):
            source = Path(entry["file"])
            if source.is_relative_to(ROOT / "src"):
                folder, words = source.parent.relative_to(ROOT / "src"), shlex.split(entry["command"])
                # A folder of two libraries: the flags of the one that sees more.
                if self.sees(words) > self.sees(self.commands.get(folder, [])):
                    self.commands[folder] = words

    @staticmethod
    def sees(words):
        return sum(word.startswith(("-I", "-isystem")) for word in words)

    def command_for(self, header):
        """The flags of the folder named like the header, else of its own, else of the first one within, else of its parent."""
        room = header.parent.relative_to("include/titan" if header.parts[0] == "include" else "src")
        for folder in (room / header.stem, room, *room.parents):
            for name in sorted(self.commands):
                if name == folder or folder in name.parents:
                    return self.commands[name]
        raise LookupError(f"{header}: no source file is compiled to take the flags from")

    def arguments(self, header):
        """The command less its launcher, source, output and precompiled header, without optimisation."""
        words = iter(self.command_for(header))
        kept = [self.ccache] if self.ccache else []
        kept.append(next(word for word in words if re.search(r"(\+\+|cc|clang)(-\d+)?$", word) and "ccache" not in word))
        for word in words:
            if word in ("-o", "-c", "-include"):
                next(words)
            elif word not in ("-Winvalid-pch", "-O2"):
                kept.append(word)
        # A prefix that does not suit the flags is read as text: slower, and as right.
        return [*kept, f"-I{ROOT / 'src'}", "-O0", "-Werror", "-Winvalid-pch", "-Wno-error=invalid-pch"]

    def prefix_of(self, path):
        included = self.includes.of(path)
        return next((prefix for prefix in PREFIXES if included.issuperset(prefix)), None)

    def prefix_file(self, prefix):
        return self.folder / ("-".join(Path(name).stem for name in prefix) + ".h")

    def prefixes(self, tasks):
        """The prefixes that `tasks` take, each with the fewest flags of those who take it, which suit all of them."""
        takers = {}
        for path, _, arguments in tasks:
            if prefix := self.prefix_of(path):
                takers.setdefault(prefix, []).append(arguments)
        return {prefix: min(arguments, key=len) for prefix, arguments in takers.items()}

    def compile_prefix(self, prefix, arguments):
        path = self.prefix_file(prefix)
        write_where_it_differs(path, "".join(f"#include <{name}>\n" for name in prefix))
        self.run([*arguments, "-x", "c++-header", "-c", str(path), "-o", f"{path}.gch"], check=True)
        # ccache would read a hundred megabytes anew for every header.
        Path(f"{path}.gch.sum").write_text(hashlib.sha256(Path(f"{path}.gch").read_bytes()).hexdigest(), encoding="utf-8")

    def task(self, header):
        """A header's path, the name it is included by, and its flags."""
        return ROOT / header, header.relative_to("include" if header.parts[0] == "include" else "src"), self.arguments(header)

    def planted_tasks(self, example):
        for name, (_, text) in PLANTED.items():
            path = self.folder / name
            write_where_it_differs(path, "#pragma once\n" + text)
            yield path, path, self.arguments(example)

    def complaints(self, task):
        """What the compiler says to a file that includes only this header; empty if it compiles without a warning."""
        path, name, arguments = task
        source = (self.folder / name).with_suffix(".cpp")
        write_where_it_differs(source, f'#include "{name}"\n')
        prefix = self.prefix_of(path)
        ahead = ["-include", str(self.prefix_file(prefix))] if prefix else []
        result = self.run([*arguments, *ahead, "-c", str(source), "-o", str(source.with_suffix(".o"))])
        return result.stderr if result.returncode else ""

    def run(self, command, check=False):
        return subprocess.run(command, cwd=self.build, capture_output=True, text=True, check=check)


def write_where_it_differs(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")


def all_headers():
    for folder in ("include/titan", "src"):
        yield from sorted(path.relative_to(ROOT) for path in (ROOT / folder).rglob("*.h"))


# Headers that lack something which another header, a prefix or a later line has, and one that lacks nothing: it is whether they pass.
PLANTED = {
    "planted/nothing.h": (False, "std::vector<int> needs_vector();\n"),
    "planted/similar.h": (False, "#include <string>\nstd::function<std::string()> needs_functional();\n"),
    "planted/order.h": (False, "std::string needs_what_follows();\n#include <string>\n"),
    "planted/condition.h": (False, "#ifdef NEVER\n#include <string>\n#endif\nstd::string needs_it_always();\n"),
    "planted/whole.h": (True, "#include <functional>\n#include <string>\nstd::function<std::string()> needs_both();\n"),
}


def main():
    compiler = Compiler(Path(sys.argv[1]).resolve())
    headers = [Path(name) for name in sys.argv[2:]] or list(all_headers())
    # As in cmake/Toolchain.cmake.
    os.environ["CCACHE_BASEDIR"] = str(ROOT)
    os.environ["CCACHE_PCH_EXTSUM"] = "1"
    os.environ["CCACHE_SLOPPINESS"] = "pch_defines,time_macros,include_file_mtime,include_file_ctime"
    planted = list(compiler.planted_tasks(headers[0]))
    tasks = [compiler.task(header) for header in headers]
    failed = 0
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(lambda made: compiler.compile_prefix(*made), compiler.prefixes(planted + tasks).items()))
        for (path, _, _), (passes, _), complaints in zip(planted, PLANTED.values(), pool.map(compiler.complaints, planted)):
            if passes == bool(complaints):
                sys.exit(f"{path} was {'refused' if passes else 'accepted'}: this test is worth nothing\n{complaints}")
        for header, complaints in zip(headers, pool.map(compiler.complaints, tasks)):
            if complaints:
                failed += 1
                print(f"{header} does not compile alone:\n{complaints}")
    print(f"{len(headers)} headers, {failed} failed")
    return failed > 0


if __name__ == "__main__":
    sys.exit(main())
