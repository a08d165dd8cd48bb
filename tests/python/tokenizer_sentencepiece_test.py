"""Compares SentencePiece models through Debian's libsentencepiece 0.1.97 with the Python package `sentencepiece` 0.2.x.

usage: tokenizer_sentencepiece_test.py ENCODE_TEXTS SHIPPED_TOKENIZER_FOLDER

Models are trained here, of all four types, with the options that change what encoding does. Ids are the same, but for unigram models
where two ways to cut a stretch of text score the same up to the rounding of their sums: a sum is a float32 over the whole text in 0.1.97,
and starts over now and then in 0.2.x, so that the two break such ties differently, in long texts more often.
"""

import bisect
import io
import itertools
import random
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy
import sentencepiece
from tokenizer_comparison import SPECIAL, Comparison, all_characters, make_invalid_utf8, make_long_texts, make_texts, mixture, read_corpus


class SentencePieceReference:
    def __init__(self, model, is_unigram=False):
        self.processor = sentencepiece.SentencePieceProcessor(model_proto=model)
        self.is_unigram = is_unigram
        scores = [self.processor.get_score(id) for id in range(len(self.processor))]
        self.unknown_score = min(scores) - 10

    def encode(self, text):
        around = [[id] if id >= 0 else [] for id in (self.processor.bos_id(), self.processor.eos_id())]
        return around[0] + self.processor.encode(text) + around[1]

    def count_ties(self, text, ours, theirs):
        """How many of our ids are others than theirs where all of these are ties, else None."""
        if not self.is_unigram:
            return None
        scores = list(map(self.score, self.processor.encode(text), self.processor.encode(text, out_type=str)))
        sums = list(itertools.accumulate([0.0] * (len(theirs) - len(scores)) + scores))
        count = 0
        for mine, yours, total in stretches(ours, theirs, sums, self.processor.id_to_piece):
            if mine == yours:
                continue
            rounding = (len(mine) + len(yours)) * numpy.spacing(numpy.float32(abs(total)))
            difference = sum(map(self.processor.get_score, mine)) - sum(map(self.processor.get_score, yours))
            if not self.same_text(mine, yours) or abs(difference) > rounding:
                return None
            count += len(mine)
        return count

    def score(self, id, piece):
        """What a piece adds to the sum: one that is unknown may be many characters, or bytes of one."""
        if self.processor.is_unknown(id):
            return self.unknown_score * len(piece)
        if self.processor.is_byte(id):
            return 0 if "<0x80>" <= piece <= "<0xBF>" else self.unknown_score
        return self.processor.get_score(id)

    def same_text(self, *both):
        return len({"".join(map(self.processor.id_to_piece, ids)) for ids in both}) == 1

    def decode(self, ids):
        return self.processor.decode(ids)

    def id_to_token(self, id):
        return self.processor.id_to_piece(id)


def stretches(ours, theirs, sums, piece_of):
    """Cuts both at all places where they have come equally far: lists of ids, and the sum of scores up to there."""

    def ends(ids):
        return list(itertools.accumulate(len(piece_of(id)) for id in ids))

    ends_of_ours, ends_of_theirs = ends(ours), ends(theirs)
    i = j = 0
    for end in sorted({*ends_of_ours} & {*ends_of_theirs} | {max(ends_of_ours[-1], ends_of_theirs[-1])}):
        next_i, next_j = bisect.bisect(ends_of_ours, end), bisect.bisect(ends_of_theirs, end)
        yield ours[i:next_i], theirs[j:next_j], sums[min(next_j, len(sums)) - 1]
        i, j = next_i, next_j


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
        "bpe, denormaliser": train(corpus, 1500, model_type="bpe", denormalization_rule_tsv=str(Path(__file__).parent / "denormalization.tsv")),
        "word": train(corpus, 1000, model_type="word"),
        "char": train(corpus, 1000, model_type="char", byte_fallback=True),
        "unigram": train(corpus, 2000),
        "unigram, byte fallback": train(corpus, 2500, byte_fallback=True, remove_extra_whitespaces=False, normalization_rule_name="nfkc"),
        "unigram, pieces of the user": train(corpus, 1500, user_defined_symbols=user, control_symbols=["<ctrl>", SPECIAL[1]]),
        "unigram, across blanks": train(corpus[:100], 1500, split_by_whitespace=False, normalization_rule_name="identity", bos_id=5, eos_id=-1),
        "unigram, blanks behind": train(corpus, 1500, treat_whitespace_as_suffix=True, add_dummy_prefix=True),
        "unigram, no prefix": train(corpus, 1500, add_dummy_prefix=False, remove_extra_whitespaces=False, pad_id=3),
    }


def check_without_the_library(program, model):
    """The program alone, without libtitan_sentencepiece.so beside it."""
    with tempfile.TemporaryDirectory() as folder:
        alone = shutil.copy(program, folder)
        (Path(folder) / "tokenizer.model").write_bytes(model)
        error = subprocess.run([alone, folder], input=b"", stderr=subprocess.PIPE, stdout=subprocess.PIPE).stderr.decode()
        assert "this build reads no SentencePiece models: '" in error, error


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
            comparison.run(name, folder, SentencePieceReference(model, is_unigram="unigram" in name), own)
    check_without_the_library(sys.argv[1], model)
    comparison.report()


if __name__ == "__main__":
    main()
