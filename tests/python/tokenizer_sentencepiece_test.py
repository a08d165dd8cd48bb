"""Compares our reader of SentencePiece models with the Python package `sentencepiece`.

usage: tokenizer_sentencepiece_test.py ENCODE_TEXTS SHIPPED_TOKENIZER_FOLDER

Models are trained here, unigram and BPE, with the options that change what encoding does.
"""

import io
import random
import sys
import tempfile
from pathlib import Path

import sentencepiece
from tokenizer_comparison import SPECIAL, Comparison, all_characters, make_invalid_utf8, make_long_texts, make_texts, mixture, read_corpus


class SentencePieceReference:
    def __init__(self, model):
        self.processor = sentencepiece.SentencePieceProcessor(model_proto=model)

    def encode(self, text):
        around = [[id] if id >= 0 else [] for id in (self.processor.bos_id(), self.processor.eos_id())]
        return around[0] + self.processor.encode(text) + around[1]

    def decode(self, ids):
        return self.processor.decode(ids)

    def id_to_token(self, id):
        return self.processor.id_to_piece(id)


def train(corpus, vocab_size, **options):
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(corpus), model_writer=model, vocab_size=vocab_size, minloglevel=2, hard_vocab_limit=False, **options
    )
    return model.getvalue()


def make_models(corpus):
    user = ["<mask>", "  ", "▁the▁", "return", "12", SPECIAL[0]]
    llama2 = dict(model_type="bpe", byte_fallback=True, normalization_rule_name="identity", remove_extra_whitespaces=False,
                  split_digits=True, allow_whitespace_only_pieces=True)
    return {
        "bpe, llama 2": train(corpus, 3000, **llama2),
        "bpe": train(corpus, 2000, model_type="bpe"),
        "bpe, pieces of the user": train(corpus, 1500, model_type="bpe", user_defined_symbols=user, byte_fallback=True),
        "bpe, across blanks": train(corpus[:100], 1500, model_type="bpe", split_by_whitespace=False, remove_extra_whitespaces=False),
        "bpe, blanks behind": train(corpus, 1500, model_type="bpe", treat_whitespace_as_suffix=True),
        "bpe, no prefix": train(corpus, 1500, model_type="bpe", add_dummy_prefix=False, normalization_rule_name="nfkc_cf", bos_id=-1),
        "unigram": train(corpus, 2000),
        "unigram, byte fallback": train(corpus, 2500, byte_fallback=True, remove_extra_whitespaces=False, normalization_rule_name="nfkc"),
        "unigram, pieces of the user": train(corpus, 1500, user_defined_symbols=user, control_symbols=["<ctrl>", SPECIAL[1]]),
        "unigram, across blanks": train(corpus[:100], 1500, split_by_whitespace=False, normalization_rule_name="identity", bos_id=5, eos_id=-1),
        "unigram, blanks behind": train(corpus, 1500, treat_whitespace_as_suffix=True, add_dummy_prefix=True),
        "unigram, no prefix": train(corpus, 1500, add_dummy_prefix=False, remove_extra_whitespaces=False, pad_id=3),
    }


def main():
    comparison, shipped = Comparison(sys.argv[1]), Path(sys.argv[2])
    rng = random.Random(22)
    corpus = read_corpus(shipped)
    texts = make_texts(rng, corpus) + ["▁a", "▁▁ ▁", " a  b ", "<mask>x<s></s><unk><0x41>", "the the  the", "ﬃ㌀Å e\u0301 １２", "\u200b\ufeffa\u00ad"]
    texts = [text.encode() for text in texts] + make_invalid_utf8(rng)
    everything = [all_characters().encode()]
    long_texts = [text.encode() for text in make_long_texts(rng, corpus, 1 << 15)]
    megabytes = [text.encode() for text in make_long_texts(rng, corpus)]
    some = corpus[:400] + [mixture(random.Random(1), 2000)[:4000]]
    for name, model in make_models(some).items():
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / ("spiece.model" if "user" in name else "tokenizer.model")).write_bytes(model)
            own = texts[::2] + everything + long_texts + (megabytes if name in ("bpe, llama 2", "unigram") else [])
            comparison.run(name, folder, SentencePieceReference(model), own)
    comparison.report()


if __name__ == "__main__":
    main()
