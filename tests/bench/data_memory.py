#!/usr/bin/env python3
"""Trains on a large JSONL file and watches the memory, and the share of the time that training waits for data.

  data_memory.py TITAN_TRAIN [--gb 20] [--seconds 60] [--folder FOLDER]

Writes the file (rows of 1 to 16 KB of the shipped text), then trains: the debug model, for the share of waiting; the tiny model with
short rows and large batches, which reads as fast as it can, in order and shuffled, for the memory; and for comparison the same on the
first 20 MB of the file.
"""
import argparse
import json
import os
import random
import subprocess
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SHIPPED = os.path.join(ROOT, "tests/assets/c4_test/data.jsonl")
CONFIG = os.path.join(ROOT, "configs/llama3/debug_model_cpu.toml")


def write_corpus(path, size):
    rng = random.Random(1)
    with open(SHIPPED, encoding="utf-8") as file:
        text = " ".join(json.loads(line)["text"] for line in file)
    rows = []
    for _ in range(5000):
        start = rng.randrange(len(text) - 16384)
        rows.append(json.dumps({"text": text[start:start + rng.randrange(1024, 16384)]}) + "\n")
    with open(path, "w", encoding="utf-8") as file:
        while file.tell() < size:
            rng.shuffle(rows)
            file.write("".join(rows))


def resident_mb(pid):
    with open(f"/proc/{pid}/status", encoding="utf-8") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmRSS")) / 1024


def read_records(path):
    """The steps that are logged so far."""
    if not os.path.exists(path):
        return []
    with open(path, encoding="utf-8") as file:
        return [json.loads(line) for line in file if line.endswith("\n")]


def train(titan_train, folder, seconds, *args):
    dump = tempfile.mkdtemp(dir=folder)
    command = [os.path.abspath(titan_train), "--job.config_file", CONFIG, "--job.dump_folder", dump, "--training.steps=1000000",
               "--metrics.log_freq=1", *args]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)
    metrics = os.path.join(dump, "metrics.jsonl")
    while process.poll() is None and len(read_records(metrics)) < 2:
        time.sleep(0.1)
    samples = []
    end = time.time() + seconds
    while time.time() < end and process.poll() is None:
        time.sleep(0.5)
        samples.append(resident_mb(process.pid))
    process.terminate()
    if process.wait() != 143:
        raise SystemExit(f"{' '.join(command)} ended with status {process.returncode}")
    records = read_records(metrics)
    half = len(samples) // 2
    return {"steps": records[-1]["step"], "tokens": records[-1]["n_tokens_seen"],
            "mb_after_10%": round(samples[len(samples) // 10]), "mb_at_half": round(samples[half]), "mb_at_end": round(samples[-1]),
            "waiting_pct_median": sorted(r["data_loading_pct"] for r in records[1:])[(len(records) - 1) // 2]}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("titan_train")
    parser.add_argument("--gb", type=float, default=20)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--folder")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        large, small = (os.path.join(folder, name) for name in ("large.jsonl", "small.jsonl"))
        start = time.time()
        write_corpus(large, args.gb * 1e9)
        write_corpus(small, 20e6)
        print(f"wrote {os.path.getsize(large) / 1e9:.1f} GB in {time.time() - start:.0f} s")
        greedy = ["--model.flavor=tiny", "--training.seq_len=64", "--training.local_batch_size=256"]
        for name, path, options in (("debug model", large, []), ("20 MB, tiny model", small, greedy),
                                    ("in order, tiny model", large, greedy),
                                    ("shuffled, tiny model", large, [*greedy, "--data.shuffle"])):
            result = train(args.titan_train, folder, args.seconds, "--training.dataset_path", path, *options)
            print(f"{name:22} " + "  ".join(f"{key} {value:.3g}" if isinstance(value, float) else f"{key} {value}"
                                            for key, value in result.items()), flush=True)


if __name__ == "__main__":
    main()
