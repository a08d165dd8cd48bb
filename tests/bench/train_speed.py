#!/usr/bin/env python3
"""Speed of whole runs on this machine: tokens/s, time to the first step, peak memory.

  train_speed.py build/release/titan_train [--flavor debugmodel] [--seq-len 2048] [--batch 1] [--threads 2] [--steps 14] [--repeats 3]
                 [more titan_train arguments ...]

fp32 on the CPU, no activation checkpointing. Prints the median over the repeats; tokens/s of one run is the median of its steps after
the 4th. Compare two programs only side by side, alternating: machines are noisy.
"""
import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
CONFIG = os.path.join(ROOT, "configs/llama3/debug_model_cpu.toml")
WARM_UP_STEPS = 4


def run(args, rest):
    with tempfile.TemporaryDirectory() as folder:
        command = [args.titan_train, "--job.config_file", CONFIG, "--job.dump_folder", folder,
                   "--training.device=cpu", f"--model.flavor={args.flavor}", f"--training.seq_len={args.seq_len}",
                   f"--training.local_batch_size={args.batch}", f"--training.steps={args.steps}", "--metrics.log_freq=1", *rest]
        output = subprocess.run(command, cwd=ROOT, env=dict(os.environ, OMP_NUM_THREADS=str(args.threads)), check=True, text=True,
                                stdout=subprocess.PIPE).stdout
        with open(os.path.join(folder, "metrics.jsonl")) as file:
            steps = [record for record in map(json.loads, file) if "end_to_end_s" in record]
    seconds = statistics.median(step["end_to_end_s"] for step in steps[WARM_UP_STEPS:])
    total, first = (float(re.search(rf"{name} ([0-9.]+) ?s", output).group(1)) for name in ("total", "first step"))
    return {"tokens/s": args.batch * args.seq_len / seconds, "seconds to the beginning of step 1": total - first,
            "peak RSS GiB": steps[-1]["memory_max_active_gib"], "waiting for data %": steps[-1]["data_loading_pct"]}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("titan_train")
    parser.add_argument("--flavor", default="debugmodel")
    for name, default in (("seq-len", 2048), ("batch", 1), ("threads", 2), ("steps", 14), ("repeats", 3)):
        parser.add_argument("--" + name, type=int, default=default)
    args, rest = parser.parse_known_args()
    args.titan_train = os.path.abspath(args.titan_train)
    if args.steps <= WARM_UP_STEPS:
        sys.exit(f"--steps must be more than {WARM_UP_STEPS}")
    runs = [run(args, rest) for _ in range(args.repeats)]
    for figure in runs[0]:
        values = [r[figure] for r in runs]
        print(f"{figure:36} median {statistics.median(values):10.3f}   min {min(values):10.3f}   max {max(values):10.3f}")


if __name__ == "__main__":
    main()
