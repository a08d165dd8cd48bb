"""Saves and loads of one state: ours, PyTorch's and what `dd` does with as many bytes, in turn on one disk.

usage: checkpoint_bench.py CHECKPOINT_BENCH [--folder DIR] [--mib N] [--rounds N]

CHECKPOINT_BENCH is our program (tests/bench/checkpoint_bench.cpp); Python is one with torch. Disks and their neighbours are
moody: rounds alternate, and medians are told beside all values. Each saves twice and the second counts, because memory that
a virtual machine touches for the first time is slow. `dd` writes our own file's bytes, from memory; before every
read the file leaves the page cache.
"""

import argparse
import re
import shutil
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

import torch
import torch.distributed.checkpoint as dcp


def run(*arguments):
    return subprocess.run([str(a) for a in arguments], capture_output=True, text=True, check=True)


def seconds_of(action):
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def state_of(folder):
    metadata = dcp.FileSystemReader(folder).read_metadata().state_dict_metadata
    return {key: torch.zeros(m.size) for key, m in metadata.items() if hasattr(m, "size")}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("program")
    parser.add_argument("--folder")
    parser.add_argument("--mib", type=int, default=2048)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(dir=options.folder))
    times = {name: [] for name in ("dd write", "our save", "python save", "dd read", "our load", "python load")}
    try:
        measure(options, folder, times)
    finally:
        shutil.rmtree(folder)
    medians = {name: statistics.median(values) for name, values in times.items()}
    for name, values in times.items():
        rate = options.mib / 1024 / medians[name]
        print(f"{name:12} {medians[name]:7.3f} s {rate:6.2f} GiB/s   {' '.join(f'{v:.2f}' for v in values)}")
    for ours, others in (("our save", ("dd write", "python save")), ("our load", ("dd read", "python load"))):
        for other in others:
            print(f"{ours}: {medians[other] / medians[ours]:.2f} x the speed of {other}")


def forget(*paths):
    """Has the kernel drop what it holds of these files."""
    for path in paths:
        for file in path.rglob("*") if path.is_dir() else [path]:
            run("dd", f"if={file}", "iflag=nocache", "count=0")


def measure(options, folder, times):
    ours, theirs, plain = folder / "ours", folder / "theirs", folder / "plain"
    run(options.program, "save", ours, options.mib, 1)
    state = state_of(ours)
    dcp.load(state, checkpoint_id=ours, no_dist=True)
    with tempfile.NamedTemporaryFile(dir="/dev/shm") as source:
        shutil.copyfile(ours / "__0_0.distcp", source.name)
        write = ("dd", f"if={source.name}", f"of={plain}", "bs=4M", "conv=fsync")
        saves = [
            ("dd write", plain, lambda: seconds_of(lambda: run(*write))),
            ("our save", ours, lambda: float(run(options.program, "save", ours, options.mib, 2).stdout.split()[-1])),
            ("python save", theirs, lambda: seconds_of(lambda: dcp.save(state, checkpoint_id=theirs, no_dist=True))),
        ]
        for turn in range(options.rounds):
            # Who writes after another's write finds a disk that is still busy with it.
            for name, path, save in saves[turn % 3 :] + saves[: turn % 3]:
                shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
                run("sync")
                if name != "our save":  # which saves twice by itself
                    save()
                times[name].append(save())
            forget(plain, ours, theirs)
            times["dd read"].append(seconds_of(lambda: run("dd", f"if={plain}", "of=/dev/null", "bs=4M")))
            lines = run(options.program, "load", ours, 1).stdout.splitlines()
            times["our load"].append(float(lines[0]))
            times["python load"].append(seconds_of(lambda: dcp.load(state, checkpoint_id=theirs, no_dist=True)))
    size, peak = map(int, re.match(r"state (\d+) peak (\d+)", lines[-1]).groups())
    print(f"peak memory of a load: {peak / size:.3f} of the state")


if __name__ == "__main__":
    main()
