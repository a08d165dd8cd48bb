"""tokenizer_bench.py TOKENIZER_BENCH ENGLISH.jsonl [SECONDS]

Runs the tokenizer_bench program and the Python packages `tokenizers` and `sentencepiece` side by side, one thread each, on a
tokenizer of each family trained here on the texts. Prints a table: megabytes of text per second.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ["TOKENIZERS_PARALLELISM"] = "false"
sys.path.insert(0, str(Path(__file__).parent.parent / "python"))
import tokenizer_families_test as families  # noqa: E402
import tokenizer_sentencepiece_test as sentencepiece_models  # noqa: E402
from tokenizers import Tokenizer  # noqa: E402  (reads the variable)


def measure(encode, texts, seconds):
    size = sum(len(text.encode()) for text in texts)
    for text in texts[:100]:
        encode(text)
    rounds, start = 0, time.perf_counter()
    while (spent := time.perf_counter() - start) < seconds or rounds == 0:
        for text in texts:
            encode(text)
        rounds += 1
    return rounds * size / spent / 1e6


def main():
    program, path = sys.argv[1:3]
    seconds = float(sys.argv[3]) if len(sys.argv) > 3 else 3.0
    with open(path, encoding="utf-8") as file:
        texts = [json.loads(line)["text"] for line in file]
    some = texts[:1500]
    like = families.make_byte_level(some) | families.make_sentencepiece_like(some)
    wanted = ["qwen", "deepseek v3", "starcoder", "gpt-neox", "falcon", "clip", "llama 2", "mistral", "gemma", "metaspace"]
    rows = [(name, "tokenizer.json", like[name].to_str().encode()) for name in wanted]
    rows += [(name, "tokenizer.model", model) for name, model in sentencepiece_models.make_models(some).items()]
    print(f"{'tokenizer':32} {'ours':>9} {'package':>9}   MB/s")
    for name, file, content in rows:
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / file).write_bytes(content)
            done = subprocess.run([program, folder, path, str(seconds)], stdout=subprocess.PIPE, check=True, text=True)
            ours = float(done.stdout.split("encode ")[1].split()[0])
        if file == "tokenizer.json":
            encode = Tokenizer.from_str(content.decode()).encode
        else:
            encode = sentencepiece_models.SentencePieceReference(content).processor.encode
        print(f"{name:32} {ours:9.2f} {measure(encode, texts, seconds):9.2f}", flush=True)


if __name__ == "__main__":
    main()
