#!/usr/bin/env python3
"""Trains twice from the same weights and holds the losses against one another, step by step.

  scripts/loss_compare.py BASELINE TEST [OPTIONS]

BASELINE and TEST say which program trains: "." is this clone as it is, a commit is checked out into a folder of its own and built there, a path
is a titan_train that is built already. The runs differ in program, config or options:

  scripts/loss_compare.py . . --baseline-options='--parallelism.data_parallel_replicate_degree=1' \\
      --test-options='--parallelism.data_parallel_replicate_degree=4' --baseline-ngpus=8 --test-ngpus=8 --steps=10 --assert-equal
  scripts/loss_compare.py main . --output-folder=compared

Both are deterministic with seed 42 and begin with one seed checkpoint, which the baseline's program makes. COMM_MODE=local_tensor has the ranks as
threads of one process. Standard library only.
"""
import argparse
import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
FIXED = ["--debug.deterministic", "--debug.seed=42"]


class Refused(Exception):
    """What cannot be compared, or has not come out equal."""


def say(text=""):
    for line in text.splitlines() or [""]:
        print(f"[LOSS_COMPARE] {line}".rstrip(), flush=True)


def arguments(args):
    parser = argparse.ArgumentParser(prog="loss_compare.py", description="Compares the losses of two runs, step by step.")
    parser.add_argument("baseline", help='".", a commit, or the path of a titan_train')
    parser.add_argument("test", help="the same")
    parser.add_argument("--baseline-config", default="configs/llama3/debug_model.toml", help="relative to the program's clone")
    parser.add_argument("--test-config", help="the baseline's, if nothing is said")
    parser.add_argument("--baseline-options", default="", help="more options of titan_train, as one argument")
    parser.add_argument("--test-options", default="")
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--no-seed-checkpoint", action="store_true", help="each run draws its weights itself")
    parser.add_argument("--output-folder", help="a new folder for logs, table and plot")
    parser.add_argument("--assert-equal", action="store_true", help="fail unless all losses are equal")
    parser.add_argument("--decimals", default="4", help='how many of a loss count, or "all"; 4, as the log shows')
    parser.add_argument("--export-result", metavar="FILE", help="with --assert-equal: write the losses, a line `step loss` each")
    parser.add_argument("--import-result", metavar="FILE", help="with --assert-equal: the losses must be these, too")
    parser.add_argument("--job-dump-folder", default="outputs/loss_compare", help="of both runs, a folder each; what is there goes")
    ranks = int(os.environ.get("NGPU", "1"))
    parser.add_argument("--baseline-ngpus", type=int, default=ranks, help="ranks; NGPU, or 1")
    parser.add_argument("--test-ngpus", type=int, default=ranks)
    options = parser.parse_args(args)
    options.test_config = options.test_config or options.baseline_config
    validate(options)
    return options


def validate(o):
    if (o.baseline, o.baseline_config, o.baseline_options, o.baseline_ngpus) == (o.test, o.test_config, o.test_options, o.test_ngpus):
        raise Refused("baseline and test are the same: give another program, config, options or number of ranks")
    if o.steps <= 0:
        raise Refused(f"--steps must be at least 1, not {o.steps}")
    if (o.export_result or o.import_result) and not o.assert_equal:
        raise Refused("--export-result and --import-result go with --assert-equal")
    if o.export_result and o.import_result:
        raise Refused("--export-result and --import-result exclude one another")
    if o.import_result and not os.path.exists(o.import_result):
        raise Refused(f"--import-result: {o.import_result} is not there")
    if o.output_folder and os.path.exists(o.output_folder):
        raise Refused(f"--output-folder: {o.output_folder} is there already")
    if o.decimals != "all" and not o.decimals.isdigit():
        raise Refused(f"--decimals: a number or all, not {o.decimals}")


class Program:
    """Something that trains: a clone with its run_train.sh, or a program."""

    def __init__(self, what, trees):
        self.tree = ROOT
        self.binary = None
        if os.path.isfile(what) and os.access(what, os.X_OK):
            self.binary = os.path.abspath(what)
        elif what != ".":
            self.tree = trees.of(what)

    def command(self, ranks):
        if self.binary is None:
            return ["./run_train.sh"]
        if os.environ.get("COMM_MODE"):
            return [self.binary, f"--comm.mode={os.environ['COMM_MODE']}"]
        return [self.binary, *([f"--nproc={ranks}"] if ranks > 1 else [])]

    def run(self, args, ranks, log):
        """Shows what it prints, and keeps it in `log`."""
        command = [*self.command(ranks), *args]
        say(f"$ NGPU={ranks} {shlex.join(command)}")
        with open(log, "w") as kept, subprocess.Popen(command, cwd=self.tree, env={**os.environ, "NGPU": str(ranks)}, text=True,
                                                      errors="replace", stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
            for line in process.stdout:
                kept.write(line)
                print(line, end="", flush=True)
        if process.returncode != 0:
            raise Refused(f"it ended with {process.returncode}; {log}")

    def plot(self, runs, file):
        command = [self.binary, "plot"] if self.binary else ["./run_train.sh", "plot"]
        subprocess.run([*command, *runs, "--output", file], cwd=self.tree, check=True)


class Trees:
    """Commits, each checked out into a folder beside the clone's own files; gone at the end."""

    def __init__(self):
        self.folders = {}

    def of(self, commit):
        if commit not in self.folders:
            folder = os.path.join(tempfile.mkdtemp(prefix="loss_compare_"), "tree")
            found = subprocess.run(["git", "worktree", "add", "--detach", folder, commit], cwd=ROOT, capture_output=True, text=True)
            if found.returncode != 0:
                shutil.rmtree(os.path.dirname(folder))
                raise Refused(f"{commit} is neither a program nor a commit: {found.stderr.strip().splitlines()[-1]}")
            self.folders[commit] = folder
        return self.folders[commit]

    def remove(self):
        for folder in self.folders.values():
            subprocess.run(["git", "worktree", "remove", "--force", folder], cwd=ROOT, check=False)
            shutil.rmtree(os.path.dirname(folder), ignore_errors=True)


def losses_of(dump):
    """{step: loss}"""
    with open(os.path.join(dump, "metrics.jsonl")) as file:
        records = [json.loads(line) for line in file]
    return {record["step"]: float(record["loss"]) for record in records if "loss" in record}


def shown(loss, decimals):
    return repr(loss) if decimals == "all" else f"{loss:.{decimals}f}"


def assert_equal(first, second, names, decimals):
    if first.keys() != second.keys():
        raise Refused(f"steps of {names[0]}: {sorted(first)}; of {names[1]}: {sorted(second)}")
    different = [step for step in first if shown(first[step], decimals) != shown(second[step], decimals)]
    if different:
        step = different[0]
        raise Refused(f"{len(different)} of {len(first)} losses differ, the first at step {step}: {shown(first[step], decimals)} "
                      f"({names[0]}), {shown(second[step], decimals)} ({names[1]})")


def read_result(path):
    """Losses, and with how many decimals they are written."""
    with open(path) as file:
        rows = [line.split() for line in file if line.strip() and not line.startswith("#")]
    if any(len(row) != 2 for row in rows):
        raise Refused(f"{path}: not lines of `step loss`")
    decimals = max((len(loss.partition(".")[2]) for _, loss in rows), default=0)
    return {int(step): float(loss) for step, loss in rows}, str(decimals)


def statistics(baseline, test):
    steps = [step for step in sorted(baseline) if step in test]
    if not steps:
        raise Refused("the runs have no step in common")
    lines = [f"{'step':>6}  {'baseline':>12}  {'test':>12}  {'difference':>12}"]
    for step in steps:
        lines.append(f"{step:>6}  {baseline[step]:>12.6f}  {test[step]:>12.6f}  {test[step] - baseline[step]:>12.6f}")
    mean = [sum(losses[step] for step in steps) / len(steps) for losses in (baseline, test)]
    worst = max(steps, key=lambda step: abs(test[step] - baseline[step]))
    lines += [f"{'mean':>6}  {mean[0]:>12.6f}  {mean[1]:>12.6f}  {mean[1] - mean[0]:>12.6f}",
              f"largest difference: {abs(test[worst] - baseline[worst]):.6g} at step {worst}"]
    return "\n".join(lines) + "\n"


def compare(o, trees):
    dump = os.path.abspath(o.job_dump_folder)
    output = os.path.abspath(o.output_folder) if o.output_folder else tempfile.mkdtemp(prefix="loss_compare_")
    os.makedirs(output, exist_ok=True)
    for folder in ("seed", "baseline", "test"):
        shutil.rmtree(os.path.join(dump, folder), ignore_errors=True)
    programs = {"baseline": Program(o.baseline, trees), "test": Program(o.test, trees)}
    start = []
    if not o.no_seed_checkpoint:
        programs["baseline"].run(["--job.config_file", o.baseline_config, *shlex.split(o.baseline_options), *FIXED,
                                  *ALONE, "--checkpoint.enable", "--checkpoint.create_seed_checkpoint",
                                  f"--job.dump_folder={dump}/seed", "--checkpoint.folder=checkpoint"], 1,
                                 os.path.join(output, "seed_training.log"))
        start = ["--checkpoint.enable", "--checkpoint.load_only", f"--checkpoint.initial_load_path={dump}/seed/checkpoint/step-0"]
    for name, config, options, ranks in (("baseline", o.baseline_config, o.baseline_options, o.baseline_ngpus),
                                         ("test", o.test_config, o.test_options, o.test_ngpus)):
        programs[name].run(["--job.config_file", config, *shlex.split(options), *FIXED, *start, f"--training.steps={o.steps}",
                            "--metrics.log_freq=1", f"--job.dump_folder={dump}/{name}"], ranks,
                           os.path.join(output, f"{name}_training.log"))
    baseline, test = losses_of(f"{dump}/baseline"), losses_of(f"{dump}/test")
    table = statistics(baseline, test)
    say(table)
    with open(os.path.join(output, "comparison_statistics.txt"), "w") as file:
        file.write(table)
    programs["test"].plot([f"{dump}/baseline", f"{dump}/test"], os.path.join(output, "losses.svg"))
    say(f"logs, table and curves: {output}")
    if o.assert_equal:
        check(o, baseline, test)


# A seed checkpoint is made by one rank, whatever the baseline's layout; what comes last counts.
ALONE = [f"--parallelism.{name}_degree=1" for name in (
    "data_parallel_replicate", "data_parallel_shard", "tensor_parallel", "pipeline_parallel", "context_parallel", "expert_parallel",
    "expert_tensor_parallel")]


def check(o, baseline, test):
    assert_equal(baseline, test, ("baseline", "test"), o.decimals)
    if o.import_result:
        imported, decimals = read_result(o.import_result)
        assert_equal(imported, baseline, (o.import_result, "baseline"), decimals)
    if o.export_result:
        with open(o.export_result, "w") as file:
            file.writelines(f"{step} {shown(baseline[step], o.decimals)}\n" for step in sorted(baseline))
    say(f"all {len(baseline)} losses are equal")


def main(args):
    trees = Trees()
    try:
        compare(arguments(args), trees)
    except Refused as error:
        say(f"error: {error}")
        return 1
    finally:
        trees.remove()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
