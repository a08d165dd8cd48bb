#!/usr/bin/env python3
"""Turns a record of a run of the Python original into a parity case: what went in, and the bits that came out.

  trim_case.py RECORD.json [...] --out FOLDER [--here] [--steps N]

--here: the records were made on this machine, so runs on its kind of processor must give the same bits.
--steps: only the first N are compared, because the original goes wrong afterwards, or because they are enough.
"""
import argparse
import json
import os
import re

from cpu import cpu_kind


def hashes(tensors):
    if isinstance(tensors, dict):  # of several processes
        return {name: t["sha256"] for name, t in tensors.items()}
    return {t["name"]: t["sha256"] for t in tensors}


def without_checkpoint(toml):
    """The original starts several ranks from a checkpoint of one process's weights; ours begin with those weights anyway."""
    return re.sub(r"\[checkpoint\]\n(?:(?!\[).*\n)*", "", toml)


def trim(record, cpu, steps):
    steps = steps or len(record["steps"])
    params = record["params" if record["nproc"] == 1 else "params_full_tensor"]
    batches = record["first_batch_per_rank"][0]
    validation = [{"step": v["step"], "loss": v["loss"]["repr"]} for v in record["validation"] if v["step"] <= steps]
    return {
        "case": record["case"],
        "reference": f'{record["reference"]}, torch {record["torch"]}',
        "cpu": cpu,
        "threads": record["omp_num_threads"],
        "ranks": record["nproc"],
        "toml": without_checkpoint(record["toml"]),
        "steps": [{"step": s["step"], "loss": s["loss"]["repr"], "grad_norm": s["grad_norm"]["repr"], "lr": s["lr"]["repr"],
                   "n_tokens_seen": s["n_tokens_seen"]} for s in record["steps"][:steps]],
        **({"validation": validation} if validation else {}),
        "first_batch": [{"input": b["input_sha256"], "labels": b["labels_sha256"]} for b in batches],
        "initial": hashes(params["initial"]),
        "final": hashes(params["final"]) if steps == len(record["steps"]) else {},
    }


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("records", nargs="+")
    parser.add_argument("--out", required=True)
    parser.add_argument("--here", action="store_true")
    parser.add_argument("--steps", type=int)
    args = parser.parse_args()
    for path in args.records:
        with open(path) as file:
            case = trim(json.load(file), cpu_kind() if args.here else None, args.steps)
        with open(os.path.join(args.out, case["case"] + ".json"), "w") as file:
            json.dump(case, file, indent=1)
            file.write("\n")


if __name__ == "__main__":
    main()
