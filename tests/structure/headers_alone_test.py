"""Every header compiles alone: headers_alone_test.py BUILD_FOLDER [HEADER...]

Each public and private header is compiled as the only include of a file, with the flags of a source file of its room (from
compile_commands.json) less the precompiled header. ccache remembers the outcome, so only a changed header costs its seconds.
"""

import concurrent.futures
import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


class Compiler:
    """Compiles a header with the flags its room is compiled with."""

    def __init__(self, build):
        self.build = build
        self.folder = build / "headers_alone"
        self.ccache = shutil.which("ccache")
        self.commands = {}  # a room's folder to the arguments of one of its files
        for entry in json.loads((build / "compile_commands.json").read_text(encoding="utf-8")):
            source = Path(entry["file"])
            if source.is_relative_to(ROOT / "src"):
                folder, words = source.parent.relative_to(ROOT / "src"), shlex.split(entry["command"])
                # A folder of two libraries: the flags of the one that sees more.
                if len(words) > len(self.commands.get(folder, [])):
                    self.commands[folder] = words

    def command_for(self, header):
        """The flags of the folder named like the header, else of its own, else of the first one within, else of its parent."""
        room = header.parent.relative_to("include/titan" if header.parts[0] == "include" else "src")
        for folder in (room / header.stem, room, *room.parents):
            for name in sorted(self.commands):
                if name == folder or folder in name.parents:
                    return self.commands[name]
        raise LookupError(f"{header}: no source file is compiled to take the flags from")

    def arguments(self, header):
        """The command less its own source, output and precompiled header, without optimisation."""
        kept, words = [self.ccache] if self.ccache else [], iter(self.command_for(header))
        for word in words:
            if word in ("-o", "-c", "-include"):
                next(words)
            elif word not in ("-Winvalid-pch", "-fpch-preprocess", "-O2"):
                kept.append(word)
        return [*kept, f"-I{ROOT / 'src'}", "-O0", "-Werror"]

    def complaints(self, header):
        """What the compiler says to a file that includes only `header`; empty if it compiles without a warning."""
        source = (self.folder / header).with_suffix(".cpp")
        source.parent.mkdir(parents=True, exist_ok=True)
        name = header.relative_to("include" if header.parts[0] == "include" else "src")
        text = f'#include "{name}"\n'
        if not source.exists() or source.read_text(encoding="utf-8") != text:
            source.write_text(text, encoding="utf-8")
        command = [*self.arguments(header), "-c", str(source), "-o", str(source.with_suffix(".o"))]
        result = subprocess.run(command, cwd=self.build, capture_output=True, text=True, check=False)
        return result.stderr if result.returncode else ""


def all_headers():
    for folder in ("include/titan", "src"):
        yield from sorted(path.relative_to(ROOT) for path in (ROOT / folder).rglob("*.h"))


def check_that_it_can_fail(compiler, example):
    """A header that needs an include it does not have, compiled like `example`, must be refused."""
    lame = compiler.build / "headers_alone" / "lame.h"
    lame.parent.mkdir(parents=True, exist_ok=True)
    lame.write_text("#pragma once\nstd::vector<int> needs_an_include();\n", encoding="utf-8")
    command = [*compiler.arguments(example), "-c", "-x", "c++", "-include", str(lame), "/dev/null", "-o", "/dev/null"]
    if subprocess.run(command, cwd=compiler.build, capture_output=True, check=False).returncode == 0:
        sys.exit("a header without its includes was accepted: this test cannot fail")


def main():
    compiler = Compiler(Path(sys.argv[1]).resolve())
    headers = [Path(name) for name in sys.argv[2:]] or list(all_headers())
    check_that_it_can_fail(compiler, headers[0])
    failed = 0
    os.environ["CCACHE_BASEDIR"] = str(ROOT)  # as in cmake/Toolchain.cmake
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for header, complaints in zip(headers, pool.map(compiler.complaints, headers)):
            if complaints:
                failed += 1
                print(f"{header} does not compile alone:\n{complaints}")
    print(f"{len(headers)} headers, {failed} failed")
    return failed > 0


if __name__ == "__main__":
    sys.exit(main())
