#!/usr/bin/env python3
"""Ours and the Python original, side by side: the same model, sizes, threads and ranks, alternating, because machines are shared.

  side_by_side.py build/release/titan_train [--theirs COMMAND] [--case debug] [--case 88m] ... [--alternations 5] [--cpu]

COMMAND takes --model, --flavor, --seq-len, --batch, --threads, --nproc, --steps, perhaps --compile, and prints a JSON object with
tokens_per_s, peak_rss_bytes and seconds_start_to_end_of_step_1. Without it, ours is measured with the fast paths against ours without.
fp32 on the CPU, no activation checkpointing, fused AdamW. A figure is the median over the alternations, with the least and the largest.
A ratio is taken within each alternation, so that what disturbs both does not count; theirs is its better one of eager and compiled.

--cpu compares the seconds of processor time of a step instead, for a machine that is not idle: of two runs of different lengths the
difference, so that the start does not count. Take one thread: threads that wait may spin.
"""
import argparse
import json
import os
import resource
import shlex
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
CONFIG = os.path.join(ROOT, "configs/llama3/debug_model_cpu.toml")
WARM_UP_STEPS = 4
# name: model, flavor of ours and of theirs, sequence length, rows of a rank
CASES = {
    "tiny": ("llama3", "tiny", "tiny", 64, 2),
    "debug": ("llama3", "debugmodel", "debugmodel", 2048, 1),
    "debug512": ("llama3", "debugmodel", "debugmodel", 512, 4),
    "88m": ("llama3", "bench100m", "bench100m", 512, 2),
    "88m2048": ("llama3", "bench100m", "bench100m", 2048, 1),
    "qwen3": ("qwen3", "debugmodel", "debugmodel", 2048, 1),
    "qwen3_moe": ("qwen3", "debugmodel_moe", "debugmodel_moe", 2048, 1),
    "deepseek_v3": ("deepseek_v3", "debugmodel", "debugmodel", 2048, 1),
}
FAST = ["--compile.enable", "--compile.components=model,loss,optimizer"]
SLOW = ["--compile.enable=false"]


def cpu_seconds():
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def timed(command, env, cwd=ROOT):
    """Output, seconds of processor time."""
    before = cpu_seconds()
    result = subprocess.run(command, cwd=cwd, env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    if result.returncode != 0:
        sys.exit(f"{shlex.join(command)}\n{result.stdout[-2000:]}\n{result.stderr[-4000:]}")
    return result.stdout, cpu_seconds() - before


class Ours:
    def __init__(self, program, options, extra):
        self.program, self.options, self.extra = os.path.abspath(program), options, extra

    def run(self, case, steps, extra):
        model, flavor, _, length, rows = CASES[case]
        with tempfile.TemporaryDirectory() as folder:
            command = [self.program, "--job.config_file", CONFIG, "--job.dump_folder", folder, "--training.device=cpu",
                       f"--model.name={model}", f"--model.flavor={flavor}", f"--training.seq_len={length}",
                       f"--training.local_batch_size={rows}", f"--training.steps={steps}", "--metrics.log_freq=1",
                       "--activation_checkpoint.mode=none", *self.extra, *extra]
            if self.options.nproc > 1:
                command.append(f"--nproc={self.options.nproc}")
            start = time.time()
            _, cpu = timed(command, dict(os.environ, OMP_NUM_THREADS=str(self.options.threads)))
            with open(os.path.join(folder, "metrics.jsonl")) as file:
                records = [r for r in map(json.loads, file) if "end_to_end_s" in r]
        seconds = statistics.median(r["end_to_end_s"] for r in records[WARM_UP_STEPS:] or records)
        tokens = rows * length * self.options.nproc
        return {"tokens/s": tokens / seconds, "peak RSS GiB": records[-1]["memory_max_active_gib"], "cpu": cpu,
                "seconds in all": time.time() - start}


class Theirs:
    def __init__(self, command, options, extra):
        self.command, self.options, self.extra = shlex.split(command), options, extra

    def run(self, case, steps, extra):
        model, _, flavor, length, rows = CASES[case]
        output, cpu = timed([*self.command, "--model", model, "--flavor", flavor, "--seq-len", str(length), "--batch", str(rows),
                             "--threads", str(self.options.threads), "--nproc", str(self.options.nproc), "--steps", str(steps),
                             *self.extra, *extra], dict(os.environ))
        figures = json.loads(output[output.index("{"):])
        return {"tokens/s": figures["tokens_per_s"], "peak RSS GiB": figures["peak_rss_bytes"] / 2**30, "cpu": cpu,
                "seconds in all": figures["seconds_start_to_end_of_step_1"]}


def measure(program, case, options, extra=()):
    if not options.cpu:
        return program.run(case, options.steps, extra)
    few, many = (program.run(case, steps, extra) for steps in (WARM_UP_STEPS + 2, WARM_UP_STEPS + 2 + options.steps))
    return {"steps per cpu second": options.steps / (many["cpu"] - few["cpu"]), "peak RSS GiB": many["peak RSS GiB"]}


def summary(values):
    return f"{statistics.median(values):9.3f} ({min(values):.3f} to {max(values):.3f})"


def compare(case, programs, options):
    """Alternates; prints each program's figures, then the ratio of the first to the best of the others."""
    results = {name: [] for name in programs}
    for _ in range(options.alternations):
        for name, program in programs.items():
            results[name].append(measure(program, case, options))
    print(f"{case}: {options.threads} threads, {options.nproc} ranks, median of {options.alternations}")
    ours, *others = results
    for figure in results[ours][0]:
        if figure == "cpu":
            continue
        for name in results:
            print(f"  {figure:24} {name:16} {summary([r[figure] for r in results[name]])}")
        for name in others:
            print(f"  {'ratio':24} {'to ' + name:16} "
                  f"{summary([a[figure] / b[figure] for a, b in zip(results[ours], results[name])])}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("titan_train")
    parser.add_argument("--theirs")
    parser.add_argument("--case", action="append", choices=CASES)
    for name, default in (("threads", 2), ("nproc", 1), ("steps", 14), ("alternations", 5)):
        parser.add_argument("--" + name, type=int, default=default)
    parser.add_argument("--cpu", action="store_true")
    parser.add_argument("--eager-only", action="store_true", help="do not try theirs compiled")
    options, rest = parser.parse_known_args()
    programs = {"fast paths": Ours(options.titan_train, options, [*FAST, *rest])}
    if options.theirs:
        programs["original eager"] = Theirs(options.theirs, options, [])
        if not options.eager_only:
            programs["original compiled"] = Theirs(options.theirs, options, ["--compile"])
    else:
        programs["reference path"] = Ours(options.titan_train, options, [*SLOW, *rest])
    for case in options.case or ["debug", "88m"]:
        compare(case, programs, options)


if __name__ == "__main__":
    main()
