#!/usr/bin/env python3
"""Runs the tests of a suite, one behind the other, each in a folder of its own: scripts/run_integration_tests.sh, README.md.

TITAN_TRAIN names the program; what it trains from is found relative to the clone.
"""
import argparse
import os
import random
import shlex
import struct
import subprocess
import sys
import time

import checks
import entries
import report
from report import Result

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(entries.FOLDER)))
TIME_LIMIT = 600
CPU_CONFIG = os.path.join(entries.FOLDER, "base_config_cpu.toml")


def arguments():
    parser = argparse.ArgumentParser(prog="run_integration_tests.sh", description=__doc__.splitlines()[0])
    parser.add_argument("output_dir", help="an empty folder, or one to be made")
    parser.add_argument("--test_suite", default="features", help="features, models, h100, flux, ft, composition, layouts, or a TOML file")
    parser.add_argument("--test_name", default="all", help="one test, with those that it is compared with")
    parser.add_argument("--ngpu", type=int, default=8, help="tests of more ranks are left out")
    parser.add_argument("--comm", choices=["local", "gloo"], default="local",
                        help="ranks as threads of one process, or as processes (NCCL's where the config trains on GPUs)")
    parser.add_argument("--config_path", default=CPU_CONFIG, help="a TOML; base_config.toml has the original's sizes")
    parser.add_argument("--part", default="1/1", help="I/N: every N-th test, from the I-th on, with those they are compared with")
    parser.add_argument("--list", action="store_true", help="only say what there is")
    return parser.parse_args()


class Runner:
    def __init__(self, suite, options):
        self.suite = suite
        self.options = options
        self.config = os.path.abspath(suite.config or options.config_path)
        self.out = os.path.abspath(options.output_dir)
        self.done = {}

    def folder(self, name):
        return os.path.join(self.out, name)

    def folder_of_test(self, name):
        if self.done[name].state != report.PASSED:
            raise checks.Broken(f"{name} has not passed")
        return self.folder(name)

    def make_tokens(self):
        for name, wanted in self.suite.tokens.items():
            rng = random.Random(7)
            vocabulary = range(wanted["vocabulary"])
            weights = [1 / (rank + 3) for rank in vocabulary]  # as frequent as words of a text
            tokens = rng.choices(vocabulary, weights, k=wanted["rows"] * (wanted["seq_len"] + 1))
            os.makedirs(os.path.join(self.out, "data"), exist_ok=True)
            with open(os.path.join(self.out, "data", name), "wb") as file:
                file.write(struct.pack(f"<{len(tokens)}H", *tokens))

    def command(self, test, run):
        program = os.environ["TITAN_TRAIN"]
        words = [word.format(out=self.out, dump=self.folder(test.name), data=os.path.join(self.out, "data"), root=ROOT)
                 for word in shlex.split(run.args)]
        if run.command != "train":
            return [program, run.command, "--job.config_file", self.config, *words]
        launch = [f"--nproc={test.ngpu}"] if self.options.comm == "gloo" else ["--comm.mode=local_tensor"]
        # Ranks in one process train one step, unless the command line says more.
        return [program, *launch, "--job.config_file", self.config, f"--job.dump_folder={self.folder(test.name)}",
                f"--training.steps={self.suite.steps}", *shlex.split(self.suite.args.format(data=os.path.join(self.out, "data"))), *words]

    def run(self, test, run):
        """The output, standard error behind standard output, and the exit status."""
        command = self.command(test, run)
        print(f"   {shlex.join(command)}", flush=True)
        environment = {"OMP_NUM_THREADS": "1", **os.environ, "NGPU": str(test.ngpu), "LOG_RANK": "0"}
        # The reference's suites write where their workflow tells them; ours write below the output folder only.
        os.makedirs(self.folder(test.name), exist_ok=True)
        try:
            result = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, timeout=TIME_LIMIT)
        except subprocess.TimeoutExpired as late:
            raise checks.Broken(f"it has not ended after {TIME_LIMIT} s") from late
        output, errors = (stream.decode(errors="replace") for stream in (result.stdout, result.stderr))
        if run.stdout:
            with open(os.path.join(self.folder(test.name), run.stdout), "w") as file:
                file.write(output)
        with open(os.path.join(self.folder(test.name), "output.txt"), "a") as file:
            file.write(f"$ {shlex.join(command)}\n{output}{errors}")
        return output + errors, result.returncode

    def attempt(self, test):
        """(state, why, output)"""
        output = ""
        try:
            outcome = None
            for run in test.runs:
                output, exit_status = self.run(test, run)
                missing = refusals(test.waits_for, output)
                if exit_status == 2 and missing:
                    return report.MISSING, "; ".join(missing), ""
                outcome = checks.Outcome(self.folder(test.name), exit_status, output, self.folder_of_test)
                refusal = any(sentence.startswith("refuses") for sentence in run.holds)
                if exit_status != 0 and not refusal:
                    raise checks.Broken(f"exit status {exit_status}")
                checks.check(run.holds, outcome)
                checks.finite(outcome.folder)
            checks.check(test.holds, outcome)
        except checks.Broken as broken:
            return report.FAILED, str(broken), output
        return report.PASSED, "it runs now: waits_for can go" if test.waits_for else "", ""

    def result(self, test):
        if test.disabled:
            return Result(test, report.DISABLED, why=test.disabled)
        if test.ngpu > self.options.ngpu:
            return Result(test, report.LARGE, why=f"--ngpu is {self.options.ngpu}")
        start = time.monotonic()
        state, why, output = self.attempt(test)
        return Result(test, state, time.monotonic() - start, why, output)

    def run_all(self, tests):
        for test in tests:
            print(f"== {test.name}", flush=True)
            self.done[test.name] = result = self.result(test)
            print(f"   {result.state}{': ' if result.why else ''}{result.why}", flush=True)
            if result.state == report.FAILED:
                print("".join(f"   | {line}\n" for line in result.output.splitlines()[-40:]), flush=True)
        return list(self.done.values())


def refusals(texts, output):
    """The lines that say one of these."""
    return [line.strip().removeprefix("command line: ") for line in output.splitlines() if any(text in line for text in texts)]


def part_of(names, part):
    index, count = (int(number) for number in part.split("/"))
    if not 1 <= index <= count:
        raise entries.SuiteError(f"--part {part}: I/N with I from 1 to N")
    return names[index - 1 :: count]


def check_sentences(suite):
    for test in suite.tests.values():
        for sentence in (*test.holds, *(sentence for run in test.runs for sentence in run.holds)):
            if checks.understood(sentence) is None:
                raise entries.SuiteError(f"{suite.name}: test '{test.name}': not understood: {sentence}")


def main():
    options = arguments()
    suite = entries.read_suite(options.test_suite)
    check_sentences(suite)
    names = list(suite.tests) if options.test_name == "all" else [options.test_name]
    tests = suite.with_needed(part_of(names, options.part))
    if options.list:
        print("\n".join(test.name for test in tests))
        return 0
    if os.path.isdir(options.output_dir) and os.listdir(options.output_dir):
        raise entries.SuiteError("Please provide an empty output directory.")
    runner = Runner(suite, options)
    os.makedirs(runner.out, exist_ok=True)
    runner.make_tokens()
    results = runner.run_all(tests)
    with open(os.path.join(runner.out, "junit.xml"), "w") as file:
        file.write(report.junit(suite, results))
    print(f"\n{report.table(results)}\n\n{report.summary(suite, results)}")
    return 1 if any(result.state == report.FAILED for result in results) else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except entries.SuiteError as error:
        sys.exit(f"run_integration_tests: {error}")
