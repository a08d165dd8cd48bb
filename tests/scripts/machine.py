"""A pretended machine for testing the scripts: its PATH holds only the commands it is given, real ones or fakes that log."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


class Machine:
    def __init__(self, commands):
        self.folder = tempfile.TemporaryDirectory()
        self.home = Path(self.folder.name)
        self.bin = self.home / "bin"
        self.bin.mkdir()
        self.log = self.home / "log"
        for command in commands:
            real = shutil.which(command)
            if real:
                (self.bin / command).symlink_to(real)

    def fake(self, command, body=""):
        """Installs a command that logs its arguments and then runs `body`."""
        path = self.bin / command
        path.unlink(missing_ok=True)
        path.write_text(f'#!/bin/bash\necho "{command} $*" >>"{self.log}"\n{body}\n', encoding="utf-8")
        path.chmod(0o755)

    def logged(self):
        return self.log.read_text(encoding="utf-8").splitlines() if self.log.exists() else []

    def run(self, script, *arguments, cwd=None, **environment):
        kept = {"PATH": str(self.bin), "HOME": str(self.home), "TITAN_CACHE": str(self.home / "cache")}
        return subprocess.run(
            [str(script), *arguments], cwd=cwd or self.home, env={**kept, **environment},
            capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=60, check=False)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.folder.cleanup()


def is_running_as_root():
    return os.geteuid() == 0
