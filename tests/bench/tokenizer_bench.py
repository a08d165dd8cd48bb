"""tokenizer_bench.py FOLDER FILE.jsonl [SECONDS]

What tokenizer_bench measures, for the Python package `tokenizers`, one thread.
"""

import json
import os
import sys
import time

os.environ["TOKENIZERS_PARALLELISM"] = "false"
from tokenizers import Tokenizer  # noqa: E402  (reads the variable)


def main():
    folder, path = sys.argv[1:3]
    seconds = float(sys.argv[3]) if len(sys.argv) > 3 else 3.0
    start = time.perf_counter()
    tokenizer = Tokenizer.from_file(f"{folder}/tokenizer.json")
    load = time.perf_counter() - start
    with open(path, encoding="utf-8") as file:
        texts = [json.loads(line)["text"] for line in file]
    size = sum(len(text.encode()) for text in texts)
    rounds = ids = 0
    start = time.perf_counter()
    while time.perf_counter() - start < seconds:
        ids += sum(len(tokenizer.encode(text).ids) for text in texts)
        rounds += 1
    spent = time.perf_counter() - start
    print(f"load {load * 1e3:.1f} ms, encode {rounds * size / spent / 1e6:.2f} MB/s, {ids / spent / 1e6:.2f} M ids/s")


if __name__ == "__main__":
    main()
