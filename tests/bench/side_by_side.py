#!/usr/bin/env python3
"""Ours and another side by side: the same model, tokens, type, threads and ranks, alternating, because machines are shared.

  side_by_side.py build/release/titan_train [--theirs COMMAND | --against-one-rank] [--case debug] ... [--layout fsdp2] ...
                  [--dtype bf16] ... [--threads 1] ... [--ranks-are threads] [--alternations 5] [--json FILE] [titan_train arguments ...]
  side_by_side.py build/release/titan_train --matrix ...    every sequence length, layout, type and number of threads

The other is, one of:
  the Python original   --theirs COMMAND, which takes --model, --flavor, --seq-len, --batch (rows of a rank), --threads, --nproc, --steps,
                        --set section.key=value, perhaps --compile, and prints a JSON object with tokens_per_s (as if every rank read
                        rows of its own), peak_rss_bytes and seconds_start_to_end_of_step_1. The better one of eager and compiled counts.
  one rank              --against-one-rank: ours, with all the threads of the layout's ranks and all their rows
  the reference's path  otherwise: ours without fast paths

On the CPU, no activation checkpointing, fused AdamW. `--threads` are those of a rank. A figure is the median over the alternations, with
the least and the largest. A ratio is taken within each alternation, so that what disturbs both does not count.

--cpu compares the seconds of processor time of a step instead, for a machine that is not idle: of two runs of different lengths the
difference, so that the start does not count. Take one thread and one rank: threads that wait may spin.
"""
import argparse
import collections
import itertools
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
# name: model, flavor of ours and of theirs, sequence length, rows of all ranks (at least as many as a layout wants)
CASES = {
    "tiny": ("llama3", "tiny", "tiny", 64, 2),
    "debug": ("llama3", "debugmodel", "debugmodel", 2048, 1),
    "debug512": ("llama3", "debugmodel", "debugmodel", 512, 4),
    "debug4096": ("llama3", "debugmodel", "debugmodel", 4096, 1),
    "88m": ("llama3", "bench100m", "bench100m", 512, 2),
    "88m2048": ("llama3", "bench100m", "bench100m", 2048, 1),
    "qwen3": ("qwen3", "debugmodel", "debugmodel", 2048, 1),
    "qwen3_moe": ("qwen3", "debugmodel_moe", "debugmodel_moe", 2048, 1),
    "deepseek_v3": ("deepseek_v3", "debugmodel", "debugmodel", 2048, 1),
}
# name: ranks, how many of them read rows of their own, rows wanted, degrees (others are 1)
Layout = collections.namedtuple("Layout", "ranks readers rows degrees")
LAYOUTS = {
    "one": Layout(1, 1, 1, {}),
    "fsdp2": Layout(2, 2, 2, {"data_parallel_shard_degree": 2}),
    "tp2": Layout(2, 1, 1, {"tensor_parallel_degree": 2}),
    "async_tp2": Layout(2, 1, 1, {"tensor_parallel_degree": 2, "enable_async_tensor_parallel": True}),
    "pp2": Layout(2, 1, 4, {"pipeline_parallel_degree": 2}),
    "cp2": Layout(2, 1, 1, {"context_parallel_degree": 2}),
}
MATRIX = {"case": ["debug512", "debug", "88m", "88m2048"], "layout": ["one", "fsdp2", "tp2", "pp2", "cp2"], "dtype": ["fp32", "bf16"],
          "threads": [1, 2]}
DTYPES = {"fp32": "float32", "bf16": "bfloat16"}
FAST = ["--compile.enable", "--compile.components=model,loss,optimizer"]
SLOW = ["--compile.enable=false"]
Job = collections.namedtuple("Job", "case layout dtype threads rows")


def settings(job):
    """By section and key, as both programs name them."""
    degrees = {"data_parallel_shard_degree": 1, **LAYOUTS[job.layout].degrees}
    return {**{f"parallelism.{key}": value for key, value in degrees.items()}, "training.mixed_precision_param": DTYPES[job.dtype]}


def text(value):
    return str(value).lower() if isinstance(value, bool) else str(value)


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
    def __init__(self, options, extra):
        self.program, self.ranks_are, self.extra = os.path.abspath(options.titan_train), options.ranks_are, extra

    def run(self, job, steps):
        model, flavor, _, length, _ = CASES[job.case]
        layout = LAYOUTS[job.layout]
        env = dict(os.environ, OMP_NUM_THREADS=str(job.threads))
        with tempfile.TemporaryDirectory() as folder:
            command = [self.program, "--job.config_file", CONFIG, "--job.dump_folder", folder, "--training.device=cpu",
                       f"--model.name={model}", f"--model.flavor={flavor}", f"--training.seq_len={length}",
                       f"--training.local_batch_size={job.rows // layout.readers}", f"--training.steps={steps}", "--metrics.log_freq=1",
                       "--activation_checkpoint.mode=none", *(f"--{key}={text(value)}" for key, value in settings(job).items()),
                       *self.extra]
            if layout.ranks > 1 and self.ranks_are == "processes":
                command.append(f"--nproc={layout.ranks}")
            elif layout.ranks > 1:
                command.append("--comm.mode=local_tensor")
                env.update(NGPU=str(layout.ranks), OMP_NUM_THREADS=str(job.threads * layout.ranks))
            start = time.time()
            _, cpu = timed(command, env)
            with open(os.path.join(folder, "metrics.jsonl")) as file:
                records = [r for r in map(json.loads, file) if "end_to_end_s" in r]
        seconds = statistics.median(r["end_to_end_s"] for r in records[WARM_UP_STEPS:] or records)
        return {"tokens/s": job.rows * length / seconds, "peak RSS GiB": records[-1]["memory_max_active_gib"], "cpu": cpu,
                "seconds in all": time.time() - start}


class OneRank(Ours):
    def run(self, job, steps):
        return super().run(job._replace(layout="one", threads=job.threads * LAYOUTS[job.layout].ranks), steps)


class Theirs:
    def __init__(self, command, extra):
        self.command, self.extra = shlex.split(command), extra

    def run(self, job, steps):
        model, _, flavor, length, _ = CASES[job.case]
        layout = LAYOUTS[job.layout]
        chosen = [word for key, value in settings(job).items() for word in ("--set", f"{key}={text(value)}")]
        output, cpu = timed([*self.command, "--model", model, "--flavor", flavor, "--seq-len", str(length), "--batch",
                             str(job.rows // layout.readers), "--threads", str(job.threads), "--nproc", str(layout.ranks), "--steps",
                             str(steps), *chosen, *self.extra], dict(os.environ))
        figures = json.loads(output[output.index("{"):])
        return {"tokens/s": figures["tokens_per_s"] * layout.readers / layout.ranks, "peak RSS GiB": figures["peak_rss_bytes"] / 2**30,
                "cpu": cpu, "seconds in all": figures["seconds_start_to_end_of_step_1"]}


def measure(program, job, options):
    if not options.cpu:
        figures = program.run(job, options.steps)
        figures.pop("cpu")
        return figures
    few, many = (program.run(job, steps) for steps in (WARM_UP_STEPS + 2, WARM_UP_STEPS + 2 + options.steps))
    return {"steps per cpu second": options.steps / (many["cpu"] - few["cpu"]), "peak RSS GiB": many["peak RSS GiB"]}


def spread(values):
    return {"median": statistics.median(values), "least": min(values), "most": max(values)}


def summary(figure):
    return f"{figure['median']:9.3f} ({figure['least']:.3f} to {figure['most']:.3f})"


def compare(job, programs, options):
    """Alternates. The figures of each program, and the ratios of the first to each of the others."""
    results = {name: [] for name in programs}
    for _ in range(options.alternations):
        for name, program in programs.items():
            results[name].append(measure(program, job, options))
    ours, *others = results
    figures = results[ours][0]
    return {**job._asdict(), "tokens": job.rows * CASES[job.case][3], "ranks_are": options.ranks_are,
            "figures": {name: {figure: spread([run[figure] for run in runs]) for figure in figures} for name, runs in results.items()},
            "ratios": {name: {figure: spread([a[figure] / b[figure] for a, b in zip(results[ours], results[name])]) for figure in figures}
                       for name in others}}


def show(result):
    print(f"{result['case']}, {result['layout']}, {result['dtype']}, {result['threads']} threads a rank, {result['tokens']} tokens a step")
    for figure in next(iter(result["figures"].values())):
        for name, figures in result["figures"].items():
            print(f"  {figure:24} {name:20} {summary(figures[figure])}")
        for name, ratios in result["ratios"].items():
            print(f"  {'ratio':24} {'to ' + name:20} {summary(ratios[figure])}", flush=True)


def table(results, options):
    """In Markdown: speed and memory of each job, and the ratios."""
    speed = "steps per cpu second" if options.cpu else "tokens/s"
    names = list(results[0]["figures"])
    head = ["model", "layout", "type", "threads", "tokens", *(f"{name}, {speed}" for name in names),
            *(f"ratio to {name}" for name in names[1:]), *(f"memory, to {name}" for name in names[1:])]
    print("\n| " + " | ".join(head) + " |\n|" + "---|" * len(head))
    for result in results:
        cells = [result["case"], result["layout"], result["dtype"], str(result["threads"]), str(result["tokens"]),
                 *(f"{result['figures'][name][speed]['median']:.4g}" for name in names),
                 *("{median:.2f} ({least:.2f} to {most:.2f})".format(**result["ratios"][name][speed]) for name in names[1:]),
                 *(f"{result['ratios'][name]['peak RSS GiB']['median']:.2f}" for name in names[1:])]
        print("| " + " | ".join(cells) + " |")


def jobs(options):
    def chosen(name, default):
        return getattr(options, name) or (MATRIX[name] if options.matrix else default)

    for case, layout, dtype, threads in itertools.product(chosen("case", ["debug", "88m"]), chosen("layout", ["one"]),
                                                          chosen("dtype", ["fp32"]), chosen("threads", [2])):
        yield Job(case, layout, dtype, threads, max(CASES[case][4], LAYOUTS[layout].rows))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("titan_train")
    other = parser.add_mutually_exclusive_group()
    other.add_argument("--theirs")
    other.add_argument("--against-one-rank", action="store_true")
    for name, choices in (("case", CASES), ("layout", LAYOUTS), ("dtype", DTYPES)):
        parser.add_argument("--" + name, action="append", choices=choices)
    parser.add_argument("--threads", action="append", type=int)
    parser.add_argument("--matrix", action="store_true")
    parser.add_argument("--ranks-are", choices=["processes", "threads"], default="processes")
    for name, default in (("steps", 14), ("alternations", 5)):
        parser.add_argument("--" + name, type=int, default=default)
    parser.add_argument("--cpu", action="store_true")
    parser.add_argument("--eager-only", action="store_true", help="do not try theirs compiled")
    parser.add_argument("--json", help="where all figures go")
    options, rest = parser.parse_known_args()
    programs = {"fast paths": Ours(options, [*FAST, *rest])}
    if options.theirs:
        programs["original eager"] = Theirs(options.theirs, [])
        if not options.eager_only:
            programs["original compiled"] = Theirs(options.theirs, ["--compile"])
    elif options.against_one_rank:
        programs["one rank"] = OneRank(options, [*FAST, *rest])
    else:
        programs["reference path"] = Ours(options, [*SLOW, *rest])
    results = []
    for job in jobs(options):
        results.append(compare(job, programs, options))
        show(results[-1])
        if options.json:
            with open(options.json, "w") as file:
                json.dump(results, file, indent=1)
    table(results, options)


if __name__ == "__main__":
    main()
