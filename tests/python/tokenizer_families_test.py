"""Compares our tokenizer with the Python package `tokenizers` on the shapes that families of models use.

usage: tokenizer_families_test.py ENCODE_TEXTS SHIPPED_TOKENIZER_FOLDER

Normalizers, pre-tokenizers, models, post-processors and decoders are those of the families; the vocabularies are trained
here, on a little text. Ids and decoded text must be equal.
"""

import base64
import io
import json
import random
import re
import sys
import tempfile
from pathlib import Path

import sentencepiece
from sentencepiece import sentencepiece_model_pb2
from tokenizer_test import LLAMA3_PATTERN

from tokenizer_comparison import (
    SPECIAL,
    Comparison,
    Reference,
    all_characters,
    make_invalid_utf8,
    make_long_texts,
    make_texts,
    mixture,
    random_scalar,
    read_corpus,
)
from tokenizers import (
    AddedToken,
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)

QWEN_PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
DEEPSEEK_PATTERNS = [
    r"\p{N}{1,3}",
    "[一-龥぀-ゟ゠-ヿ]+",
    r"""[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+"""
    r"""| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+""",
]
CLIP_PATTERN = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"
DEEPSEEK_LLM_PATTERNS = ["[\r\n]", r"\s?[A-Za-zµÀ-ÖØ-öø-ƺƼ-ƿǄ-ʓʕ-ʯͰ-ͳͶͷͻ-ͽͿΆΈ-ΊΌΎ-ΡΣ-ϵϷ-ҁҊ-ԯԱ-Ֆ]+", r"\s?[!-/:-~！-／：-～‘-‟　-。]+",
                         r"\s+$", "[一-龥ࠀ-一가-퟿]+"]
BLOOM_PATTERN = r" ?[^(\s|[.,!?…。，、।۔،])]+"
KIMI_PATTERN = (
    r"[\p{Han}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
    r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
CL100K_PATTERN = (
    r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]|\s+(?!\S)|\s"
)
# Each is cut at in every character and in hard texts.
PATTERNS = [
    r"\w+", r"\W", r"[\w]+|[^\w]", r"[\W\d]+", r"[\p{Word}]", r"(?i)[^\r\n\p{L}\p{N}]?\p{L}+|[\s\d]", r"(?i:the|'s|[a-f]|и|[а-я])", r"(?i:\p{Lu})", r"[\P{Mn}]+", r"\b", r"\B.", r"^.", r".$", r"\A.|.\z|.\Z", r"\s+$|^\s+", r"\u200B|\x{200c}|\xE2\x80\x8D", r"[\u4E00-\u9FFF\x{a0}]",
    r"\h+", r"\H", r"\R", r"\N+", r"\O", r"(?m:.{2})", r"[^\S\r\n]+", r"[\P{L}a]", r"[^\P{L}a]", r"[\S]", r"[a-f&&[^c]&&d-z]|[^\p{L}&&[^a]]", r"[\s-]+",
    r"\p{N}{1,3}+", r"a{2}+", r"\p{L}{2}?x?", r"\p{L}{1,2}?\d?", r"\d{,2}x", r"e{,}|x{y}|{", r"(?<name>e)(?#no)", r"\p{^Lu}", r"\P{^Lu}",
    *(rf"[[:{name}:]]" for name in "alnum alpha ascii blank cntrl digit graph lower print punct space upper word xdigit ^alpha ^space".split()),
    *(rf"\p{{{name}}}" for name in """Letter Uppercase_Letter lowercase_letter Titlecase_Letter Modifier_Letter Other_Letter Cased_Letter LC Mark Nonspacing_Mark
      Spacing_Mark Enclosing_Mark Combining_Mark Number Decimal_Number Letter_Number Other_Number Punctuation Connector_Punctuation Dash_Punctuation Open_Punctuation
      Close_Punctuation Initial_Punctuation Final_Punctuation Other_Punctuation Punct Symbol Math_Symbol Currency_Symbol Modifier_Symbol Other_Symbol Separator
      Space_Separator Line_Separator Paragraph_Separator C Cn Other Unassigned Assigned Any ASCII Control Cntrl Format Private_Use Co Alphabetic Alpha Alnum
      Uppercase Upper Lowercase Lower White_Space Space Blank Digit Word Graph Print XDigit ASCII_Hex_Digit Emoji Emoji_Presentation Emoji_Modifier Emoji_Component
      Extended_Pictographic Variation_Selector Ideographic Unified_Ideograph Han Hani Hiragana Katakana Hangul Latin latn Greek Cyrillic Arabic Hebrew Devanagari
      Bengali Tamil Telugu Kannada Malayalam Thai Lao Tibetan Myanmar Khmer Ethiopic Georgian Armenian Mongolian Common Inherited Balinese Egyptian_Hieroglyphs
      Khitan_Small_Script Khojki Old_Italic Nko Yi""".split()),
]
BYTES = [f"<0x{byte:02X}>" for byte in range(256)]


def train(corpus, vocab_size, normalizer=None, pre_tokenizer=None, decoder=None, special=(), alphabet=(), **model):
    tokenizer = Tokenizer(models.BPE(**model))
    for name, step in [("normalizer", normalizer), ("pre_tokenizer", pre_tokenizer), ("decoder", decoder)]:
        if step is not None:
            setattr(tokenizer, name, step)
    suffix = {"end_of_word_suffix": model["end_of_word_suffix"]} if "end_of_word_suffix" in model else {}
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size, special_tokens=list(special), initial_alphabet=list(alphabet), show_progress=False, **suffix
    )
    tokenizer.train_from_iterator(corpus, trainer)
    return tokenizer


def byte_level(**options):
    return pre_tokenizers.ByteLevel(**{"add_prefix_space": False, "use_regex": False, **options})


def split(pattern, behavior="isolated", invert=False):
    return pre_tokenizers.Split(Regex(pattern), behavior, invert)


def template(tokenizer, single, tokens):
    tokenizer.post_processor = processors.TemplateProcessing(
        single=single, special_tokens=[(token, tokenizer.token_to_id(token)) for token in tokens]
    )


def edited(tokenizer, edit):
    """The tokenizer with its file changed by `edit`, for what the package reads but training does not make."""
    content = json.loads(tokenizer.to_str())
    edit(content)
    return Tokenizer.from_str(json.dumps(content))


def llama2_decoder():
    return decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )


def make_llama2(corpus, normalizer, pre_tokenizer, decoder, **model):
    """Trained with the blanks at the words' front, then run over whole texts as the family does."""
    options = {"unk_token": "<unk>", "fuse_unk": True, "byte_fallback": True, **model}
    special = ["<unk>", "<s>", "</s>"] + (BYTES if options["byte_fallback"] else [])
    tokenizer = train(
        corpus, 3000, pre_tokenizer=pre_tokenizers.Metaspace(), decoder=decoder, special=special, **options
    )
    tokenizer = edited(tokenizer, lambda content: content.update(added_tokens=[]))
    if normalizer is not None:
        tokenizer.normalizer = normalizer
    if pre_tokenizer is not None:
        tokenizer.pre_tokenizer = pre_tokenizer
    else:
        tokenizer = edited(tokenizer, lambda content: content.update(pre_tokenizer=None))
    tokenizer.add_special_tokens([AddedToken(t, normalized=False) for t in ["<unk>", "<s>", "</s>"]])
    template(tokenizer, "<s> $A", ["<s>"])
    return tokenizer


def make_sentencepiece_like(corpus):
    legacy = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    metaspace = pre_tokenizers.Metaspace
    first = dict(prepend_scheme="first", split=False)
    llama2 = make_llama2(corpus, legacy, None, llama2_decoder())
    normalized = make_llama2(corpus, legacy, None, llama2_decoder())
    normalized.add_tokens([AddedToken("the cat", normalized=True), AddedToken(SPECIAL[0], lstrip=True), "return"])
    gemma = make_llama2(corpus, normalizers.Replace(" ", "▁"), pre_tokenizers.Split(" ", "merged_with_previous"), llama2_decoder())

    def merge_across(content):
        vocab, merges = content["model"]["vocab"], content["model"]["merges"]
        vocab["e▁"] = len(vocab)
        merges.insert(40, ["e", "▁"])

    def half_the_bytes(content):
        vocab = content["model"]["vocab"]
        for byte in range(0x80, 0x100, 3):
            vocab[f"<no{byte}>"] = vocab.pop(f"<0x{byte:02X}>")

    whole_words = make_llama2(corpus, None, metaspace(), decoders.Metaspace(), ignore_merges=True)
    return {
        "llama 2": llama2,
        "llama 2, normalized added tokens": normalized,
        "llama 2, merges across blanks": edited(llama2, merge_across),
        "llama 2, half the byte tokens": edited(llama2, half_the_bytes),
        "llama 2, half the byte tokens, not fused": edited(
            edited(llama2, half_the_bytes), lambda content: content["model"].update(fuse_unk=False)
        ),
        "llama 2, no byte fallback": make_llama2(corpus[:60], legacy, None, llama2_decoder(), byte_fallback=False),
        "mistral": make_llama2(corpus, None, metaspace(**first), decoders.Sequence([decoders.ByteFallback(), decoders.Metaspace(**first)])),
        "gemma": gemma,
        "metaspace": make_llama2(corpus, None, metaspace(), decoders.Metaspace(), byte_fallback=False, fuse_unk=False),
        "metaspace, never": make_llama2(corpus, normalizers.NFKC(), metaspace(prepend_scheme="never"), decoders.Metaspace(prepend_scheme="never")),
        "metaspace, whole words": whole_words,
    }


def make_byte_level(corpus):
    qwen = train(corpus, 3000, normalizers.NFC(), pre_tokenizers.Sequence([split(QWEN_PATTERN), byte_level()]), decoders.ByteLevel(),
                 alphabet=byte_level().alphabet())
    qwen.add_special_tokens(["<|im_start|>", SPECIAL[1]])
    deepseek = train(corpus, 3000, normalizers.Sequence([]), pre_tokenizers.Sequence([*map(split, DEEPSEEK_PATTERNS), byte_level()]),
                     decoders.ByteLevel(), alphabet=byte_level().alphabet())
    deepseek.add_special_tokens([AddedToken("<|begin▁of▁sentence|>", normalized=False), SPECIAL[0]])
    template(deepseek, "<|begin▁of▁sentence|> $A", ["<|begin▁of▁sentence|>"])
    starcoder = train(corpus, 2000, None, pre_tokenizers.Sequence([pre_tokenizers.Digits(True), byte_level(use_regex=True)]), decoders.ByteLevel(),
                      alphabet=byte_level().alphabet())
    neox = train(corpus, 2000, normalizers.NFC(), byte_level(use_regex=True, add_prefix_space=True), decoders.ByteLevel(),
                 alphabet=byte_level().alphabet())
    neox.add_tokens([AddedToken(" " * n, normalized=True) for n in range(2, 6)])
    neox.add_tokens([AddedToken("e\u0301", normalized=True), AddedToken("Å", normalized=True, single_word=True)])
    falcon = train(corpus, 2000, None, pre_tokenizers.Sequence([pre_tokenizers.Punctuation("contiguous"), byte_level(use_regex=True),
                   pre_tokenizers.Digits(False), split("[0-9][0-9][0-9]")]), decoders.ByteLevel(), alphabet=byte_level().alphabet())
    clip = train(corpus, 2000, normalizers.Sequence([normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()]),
                 pre_tokenizers.Sequence([split(CLIP_PATTERN, "removed", True), byte_level()]), decoders.BPEDecoder("</w>"),
                 special=["<|startoftext|>", "<|endoftext|>"], alphabet=byte_level().alphabet(),
                 unk_token="<|endoftext|>", end_of_word_suffix="</w>")
    clip.post_processor = processors.RobertaProcessing(("<|endoftext|>", 1), ("<|startoftext|>", 0), False, False)
    roberta = train(corpus, 2000, None, byte_level(use_regex=True), decoders.ByteLevel(), special=["<s>", "</s>"], alphabet=byte_level().alphabet())
    roberta.post_processor = processors.BertProcessing(("</s>", 1), ("<s>", 0))
    families = {
        name: train(corpus, 2000, None, pre_tokenizers.Sequence([*steps, byte_level()]), decoders.ByteLevel(), alphabet=byte_level().alphabet())
        for name, steps in {"deepseek llm": [*map(split, DEEPSEEK_LLM_PATTERNS), pre_tokenizers.Digits(True)], "bloom": [split(BLOOM_PATTERN)],
                            "kimi k2": [split(KIMI_PATTERN)], "cl100k": [split(CL100K_PATTERN)]}.items()
    }
    return families | {"qwen": qwen, "deepseek v3": deepseek, "starcoder": starcoder, "gpt-neox": neox, "falcon": falcon, "clip": clip, "roberta": roberta,
            "byte level normalizer": train(corpus, 1500, normalizers.ByteLevel(), split(r"Ġ?[^Ġ]+"), decoders.ByteLevel(), alphabet=byte_level().alphabet())}


def make_steps(corpus):
    """Each normalizer and pre-tokenizer, over characters: every one of a text that the vocabulary has shows."""
    made = {}
    steps = {form.lower(): getattr(normalizers, form)() for form in ["NFC", "NFD", "NFKC", "NFKD", "Lowercase", "StripAccents", "Nmt"]}
    steps |= {
        "bert": normalizers.BertNormalizer(),
        "bert, clean": normalizers.BertNormalizer(True, False, False, False),
        "bert, chinese": normalizers.BertNormalizer(False, True, False, False),
        "bert, accents": normalizers.BertNormalizer(False, False, True, False),
        "bert, lower": normalizers.BertNormalizer(False, False, None, True),
        "nmt_nfkc": normalizers.Precompiled(charsmap(corpus[:60], normalization_rule_name="nmt_nfkc")),
        "nfkc_cf": normalizers.Precompiled(charsmap(corpus[:60], normalization_rule_name="nfkc_cf")),
        "own rules": own_rules(corpus[:60]),
        "strip": normalizers.Strip(),
        "strip left": normalizers.Strip(left=True, right=False),
        "strip right": normalizers.Strip(left=False, right=True),
        "replace text": normalizers.Replace("e", "<e>"),
        "replace pattern": normalizers.Replace(Regex(r"\p{Lu}|\d+"), "#"),
        "decompose, strip, lower": normalizers.Sequence([normalizers.NFD(), normalizers.StripAccents(), normalizers.Lowercase(), normalizers.Prepend("x")]),
    }
    for name, step in steps.items():
        # All bytes: nothing that the normalizer yields gets lost.
        made["normalizer: " + name] = train(corpus[:60], 600, step, byte_level(), decoders.ByteLevel(), alphabet=byte_level().alphabet())
        made["normalizer: " + name].add_tokens([AddedToken("Thé É", normalized=True), AddedToken(SPECIAL[0], normalized=True)])
    for name, step in {
        "digits": pre_tokenizers.Digits(False), "single digits": pre_tokenizers.Digits(True), "whitespace": pre_tokenizers.Whitespace(),
        "white space split": pre_tokenizers.WhitespaceSplit(), "punctuation": pre_tokenizers.Punctuation(),
        "punctuation, merged": pre_tokenizers.Punctuation("merged_with_next"), "punctuation, removed": pre_tokenizers.Punctuation("removed"),
        "delimiter": pre_tokenizers.CharDelimiterSplit("e"), "bert": pre_tokenizers.BertPreTokenizer(),
        "metaspace, other mark": pre_tokenizers.Metaspace("_"), "metaspace, split": pre_tokenizers.Sequence([pre_tokenizers.Metaspace(), pre_tokenizers.Digits(True)]),
    }.items():
        # A blank in front of each word shows where it was cut.
        show = pre_tokenizers.Sequence([step, byte_level(add_prefix_space=True)])
        made["pre-tokenizer: " + name] = train(corpus[:60], 600, None, show, decoders.ByteLevel(), alphabet=byte_level().alphabet())
    return made


def make_patterns(corpus):
    made = {}
    for pattern in PATTERNS:
        # A blank in front of each word shows where it was cut.
        steps = pre_tokenizers.Sequence([split(pattern), byte_level(add_prefix_space=True)])
        made["pattern: " + pattern] = train(corpus[:3], 300, None, steps, decoders.ByteLevel(), alphabet=byte_level().alphabet())
    return made


def without_bulk(characters):
    """Of large blocks of ideographs, syllables and private characters every 61st, and those at their edges."""
    blocks = [(0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xAC00, 0xD7A3), (0xE000, 0xF8FF), (0x17000, 0x18CFF), (0x20000, 0x323AF)]
    edges = [0x187F7, 0x18CD5, 0x2A6DF, 0x2B739, 0x2B81D, 0x2CEA1, 0x2EBE0, 0x2EE5D, 0x2F800, 0x2FA1D, 0x3134A, *(edge for block in blocks for edge in block)]
    keeps = lambda c: not any(a <= c <= b for a, b in blocks) or c % 61 == 0 or any(abs(c - edge) < 5 for edge in edges)
    return "".join(c for c in characters if keeps(ord(c)))


def charsmap(corpus, **options):
    """A table of rules as SentencePiece makes it."""
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(sentence_iterator=iter(corpus), model_writer=model, vocab_size=500, minloglevel=2,
                                             hard_vocab_limit=False, **options)
    return sentencepiece_model_pb2.ModelProto.FromString(model.getvalue()).normalizer_spec.precompiled_charsmap


def own_rules(corpus):
    """Rules for characters that stand in clusters, and for clusters."""
    rules = {"a": "<a>", "a\u0300": "<grave>", "e\u0301": "<acute>", "\r": "<cr>", "\u00a9": "<c>", "\u0600": "<sign>", "\u0300": "<mark>", "\u0e33": "", "b\u200d": "<join>"}
    with tempfile.NamedTemporaryFile("w", suffix=".tsv") as file:
        for what, with_ in rules.items():
            file.write(" ".join(f"{ord(c):X}" for c in what) + "\t" + " ".join(f"{ord(c):X}" for c in with_) + "\n")
        file.flush()
        return normalizers.Precompiled(charsmap(corpus, normalization_rule_tsv=file.name))


def make_unigram(corpus):
    """T5, XLM-RoBERTa, ALBERT."""
    rules = normalizers.Precompiled(charsmap(corpus, normalization_rule_name="nmt_nfkc"))
    albert = normalizers.Sequence([normalizers.Replace("``", '"'), normalizers.Replace("''", '"'), normalizers.NFKD(), normalizers.StripAccents(),
                                   normalizers.Lowercase(), rules, normalizers.Replace(Regex(" {2,}"), " ")])
    words = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()])
    metaspace = pre_tokenizers.Metaspace
    made = {}
    for name, (normalizer, pre_tokenizer, pieces) in {
        "t5": (rules, words, []), "xlm-roberta": (normalizers.Sequence([rules]), metaspace(), []), "albert": (albert, metaspace(), []),
        "t5, not legacy": (normalizers.Sequence([rules, normalizers.Strip(left=False, right=True), normalizers.Replace(Regex(" {2,}"), "▁")]), metaspace(prepend_scheme="first"), []),
        "unigram, whole texts": (None, metaspace(split=False), []), "unigram, bytes": (rules, metaspace(), BYTES),
    }.items():
        tokenizer = Tokenizer(models.Unigram())
        if normalizer is not None:
            tokenizer.normalizer = normalizer
        tokenizer.pre_tokenizer = pre_tokenizer
        tokenizer.decoder = decoders.Metaspace()
        tokenizer.train_from_iterator(corpus, trainers.UnigramTrainer(vocab_size=2000, show_progress=False, unk_token="<unk>",
                                                                      special_tokens=["<pad>", "</s>", "<unk>", *pieces]))
        if pieces:
            tokenizer = edited(tokenizer, lambda content: content["model"].update(byte_fallback=True) or content.update(added_tokens=[]))
            tokenizer.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Metaspace()])
        else:
            template(tokenizer, "$A </s>", ["</s>"])
            tokenizer.enable_padding()
        made[name] = tokenizer
    return made


def make_word_pieces(corpus):
    """BERT, cased and not."""
    made = {}
    for name, (options, most) in {"bert": ({}, 100), "bert, cased": (dict(lowercase=False), 100), "bert, accents": (dict(strip_accents=False), 8)}.items():
        tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]", max_input_chars_per_word=most))
        tokenizer.normalizer = normalizers.BertNormalizer(**options)
        tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        tokenizer.decoder = decoders.WordPiece(cleanup=most == 100)
        tokenizer.train_from_iterator(corpus, trainers.WordPieceTrainer(vocab_size=2500, show_progress=False, special_tokens=["[PAD]", "[UNK]", "[CLS]", "[SEP]"]))
        tokenizer = edited(tokenizer, lambda content, most=most: content["model"].update(max_input_chars_per_word=most))
        template(tokenizer, "[CLS] $A [SEP]", ["[CLS]", "[SEP]"])
        tokenizer.enable_padding()
        made[name] = tokenizer
    return made


class Ranks(Reference):
    """Llama 3's tokenizer.model by the rule of the package `tiktoken`."""

    def __init__(self, ranks):
        self.ranks, self.tokens = ranks, {rank: token for token, rank in ranks.items()}
        self.pieces = pre_tokenizers.Split(Regex(LLAMA3_PATTERN), "isolated")
        names = [SPECIAL[0], SPECIAL[1]]
        self.special = {name: len(ranks) + i for i, name in enumerate(names)}

    def merge(self, piece):
        parts = [piece] if piece in self.ranks else [bytes([byte]) for byte in piece]
        while True:
            pairs = [(self.ranks[a + b], i) for i, (a, b) in enumerate(zip(parts, parts[1:])) if a + b in self.ranks]
            if not pairs:
                return [self.ranks[part] for part in parts]
            at = min(pairs)[1]
            parts[at : at + 2] = [parts[at] + parts[at + 1]]

    def encode(self, text):
        ids = []
        for part in re.split("(" + "|".join(map(re.escape, self.special)) + ")", text):
            if part in self.special:
                ids.append(self.special[part])
            elif part:
                ids += [id for piece, _ in self.pieces.pre_tokenize_str(part) for id in self.merge(piece.encode())]
        return [self.special[SPECIAL[0]], *ids, self.special[SPECIAL[1]]]

    def decode(self, ids):
        return b"".join(self.tokens.get(id, b"") for id in ids).decode(errors="replace")

    def id_to_token(self, id):
        return self.tokens.get(id)


def compare_ranks(comparison, corpus, texts):
    model = json.loads(train(corpus, 2500, None, byte_level(use_regex=True), alphabet=byte_level().alphabet()).to_str())["model"]
    byte_of = {character: byte for byte, character in enumerate(byte_characters())}
    ranks = {bytes(byte_of[c] for c in token): rank for token, rank in model["vocab"].items()}
    for n in range(2, 9):  # many ways to the same bytes
        ranks.setdefault(b"a" * n, len(ranks))
        ranks.setdefault(b"ab" * n, len(ranks))
    lines = "".join(f"{base64.b64encode(token).decode()} {rank}\n" for token, rank in ranks.items())
    repeats = [("a" * n + "b" * (n % 3) + "aab" * (n % 5)).encode() for n in range(200)]
    compare_files(comparison, "llama 3, ranks", {"tokenizer.model": lines}, Ranks(ranks), texts + repeats)


def byte_characters():
    """GPT-2's character for each byte."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = iter(range(0x100, 0x200))
    return [chr(byte if byte in printable else next(others)) for byte in range(256)]


def make_others(corpus):
    words = sorted({word for text in corpus[:50] for word in text.split()})
    vocab = {word: i for i, word in enumerate(["[UNK]", " ", "Hello world!", *words])}
    word_level = Tokenizer(models.WordLevel(vocab=vocab, unk_token="[UNK]"))
    whole = Tokenizer(models.WordLevel(vocab=vocab, unk_token="[UNK]"))
    word_level.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    bytes_in_words = Tokenizer(models.WordLevel(vocab=vocab, unk_token="[UNK]"))
    bytes_in_words.pre_tokenizer = byte_level(use_regex=True)
    characters = train(corpus[:200], 2000)
    unknown = train(corpus[:20], 500, unk_token="<unk>", special=["<unk>"])
    return {"words": word_level, "whole texts": whole, "words of bytes": bytes_in_words, "characters": characters, "unknown characters": unknown}


def make_marks(rng):
    """Runs of characters that normalisation moves, joins or takes apart, old ones and new ones."""
    marks = "\u0301\u0300\u0308\u0323\u0327\u0328\u0345\u0338\u3099\u309a\u0334\u05b0\u093c\u0f71\u0f72\u1dfa\u0898\u07fd\u1ac1\u10efd\U0001193e\U00011930\u1161\u11a8"
    starters = "aAeEoOuUsS\u017f\u0226\u01ea\u1e9b\u0958\u0dd9\u1100\uac00\uac01\u2126\u212b\u3042\u304b\u2adc\ufb1d\ufb2c\U00011935\U000110a5\U0001d15f\u0344\u0340\u0f73ﷺ①½ﬃ㌀"
    pick = lambda: rng.choice(rng.choice([marks, starters, marks])) if rng.random() < 0.95 else random_scalar(rng, 0x30000)
    texts = ["".join(pick() for _ in range(rng.randrange(1, 12))) for _ in range(3000)]
    for base in range(0, 0x20000, 64):  # each character before and behind marks
        texts.append("".join(f"{chr(c)}\u0301{chr(c)}\u0323\u0301\u0345 e\u0301{chr(c)}\u0323" for c in range(base, base + 64) if not 0xD800 <= c < 0xE000))
    return texts


def compare_files(comparison, name, files, reference, texts, decodes=True):
    with tempfile.TemporaryDirectory() as folder:
        for file, content in files.items():
            (Path(folder) / file).write_text(content)
        comparison.run(name, folder, reference, texts, decodes)


def compare_vocabulary_files(comparison, corpus, texts):
    """vocab.json or vocab.txt, with merges.txt or not, as TorchTitan reads them."""
    made = train(corpus, 2000, None, byte_level(use_regex=True), decoders.ByteLevel(), alphabet=byte_level().alphabet())
    model = json.loads(made.to_str())["model"]
    merges = [tuple(pair) for pair in model["merges"] if not pair[0].startswith("#")]
    reference = Tokenizer(models.BPE(vocab=model["vocab"], merges=merges))
    reference.pre_tokenizer = byte_level(use_regex=True)
    reference.decoder = decoders.ByteLevel()
    reference.post_processor = processors.ByteLevel(trim_offsets=True)
    config = {"bos_token": "<s>", "eos_token": {"content": "</s>"}, "added_tokens_decoder": {}}
    lines = "#version: 0.2\n\n" + "".join(f" {left}  {right} more\r\n" for left, right in model["merges"])
    files = {"vocab.json": json.dumps(model["vocab"]), "merges.txt": lines, "tokenizer_config.json": json.dumps(config)}
    compare_files(comparison, "vocab.json and merges.txt", files, Reference(reference, config), texts)
    in_order = sorted(model["vocab"], key=model["vocab"].get)
    files = {"vocab.txt": "".join(f"{token} \n" for token in in_order), "merges.txt": lines}
    reference = Tokenizer(models.BPE(vocab=model["vocab"], merges=merges))
    reference.pre_tokenizer = byte_level(use_regex=True)
    reference.decoder = decoders.ByteLevel()
    compare_files(comparison, "vocab.txt and merges.txt", files, Reference(reference), texts)
    vocab = {"[UNK]": 0, "a": 1, "Hello world!": 4, "漢字": 5}
    words = Tokenizer(models.WordLevel(vocab=vocab, unk_token="[UNK]"))
    compare_files(comparison, "vocab.txt alone", {"vocab.txt": "[UNK]\n a\n\n\t\nHello world!\n漢字"}, Reference(words), texts[::10])
    compare_files(comparison, "vocab.json alone", {"vocab.json": json.dumps(vocab)}, Reference(words), texts[::10])


def main():
    comparison, shipped = Comparison(sys.argv[1]), Path(sys.argv[2])
    rng = random.Random(21)
    corpus = read_corpus(shipped)
    texts = make_texts(rng, corpus)
    texts = [text.encode() for text in texts + ["the cat the catch", " <s>a<s> b</s>", "▁ ▁▁a ▁", "Thé ÉTHÉ É", "\x01\x02abc \x01", "\u200bThe cat", "\xadThe", "<s>\x01The"]] + make_invalid_utf8(rng)
    marks = [text.encode() for text in make_marks(rng)]
    forms = (" nfc", " nfd", "nfkc", "nfkd")
    everything = [all_characters().encode()]
    long_texts = [text.encode() for text in make_long_texts(rng, corpus, 1 << 12)]
    megabytes = [text.encode() for text in make_long_texts(rng, corpus)[1::5]]
    some = corpus[:300] + [mixture(random.Random(1), 2000)]
    made = make_byte_level(some) | make_sentencepiece_like(some) | make_steps(some) | make_others(corpus)
    made |= make_unigram(some) | make_word_pieces(some) | make_patterns(corpus)
    most = [without_bulk(all_characters()).encode()]
    clusters = [f"a{c} {c}a {c}\u0300b{c}a\u0301{c} e\u0301{c}\r{c}\n\xa9{c}\u200d{c}".encode() for c in all_characters()]
    for name, tokenizer in made.items():
        if name.startswith("pattern:"):
            compare_files(comparison, name, {"tokenizer.json": tokenizer.to_str()}, Reference(tokenizer), texts[::20] + most, decodes=False)
            continue
        is_step = "normalizer:" in name or "tokenizer:" in name
        own = texts[::20] + everything if is_step else texts[::5] + long_texts
        own = own + (clusters if name.endswith("own rules") else [])
        own = own + (marks if name[-4:] in forms else marks[:1500] if name == "qwen" else [])
        own = own + (megabytes if name in ("qwen", "llama 2") else [])
        compare_files(comparison, name, {"tokenizer.json": tokenizer.to_str()}, Reference(tokenizer), own)
    compare_vocabulary_files(comparison, some, texts[::3])
    compare_ranks(comparison, some, texts[::3])
    comparison.report()


if __name__ == "__main__":
    main()
