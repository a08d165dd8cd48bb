"""What the tokenizer tests share: texts that are hard on tokenizers, and comparing our program with a reference."""

import json
import random
import struct
import subprocess
import sys
import time
from pathlib import Path

from tokenizers import AddedToken, Tokenizer

WHITE_SPACE = " \t\n\r\v\f\x85\xa0\u1680\u180e\u2000\u2003\u200a\u200b\u2028\u2029\u202f\u205f\u3000\ufeff"
SPECIAL = ["<|begin_of_text|>", "<|end_of_text|>"]
WORDS = "the and Training loss, don't WE'LL they'Ve it'ſ x = y_1 [0]; def f(self): return café naïve Ångström 12345678".split()


def random_scalar(rng, limit):
    while True:
        value = rng.randrange(limit)
        if not 0xD800 <= value < 0xE000:
            return chr(value)


def mixture(rng, length):
    """Text that jumps between scripts, blanks, digits, punctuation and marks every few characters."""
    makers = [
        lambda: rng.choice(WORDS),
        lambda: "".join(rng.choice(WHITE_SPACE) for _ in range(rng.randrange(1, 6))),
        lambda: " " * rng.randrange(1, 9),
        lambda: str(rng.randrange(10 ** rng.randrange(1, 12))),
        lambda: "".join(rng.choice("٠١٢٣४५六七Ⅷ½²𝟘") for _ in range(rng.randrange(1, 6))),
        lambda: "".join(random_scalar(rng, 0x110000) for _ in range(rng.randrange(1, 4))),
        lambda: "".join(random_scalar(rng, 0x3000) for _ in range(rng.randrange(1, 8))),
        lambda: "".join(chr(rng.randrange(0x4E00, 0x9FFF)) for _ in range(rng.randrange(1, 9))),
        lambda: "".join(chr(rng.randrange(0x10D40, 0x10D90)) for _ in range(2)),  # since Unicode 16
        lambda: "".join(chr(rng.randrange(0x31350, 0x323B0)) for _ in range(2)),  # since Unicode 15
        lambda: rng.choice(["👩‍👩‍👧‍👦", "🇫🇷", "👍🏽", "❤️", "🤖", "e\u0301", "\u0301", "ﷺ", "한국어", "ไทย", "हिन्दी"]),
        lambda: rng.choice(["'s", "'RE", "'ll", "'", "'S", "'ſ", "\u2019s", "''t"]),
        lambda: "".join(chr(rng.randrange(0x21, 0x7F)) for _ in range(rng.randrange(1, 10))),
        lambda: rng.choice(["\r\n", "\n\n\n", " \n ", "\t\t", "\r", "\n    return x\n"]),
        lambda: rng.choice(SPECIAL + ["<|end_of_text", "<|", " <|end_of_text|> ", "<mask>", "x<mask>"]),
        lambda: rng.choice(["<wide>", "  <wide>  ", "<x", "<xy>", " return "]),
        lambda: chr(0),
    ]
    return "".join(rng.choice(makers)() for _ in range(length))


def make_texts(rng, corpus):
    texts = ["", " ", "  ", "\n", "a", "'", "Hello world!", "\x00", "\U0010ffff", SPECIAL[0], SPECIAL[1] * 3, "\u180e \u180e"]
    texts += [mixture(rng, rng.randrange(1, 40)) for _ in range(1500)]
    texts += ["".join(random_scalar(rng, 0x110000) for _ in range(rng.randrange(1, 60))) for _ in range(300)]
    texts += corpus[:100]
    texts += [Path(__file__).read_text(encoding="utf-8")]
    return texts


def make_long_texts(rng, corpus, size=1 << 20):
    """Single lines of `size` characters or so."""
    return [
        "a" * size,
        "".join(rng.choice("abcdeth") for _ in range(size)),
        " " * size,
        "\n" * (size // 2) + " " * (size // 2) + "x",
        "1" * size,
        "漢字" * (size // 8),
        " ".join(corpus)[:size],
        mixture(rng, size // 7),
    ]


def all_characters():
    """Every character of the planes in which any is assigned, but for private ones."""
    planes = [range(0xD800), range(0xE000, 0x33500), range(0xE0000, 0xE0200), range(0x10FFF0, 0x110000)]
    return "".join(chr(c) for plane in planes for c in plane)


def make_invalid_utf8(rng):
    pieces = [b"\xff", b"\xc3", b"\xe2\x82", b"\xf0\x9f\x98", b"\xed\xa0\x80", b"\xc0\xaf", b"\xf5\x80\x80\x80", b"\x80"]
    pieces += [b"\xf4\x90\x80\x80", b"\xe0\x80\x80", b"ok ", "é".encode(), "🤖".encode()]
    return [b"".join(rng.choice(pieces) for _ in range(rng.randrange(1, 20))) for _ in range(300)]


class Reference:
    """TorchTitan's HuggingFaceTokenizer: `tokenizers` plus the special tokens of tokenizer_config.json."""

    def __init__(self, tokenizer, config=None):
        self.tokenizer = tokenizer
        self.before, self.after = [], []
        if config is None:
            return
        content = lambda token: token["content"] if isinstance(token, dict) else token
        tokens = []
        for key in ["bos_token", "eos_token", "pad_token", "unk_token", "sep_token", "cls_token", "mask_token"]:
            if config.get(key) is not None:
                tokens.append(self.added_token(config[key] if isinstance(config[key], dict) else {"content": config[key]}))
        tokens += [self.added_token(entry) for entry in config["added_tokens_decoder"].values()]
        self.tokenizer.add_special_tokens(tokens)
        own = self.tokenizer.encode("").ids
        bos, eos = (self.tokenizer.token_to_id(content(config[key])) for key in ["bos_token", "eos_token"])
        self.before = [] if bos in own else [bos]
        self.after = [] if eos in own else [eos]

    @staticmethod
    def added_token(entry):
        flags = {key: entry.get(key, False) for key in ["single_word", "lstrip", "rstrip"]}
        return AddedToken(entry["content"], **flags, normalized=entry.get("normalized", True), special=entry.get("special", True))

    def encode(self, text):
        return self.before + self.tokenizer.encode(text).ids + self.after

    def count_ties(self, text, ours, theirs):
        """How many ids differ though both are right; None when one is wrong."""
        return None

    def decode(self, ids):
        return self.tokenizer.decode(ids, skip_special_tokens=True)

    def id_to_token(self, id):
        return self.tokenizer.id_to_token(id)


def run_ours(program, folder, texts):
    """The ids of each text and what they decode to."""
    stream = b"".join(struct.pack("<I", len(text)) + text for text in texts)
    done = subprocess.run([program, str(folder)], input=stream, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    if done.returncode != 0:
        sys.exit(f"{folder}: {done.stderr.decode()}")
    lines = done.stdout.decode().split("\n")
    ids = [[int(word) for word in line.split()[1:]] for line in lines if line.startswith("ids:")]
    decoded = [bytes.fromhex(line[5:]).decode() for line in lines if line.startswith("text:")]
    assert len(ids) == len(decoded) == len(texts), f"{len(texts)} texts went in, {len(ids)} lines came out"
    return ids, decoded


class Comparison:
    """Compares tokenizers and counts."""

    def __init__(self, program):
        self.program = program
        self.start = time.monotonic()
        self.tokenizers = self.texts = self.ids = 0

    def run(self, name, folder, reference, texts, decodes=True):
        """Texts as bytes; what is no UTF-8 is compared with its repaired form."""
        start = time.monotonic()
        count = differing = 0
        for text, ours, decoded in zip(texts, *run_ours(self.program, folder, texts)):
            text = text.decode("utf-8", errors="replace")
            theirs = reference.encode(text)
            if ours != theirs and (others := reference.count_ties(text, ours, theirs)) is not None:
                differing += others
            elif ours != theirs:
                first = next((i for i, (a, b) in enumerate(zip(ours, theirs)) if a != b), min(len(ours), len(theirs)))
                window = slice(max(0, first - 5), first + 10)
                tokens = [reference.id_to_token(i) for i in theirs[window]]
                print(f"{name}: ids differ from position {first} of the text {text[:300]!r}")
                sys.exit(f"ours   {ours[window]}\ntheirs {theirs[window]} {tokens}")
            if decodes and decoded != (expected := reference.decode(ours)):
                first = next((i for i, (a, b) in enumerate(zip(decoded, expected)) if a != b), -20)
                print(f"{name}: the ids of {text[:300]!r} decode differently from character {first}")
                sys.exit(f"ours   {decoded[max(0, first - 20):][:60]!r}\ntheirs {expected[max(0, first - 20):][:60]!r}")
            count += len(theirs)
        self.tokenizers += 1
        self.texts += len(texts)
        self.ids += count
        ties = f", {differing} of them others that score the same" if differing else ""
        print(f"{name}: {len(texts)} texts, {count} ids equal{ties} ({time.monotonic() - start:.1f} s)", flush=True)

    def report(self):
        spent = time.monotonic() - self.start
        print(f"equal: {self.tokenizers} tokenizers, {self.texts} texts encoded and decoded, {self.ids} ids, in {spent:.0f} s")


def read_corpus(shipped):
    lines = (shipped.parent / "c4_test" / "data.jsonl").read_text().splitlines()
    return [json.loads(line)["text"] for line in lines]
