"""Compares our tokenizer with the Python package `tokenizers`, id by id.

usage: tokenizer_test.py ENCODE_TEXTS SHIPPED_TOKENIZER_FOLDER

ENCODE_TEXTS is our program (tests/tools/encode_texts.cpp). Every tokenizer below encodes every text with both; the first
difference fails the test with the text and both lists of ids.
"""

import json
import random
import sys
import tempfile
from pathlib import Path

from tokenizer_comparison import (
    SPECIAL,
    Comparison,
    Reference,
    all_characters,
    make_invalid_utf8,
    make_long_texts,
    make_texts,
    mixture,
    read_corpus,
)
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


def main():
    comparison, shipped = Comparison(sys.argv[1]), Path(sys.argv[2])
    rng = random.Random(20)
    corpus = read_corpus(shipped)
    texts = [text.encode() for text in make_texts(rng, corpus)] + make_invalid_utf8(rng)
    megabytes = [text.encode() for text in make_long_texts(rng, corpus)]
    long_texts = [text.encode() for text in [all_characters()] + make_long_texts(rng, corpus, 1 << 15)]
    for name, (tokenizer, config) in make_tokenizers(corpus[:400], shipped).items():
        with tempfile.TemporaryDirectory() as folder:
            folder = Path(folder)
            content = json.dumps(tokenizer) if isinstance(tokenizer, dict) else tokenizer.to_str()
            (folder / "tokenizer.json").write_text(content)
            if config is not None:
                (folder / "tokenizer_config.json").write_text(json.dumps(config))
            reference = Reference(Tokenizer.from_file(str(folder / "tokenizer.json")), config)
            comparison.run(name, folder, reference, texts[::6] if name.startswith("split:") else texts[::2])
            if name in ("shipped", "ignore_merges", "gpt2", "o200k pattern", "classes"):
                comparison.run(name + ", long texts", folder, reference, long_texts)
            if name == "llama3 pattern":
                comparison.run(name + ", megabytes", folder, reference, megabytes)
    comparison.report()


if __name__ == "__main__":
    main()
