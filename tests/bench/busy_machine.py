#!/usr/bin/env python3
"""Two threads on two cores, and another program on one of them: what does a step cost?

  busy_machine.py build/release/titan_train [--flavor debugmodel] [--steps 8] [--alternations 5] [--most 2.5] [titan_train arguments ...]

Alternates: alone, then beside a process that keeps the first core busy. A figure is the median time of a step after the second, a ratio is taken within each
alternation. The verdict, and the exit status, is that the median ratio is at most --most: a fair share is 2, and a barrier at which one thread waits for the other in a
spin costs ten times as much. On a machine where others are at work "alone" is not alone, which makes the ratio smaller.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
CONFIG = os.path.join(ROOT, "configs/llama3/debug_model_cpu.toml")
WARM_UP_STEPS = 2


def seconds_of_a_step(options, rest):
    with tempfile.TemporaryDirectory() as folder:
        command = [os.path.abspath(options.titan_train), "--job.config_file", CONFIG, "--job.dump_folder", folder, "--metrics.log_freq=1",
                   f"--model.flavor={options.flavor}", f"--training.steps={options.steps}", *rest]
        subprocess.run(command, cwd=ROOT, env=dict(os.environ, OMP_NUM_THREADS="2"), check=True, stdout=subprocess.DEVNULL)
        with open(os.path.join(folder, "metrics.jsonl")) as file:
            steps = [record["end_to_end_s"] for record in map(json.loads, file) if "end_to_end_s" in record]
    return statistics.median(steps[WARM_UP_STEPS:] or steps)


def beside_another(core, run):
    # Ends with this process, also where that is killed.
    busy = f"import os\nos.sched_setaffinity(0, [{core}])\nwhile os.getppid() == {os.getpid()}: pass"
    other = subprocess.Popen([sys.executable, "-c", busy])
    try:
        return run()
    finally:
        other.kill()
        other.wait()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("titan_train")
    parser.add_argument("--flavor", default="debugmodel")
    for name, default in (("steps", 8), ("alternations", 5)):
        parser.add_argument("--" + name, type=int, default=default)
    parser.add_argument("--most", type=float, default=2.5)
    options, rest = parser.parse_known_args()
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        print("verdict: none, there is one core only")
        return
    os.sched_setaffinity(0, cores[:2])
    ratios = []
    for _ in range(options.alternations):
        alone = seconds_of_a_step(options, rest)
        beside = beside_another(cores[0], lambda: seconds_of_a_step(options, rest))
        ratios.append(beside / alone)
        print(f"a step takes {alone:.4f} s, beside another program {beside:.4f} s: {ratios[-1]:.2f} times as long", flush=True)
    ratio = statistics.median(ratios)
    good = ratio <= options.most
    print(f"verdict: a busy core of two makes a step {ratio:.2f} times as long ({min(ratios):.2f} to {max(ratios):.2f}), "
          f"{'at most' if good else 'MORE THAN'} {options.most}")
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
