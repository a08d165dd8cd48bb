#!/usr/bin/env python3
"""Do the fast paths change what is learnt? The loss of every step with and without compile.enable, of two seeds.

  loss_curves.py build/release/titan_train [--steps 300] [--folder FOLDER] [titan_train arguments ...]

Without further arguments, the debug model on the text that comes with the tests. `--job.config_file configs/llama3/wiki_cpu.toml` is the
whole Wikipedia config (scripts/prepare_wiki.sh first). What rounding changes grows over the steps as any small change does; so the
measure is what another seed changes. The verdict, and the exit status, is that the paths of a seed differ by less than the seeds do: in the
root mean square over all steps, and in the mean of the last tenth. With --folder the runs stay, for `titan_train plot`, and one that is whole
is not made again: who changed a fast path removes those.
"""
import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
DEBUG = ["--job.config_file", os.path.join(ROOT, "configs/llama3/debug_model_cpu.toml"), "--training.seq_len=256",
         "--training.local_batch_size=2", "--lr_scheduler.warmup_steps=20"]
PATHS = {"reference": ["--compile.enable=false"],
         "fast": ["--compile.enable=true", "--compile.components=model,loss,optimizer"]}
SEEDS = (1, 2)


def recorded(folder, steps):
    """The losses of a whole run, or None."""
    try:
        with open(os.path.join(folder, "metrics.jsonl")) as file:
            by_step = {record["step"]: record["loss"] for record in map(json.loads, file) if "loss" in record}
    except FileNotFoundError:
        return None
    return [by_step[step] for step in range(1, steps + 1)] if len(by_step) >= steps else None


def losses(program, folder, steps, arguments):
    if (whole := recorded(folder, steps)) is not None:
        return whole
    command = [program, *arguments, "--job.dump_folder", folder, f"--training.steps={steps}", "--metrics.log_freq=1",
               "--validation.enable=false"]
    result = subprocess.run(command, cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    if result.returncode != 0:
        sys.exit(result.stdout[-2000:] + result.stderr[-2000:])
    return recorded(folder, steps)


def distance(a, b):
    """Root mean square over the steps; difference of the mean of the last tenth; largest."""
    last = max(1, len(a) // 10)
    differences = [x - y for x, y in zip(a, b)]
    return {"root mean square": (sum(d * d for d in differences) / len(a)) ** 0.5,
            "of the last tenth's mean": abs(sum(differences[-last:])) / last, "largest": max(map(abs, differences))}


def judge(options, folder, arguments):
    """Trains what is not there yet, and prints how far apart the curves are; whether the paths are nearer than the seeds."""
    curves = {}
    for seed in SEEDS:
        for path, choice in PATHS.items():
            name = f"{path}_seed{seed}"
            curves[path, seed] = losses(os.path.abspath(options.titan_train), os.path.join(folder, name), options.steps,
                                        [*arguments, *choice, f"--debug.seed={seed}"])
            first, last = curves[path, seed][0], curves[path, seed][-1]
            print(f"{name}: loss {first:.4f} at step 1, {last:.4f} at step {options.steps}", flush=True)
    paths = [distance(curves["reference", seed], curves["fast", seed]) for seed in SEEDS]
    seeds = [distance(curves[path, 1], curves[path, 2]) for path in PATHS]
    good = True
    for figure in paths[0]:
        between_paths, between_seeds = max(d[figure] for d in paths), min(d[figure] for d in seeds)
        print(f"{figure:26} between the paths of a seed at most {between_paths:.3g}, between seeds at least {between_seeds:.3g}")
        good = good and between_paths < between_seeds
    print("verdict: the fast paths change " + ("less" if good else "NO LESS") + " than another seed does")
    return good


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("titan_train")
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--folder")
    options, rest = parser.parse_known_args()
    arguments = rest if any(argument.startswith("--job.config_file") for argument in rest) else [*DEBUG, *rest]
    with contextlib.nullcontext(options.folder) if options.folder else tempfile.TemporaryDirectory() as folder:
        good = judge(options, os.path.abspath(folder), arguments)
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
