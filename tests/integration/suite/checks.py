"""What must hold of a run, each a sentence of a suite file."""
import glob
import json
import math
import os
import re


class Broken(Exception):
    """A sentence that does not hold, and what is there instead."""


def lines_of(path):
    with open(path) as file:
        return [json.loads(line) for line in file]


def metrics(folder):
    """{step: record} of a test's folder."""
    path = os.path.join(folder, "metrics.jsonl")
    return {record["step"]: record for record in lines_of(path) if "loss" in record} if os.path.exists(path) else {}


def hashes(folder):
    """SHA-256 of the weights at the end, by name."""
    records = lines_of(os.path.join(folder, "hashes.jsonl"))
    last = max(record["step"] for record in records)
    return {record["name"]: record["sha256"] for record in records if record["step"] == last and "batch" not in record["name"]}


def compare(folder, other, figure, within):
    mine, theirs = metrics(folder), metrics(other)
    if not mine or mine.keys() != theirs.keys():
        raise Broken(f"steps {sorted(mine)} here, {sorted(theirs)} there")
    for step in mine:
        a, b = mine[step][figure], theirs[step][figure]
        if not abs(a - b) <= within * abs(b):
            raise Broken(f"step {step}: {figure} {a} here, {b} there")


class Outcome:
    """A run that has ended, and the folders of all tests."""

    def __init__(self, folder, exit_status, output, folder_of_test):
        self.folder = folder
        self.exit_status = exit_status
        self.output = output
        self.folder_of_test = folder_of_test

    def equals(self, name, within):
        compare(self.folder, self.folder_of_test(name), "loss", float(within))

    def norms_equal(self, name, within):
        compare(self.folder, self.folder_of_test(name), "grad_norm", float(within))

    def same_bits_as(self, name):
        other = self.folder_of_test(name)
        compare(self.folder, other, "loss", 0)
        mine, theirs = hashes(self.folder), hashes(other)
        different = sorted(n for n in mine.keys() | theirs.keys() if mine.get(n) != theirs.get(n))
        if different:
            raise Broken(f"weights differ: {', '.join(different)}")

    def resumes_at(self, step):
        self.says(f"Training starts at step {step}")

    def ends_at(self, step):
        last = max(metrics(self.folder), default=None)
        if last != int(step):
            raise Broken(f"the last step is {last}")

    def learns(self):
        steps = metrics(self.folder)
        first, last = steps[min(steps)]["loss"], steps[max(steps)]["loss"]
        if not last < first:
            raise Broken(f"the loss goes from {first} to {last}")

    def writes(self, pattern):
        found = [path for path in glob.glob(os.path.join(self.folder, pattern), recursive=True) if os.path.getsize(path) > 0]
        if not found:
            raise Broken("it is not there, or empty")

    def says(self, text):
        if text not in self.output:
            raise Broken("it does not")

    def refuses_with(self, text):
        if self.exit_status != 2:
            raise Broken(f"exit status {self.exit_status}, not 2")
        self.says(text)


SENTENCES = [(re.compile(pattern), method) for pattern, method in (
    (r"equals (\S+) within (\S+)", Outcome.equals),
    (r"norms equal (\S+) within (\S+)", Outcome.norms_equal),
    (r"same bits as (\S+)", Outcome.same_bits_as),
    (r"resumes at step (\d+)", Outcome.resumes_at),
    (r"ends at step (\d+)", Outcome.ends_at),
    (r"learns", Outcome.learns),
    (r"writes (\S+)", Outcome.writes),
    (r'says "(.*)"', Outcome.says),
    (r'refuses with "(.*)"', Outcome.refuses_with),
)]


def understood(sentence):
    """(method, arguments) of a sentence; None where it is none."""
    for pattern, method in SENTENCES:
        match = pattern.fullmatch(sentence)
        if match:
            return method, match.groups()
    return None


def finite(folder):
    for step, record in metrics(folder).items():
        if record["loss"] is None or not math.isfinite(record["loss"]):
            raise Broken(f"step {step}: loss {record['loss']}")


def check(sentences, outcome):
    """Throws Broken of the first that does not hold."""
    for sentence in sentences:
        method, arguments = understood(sentence)
        try:
            method(outcome, *arguments)
        except Broken as error:
            raise Broken(f"{sentence}: {error}") from None
