"""Compares our tokenizer with the Python package `tokenizers`, id by id.

usage: tokenizer_test.py ENCODE_TEXTS SHIPPED_TOKENIZER_FOLDER

ENCODE_TEXTS is our program (tests/tools/encode_texts.cpp). Every tokenizer below encodes every text with both; the first
difference fails the test with the text and both lists of ids.
"""

import json
import random
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers

LLAMA3_PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
O200K_PATTERN = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
    r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
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


def make_long_texts(rng, corpus):
    return [
        "a" * (1 << 20),
        "".join(rng.choice("abcdeth") for _ in range(1 << 20)),
        " " * (1 << 20),
        "\n" * (1 << 19) + " " * (1 << 19) + "x",
        "1" * (1 << 20),
        "漢字" * (1 << 17),
        " ".join(corpus)[: 1 << 20],
        "".join(chr(c) for c in range(0x110000) if not 0xD800 <= c < 0xE000),
        mixture(rng, 150_000),
    ]


def make_invalid_utf8(rng):
    pieces = [b"\xff", b"\xc3", b"\xe2\x82", b"\xf0\x9f\x98", b"\xed\xa0\x80", b"\xc0\xaf", b"\xf5\x80\x80\x80", b"\x80"]
    pieces += [b"\xf4\x90\x80\x80", b"\xe0\x80\x80", b"ok ", "é".encode(), "🤖".encode()]
    return [b"".join(rng.choice(pieces) for _ in range(rng.randrange(1, 20))) for _ in range(300)]


def train(corpus, pre_tokenizer, vocab_size, alphabet=None, **model):
    tokenizer = Tokenizer(models.BPE(**model))
    tokenizer.pre_tokenizer = pre_tokenizer
    tokenizer.decoder = decoders.ByteLevel()
    special = [model["unk_token"]] if "unk_token" in model else []
    tokenizer.train_from_iterator(
        corpus,
        trainers.BpeTrainer(
            vocab_size=vocab_size,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet() if alphabet is None else alphabet,
            special_tokens=special,
            show_progress=False,
        ),
    )
    return tokenizer


def byte_level(**options):
    return pre_tokenizers.ByteLevel(**{"add_prefix_space": False, **options})


def split_then_bytes(pattern, behavior, invert=False):
    return pre_tokenizers.Sequence([pre_tokenizers.Split(pattern, behavior, invert), byte_level(use_regex=False)])


def make_trained_tokenizers(corpus):
    some = corpus + [mixture(random.Random(1), 2000)]
    few = corpus[:50]
    llama3 = split_then_bytes(Regex(LLAMA3_PATTERN), "isolated")
    digits_then_gpt2 = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(r"\p{N}{1,3}"), "isolated"), byte_level(add_prefix_space=True)]
    )
    classes = Regex(r"\P{L}\p{^N}|\S\D|[\d\p{Lm}]+|\p{Mn}\p{P}")
    return {
        "llama3 pattern": train(some, llama3, 5000),
        "gpt2": train(some, byte_level(), 2000),
        "prefix space": train(some, byte_level(add_prefix_space=True), 1000),
        "part of the alphabet": train(few, byte_level(), 600, alphabet=[]),
        "unknown token": train(few, byte_level(), 600, alphabet=[], unk_token="<unk>"),
        "fused unknown token": train(few, byte_level(), 600, alphabet=[], unk_token="<unk>", fuse_unk=True),
        "o200k pattern": train(some, split_then_bytes(Regex(O200K_PATTERN), "isolated"), 3000),
        "split then gpt2": train(some, digits_then_gpt2, 1500),
        "classes": train(corpus[:100], split_then_bytes(classes, "isolated"), 500),
        "ignore_merges": train(some, llama3, 3000, ignore_merges=True),
        "added tokens": with_added_tokens(train(some, llama3, 1500)),
    }


def make_split_tokenizers(corpus):
    made = {}
    for behavior in ["removed", "isolated", "merged_with_previous", "merged_with_next", "contiguous"]:
        for invert in [False, True]:
            for kind, pattern in [("regex", Regex(r"\s|\p{P}\d*|x*")), ("text", "e")]:
                name = f"split: {behavior}{', inverted' if invert else ''}, {kind}"
                made[name] = train(corpus[:100], split_then_bytes(pattern, behavior, invert), 500)
    return made


def with_added_tokens(tokenizer):
    """Every flag, and tokens added again with other flags."""
    tokenizer.add_tokens([AddedToken("<mask>", lstrip=True, normalized=False)])
    tokenizer.add_tokens([AddedToken("<wide>", lstrip=True, rstrip=True), AddedToken("<xy>")])
    tokenizer.add_tokens([AddedToken("<x", single_word=True, normalized=False), AddedToken("return", single_word=True)])
    tokenizer.add_special_tokens([AddedToken("the", normalized=False, single_word=True)])
    tokenizer.add_special_tokens([AddedToken(SPECIAL[0], normalized=False)])
    tokenizer.add_tokens([AddedToken("<|", rstrip=True), AddedToken(" ", normalized=True, single_word=True)])
    template = processors.TemplateProcessing(
        single=f"{SPECIAL[0]} $A <xy>:1 {SPECIAL[0]}",
        special_tokens=[(token, tokenizer.token_to_id(token)) for token in [SPECIAL[0], "<xy>"]],
    )
    tokenizer.post_processor = processors.Sequence([processors.ByteLevel(trim_offsets=False), template])
    return tokenizer


def make_edited_tokenizers(made):
    """Files that the package reads but would not write."""
    whole_words = json.loads(made["ignore_merges"].to_str())
    vocab = whole_words["model"]["vocab"]
    for word in ["Training", "Ġreturn", "zzzz", "ĠÃ©", "漢字"]:
        vocab.setdefault(word, len(vocab))
    written = json.loads(made["llama3 pattern"].to_str())
    written["model"]["merges"] = [" ".join(pair) for pair in written["model"]["merges"]]
    # TorchTitan's test tokenizer: the characters U+0000 to U+00FF themselves, no merges.
    plain = json.loads(made["gpt2"].to_str())
    plain["model"].update(vocab={chr(i): i for i in range(256)}, merges=[])
    return {"ignore_merges": whole_words, "merges as text": written, "plain characters": plain}


def make_tokenizers(corpus, shipped):
    """Name -> (Tokenizer or tokenizer.json as a dict, tokenizer_config.json as a dict or None)."""
    made = make_trained_tokenizers(corpus)
    made |= make_split_tokenizers(corpus)
    made |= make_edited_tokenizers(made)
    config = {
        "bos_token": {"content": SPECIAL[0], "lstrip": True},
        "eos_token": SPECIAL[1],
        "pad_token": None,
        "unk_token": "<unk>",
        "added_tokens_decoder": {
            "77": {"content": "<mask>", "lstrip": True, "normalized": False, "special": True},
            "5": {"content": SPECIAL[1], "rstrip": True, "special": False},
            "9": {"content": "they", "normalized": False},
        },
    }
    cases = {name: (tokenizer, None) for name, tokenizer in made.items()}
    for name in ["llama3 pattern", "added tokens", "plain characters"]:
        cases[f"config over {name}"] = (made[name], config)
    files = [shipped / "tokenizer.json", shipped / "tokenizer_config.json"]
    cases["shipped"] = tuple(json.loads(file.read_text()) for file in files)
    return cases


class Reference:
    """TorchTitan's HuggingFaceTokenizer: `tokenizers` plus the special tokens of tokenizer_config.json."""

    def __init__(self, folder, config):
        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
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


def encode_with_ours(program, folder, texts):
    stream = b"".join(struct.pack("<I", len(text)) + text for text in texts)
    done = subprocess.run([program, str(folder)], input=stream, stdout=subprocess.PIPE, check=True)
    lines = [line for line in done.stdout.decode().split("\n") if line.startswith("ids:")]
    assert len(lines) == len(texts), f"{len(texts)} texts went in, {len(lines)} lines came out"
    return [[int(word) for word in line.split()[1:]] for line in lines]


def compare(name, program, folder, reference, texts):
    """Texts as bytes; what is no UTF-8 is compared with its repaired form."""
    count = 0
    for text, ours in zip(texts, encode_with_ours(program, folder, texts)):
        theirs = reference.encode(text.decode("utf-8", errors="replace"))
        if ours != theirs:
            first = next((i for i, (a, b) in enumerate(zip(ours, theirs)) if a != b), min(len(ours), len(theirs)))
            window = slice(max(0, first - 5), first + 10)
            tokens = [reference.tokenizer.id_to_token(i) for i in theirs[window]]
            print(f"{name}: ids differ from position {first} of the text {text[:300]!r}")
            sys.exit(f"ours   {ours[window]}\ntheirs {theirs[window]} {tokens}")
        count += len(theirs)
    print(f"{name}: {len(texts)} texts, {count} ids equal", flush=True)


def main():
    program, shipped = sys.argv[1], Path(sys.argv[2])
    rng = random.Random(20)
    lines = (shipped.parent / "c4_test" / "data.jsonl").read_text().splitlines()
    corpus = [json.loads(line)["text"] for line in lines]
    texts = [text.encode() for text in make_texts(rng, corpus)] + make_invalid_utf8(rng)
    long_texts = [text.encode() for text in make_long_texts(rng, corpus)]
    for name, (tokenizer, config) in make_tokenizers(corpus[:400], shipped).items():
        with tempfile.TemporaryDirectory() as folder:
            folder = Path(folder)
            content = json.dumps(tokenizer) if isinstance(tokenizer, dict) else tokenizer.to_str()
            (folder / "tokenizer.json").write_text(content)
            if config is not None:
                (folder / "tokenizer_config.json").write_text(json.dumps(config))
            reference = Reference(folder, config)
            compare(name, program, folder, reference, texts[::3] if name.startswith("split:") else texts)
            if name in ("shipped", "ignore_merges", "gpt2", "o200k pattern", "classes"):
                compare(name + ", long texts", program, folder, reference, long_texts)


if __name__ == "__main__":
    main()
