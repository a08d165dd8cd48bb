"""Feeds one Weights & Biases run, with the `wandb` package of the user's own Python, for a trainer that has no Python.

titan_train carries this text and starts it; it can also be run by hand. Standard input, one JSON object per line:

    {"dir": FOLDER, "config": {...}}          first: where the run keeps its files, and the whole job config
    {"step": N, "values": {TAG: NUMBER}}      any number of these
    {"finish": EXIT_CODE}                     last; input that ends without it is a trainer that was killed

Answers on standard output, a line each: `running WHERE`, then `finished`; or `failed WHY` and nothing more. All that wandb itself
prints goes to standard error.
"""
import json
import os
import signal
import sys

# Names of the environment's variables (TorchTitan's) and what they set in wandb.init.
SETTINGS = {
    "WANDB_TEAM": "entity",
    "WANDB_PROJECT": "project",
    "WANDB_RUN_NAME": "name",
    "WANDB_RUN_ID": "id",
    "WANDB_RUN_NOTES": "notes",
    "WANDB_RUN_TAGS": "tags",
    "WANDB_RUN_GROUP": "group",
    "WANDB_RUN_JOB_TYPE": "job_type",
    "WANDB_RESUME_FROM": "resume_from",
    "WANDB_FORK_FROM": "fork_from",
}


class Failure(Exception):
    """Why there can be no run; the trainer shows it."""


def private(descriptor, replacement):
    """A copy of the descriptor that no child inherits; processes of wandb get `replacement` instead, and so hold no pipe open."""
    copy = os.dup(descriptor)
    os.dup2(replacement, descriptor)
    return copy


def import_wandb():
    # Not from the folder the trainer was started in, which may well have a `wandb` of earlier runs.
    sys.path = [folder for folder in sys.path if folder]
    try:
        import wandb
    except ImportError as error:
        raise Failure(f"{sys.executable} cannot import wandb ({error}). Install it there (pip install wandb), or name another "
                      "Python in TITAN_PYTHON") from error
    return wandb


def start(wandb, folder, config):
    settings = {name: os.environ[variable] for variable, name in SETTINGS.items() if os.environ.get(variable)}
    settings.setdefault("project", "torchtitan")
    if "tags" in settings:
        settings["tags"] = [tag.strip() for tag in settings["tags"].split(",") if tag.strip()]
    os.makedirs(folder, exist_ok=True)
    return wandb.init(dir=folder, config=config, settings=wandb.Settings(console="off"), **settings)


def feed(run, lines):
    """Logs until the trainer finishes; returns its exit code."""
    for line in lines:
        try:
            message = json.loads(line)
        except ValueError:  # the last line of a trainer that was killed
            continue
        if "finish" in message:
            return message["finish"]
        run.log(message["values"], step=message["step"])
    return 1


def main():
    # Whoever stops the trainer may signal us as well: we end when our input does, not earlier.
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2, signal.SIGXCPU):
        signal.signal(number, signal.SIG_IGN)
    lines = open(private(0, os.open(os.devnull, os.O_RDONLY)), "rb")
    answers = open(private(1, 2), "w", encoding="utf-8", errors="replace")

    def answer(*words):
        try:
            print(" ".join(" ".join(words).split()), file=answers, flush=True)
        except OSError:  # nobody listens any more
            pass

    try:
        first = json.loads(lines.readline())
        run = start(import_wandb(), first["dir"], first["config"])
    except Failure as failure:
        answer("failed", str(failure))
        return 1
    except Exception as error:  # whatever wandb raises: a wrong key, no network, a full disk
        answer("failed", f"{type(error).__name__}: {error}")
        return 1
    answer("running", run.url or run.dir)
    run.finish(exit_code=feed(run, lines))
    answer("finished")
    return 0


if __name__ == "__main__":
    sys.exit(main())
