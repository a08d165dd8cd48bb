"""Reads suites: TOML files of tests, which are runs of titan_train and what must hold of them (README.md)."""
import dataclasses
import os
import re
import tomllib

FOLDER = os.path.dirname(os.path.abspath(__file__))
LAYOUTS = os.path.join(os.path.dirname(FOLDER), "layouts")


class SuiteError(Exception):
    """A suite file, or a wish of the command line, that cannot be meant."""


@dataclasses.dataclass
class Run:
    args: str = ""
    command: str = "train"  # or another command of titan_train
    holds: list = dataclasses.field(default_factory=list)
    stdout: str = ""  # a file in the test's folder


@dataclasses.dataclass
class Test:
    name: str
    runs: list
    description: str = ""
    ngpu: int = 4
    disabled: str = ""   # why; it never runs
    waits_for: list = dataclasses.field(default_factory=list)  # what refusals say as long as the program cannot do it
    holds: list = dataclasses.field(default_factory=list)  # when all runs are done

    def compared_with(self):
        """Names of other tests, which must have run before."""
        sentences = [*self.holds, *(sentence for run in self.runs for sentence in run.holds)]
        found = (re.match(r"(?:norms equal|equals|same bits as) (\S+)", sentence) for sentence in sentences)
        return list(dict.fromkeys(match[1] for match in found if match))


@dataclasses.dataclass
class Suite:
    name: str
    tests: dict  # by name
    config: str = ""  # a file; empty: that of the command line
    args: str = ""    # of all trainings, before the test's own
    steps: int = 10
    tokens: dict = dataclasses.field(default_factory=dict)  # files of token ids to be made: name, rows, seq_len, vocabulary

    def with_needed(self, names):
        """These tests behind those that they are compared with."""
        order = []

        def add(name, path=()):
            if name in path:
                raise SuiteError(f"{self.name}: {' -> '.join((*path, name))} is a circle of comparisons")
            if name not in self.tests:
                raise SuiteError(f"{self.name}: there is no test '{name}'")
            for other in self.tests[name].compared_with():
                add(other, (*path, name))
            if name not in order:
                order.append(name)

        for name in names:
            add(name)
        return [self.tests[name] for name in order]


def fill(kind, table, where):
    known = {field.name for field in dataclasses.fields(kind)}
    unknown = set(table) - known
    if unknown:
        raise SuiteError(f"{where}: unknown: {', '.join(sorted(unknown))}; known: {', '.join(sorted(known))}")
    return kind(**table)


def read_test(table, where):
    where = f"{where}: test '{table.get('name', '?')}'"
    runs = table.pop("run", None)
    if runs is None:
        runs = [{"args": table.pop("args", "")}]
    if "args" in table:
        raise SuiteError(f"{where}: args stand with its runs")
    return fill(Test, {**table, "runs": [fill(Run, run, where) for run in runs]}, where)


def suites():
    """{name: file} of those that are here."""
    files = (os.path.join(folder, file) for folder in (FOLDER, LAYOUTS) for file in os.listdir(folder) if file.endswith(".toml"))
    return {os.path.basename(file)[:-5]: file for file in files if not os.path.basename(file).startswith("base_config")}


def read_suite(name):
    """A suite's name, or the path of its file."""
    path = name if name.endswith(".toml") else suites().get(name, "")
    if not os.path.exists(path):
        raise SuiteError(f"there is no suite '{name}': it is one of {', '.join(sorted(suites()))}, or a path that ends with .toml")
    with open(path, "rb") as file:
        table = tomllib.load(file)
    tests = {}
    for entry in table.pop("test", []):
        test = read_test(entry, path)
        if test.name in tests:
            raise SuiteError(f"{path}: two tests are called '{test.name}'")
        tests[test.name] = test
    if "config" in table:
        table["config"] = os.path.join(os.path.dirname(path), table["config"])
    title = os.path.splitext(os.path.basename(path))[0]
    return fill(Suite, {**table, "name": title, "tests": tests}, path)
