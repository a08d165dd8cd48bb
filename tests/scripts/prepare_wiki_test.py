"""prepare_wiki.sh on a dump made here, and what its parts do with odd input."""

import bz2
import contextlib
import hashlib
import io
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
import unittest
import zipfile
from pathlib import Path
from unittest import mock
from xml.sax.saxutils import escape

from machine import ROOT

sys.path.insert(0, str(ROOT / "scripts"))
import prepare_wiki
from wiki_markup import is_disambiguation, plain_text

MARKUP = [
    ("links show their labels", "[[Athens]] and [[Sparta|the Spartans]]'s [[city-state]]s", "Athens and the Spartans's city-states"),
    ("a link with an empty label shows no qualifier", "[[Mercury (planet)|]]", "Mercury"),
    ("pictures, categories and other languages go", "a [[File:x.jpg|thumb|of [[b]] {{c}}]]b [[Category:d]]\n[[fr:Chose]]", "a b"),
    ("a link to a category is text", "[[:Category:Towns]]", "Category:Towns"),
    ("outward links show their labels", "see [http://a.example/b the page] and [https://c.example]", "see the page and"),
    ("emphasis goes", "'''''Iliad''''' by '''Homer''', ''not'' O'Neill's", "Iliad by Homer, not O'Neill's"),
    ("templates go, however nested", "a{{b|{{c|{{d}}}}|[[e|f]]}} g", "a g"),
    ("templates that are text stay", "{{lang|fr|chat}}, {{nowrap|two words}}, {{as of|2015|lc=y}}", "chat, two words, as of 2015"),
    ("measures are written out", "{{convert|5|to(-)|7.5|km2|sqmi|abbr=on}} or {{convert|6|ft|1|in|m}}", "5 to 7.5 km² or 6 ft 1 in"),
    ("brackets around what went go too", "Aaron ({{IPAc-en|ˈ|ær}}; {{lang|he|אהרן}} ), b ({{x}}).", "Aaron (אהרן), b."),
    ("amounts that cannot be computed go with their brackets", "$5 (${{formatnum:{{inflation|US|5}}}} today) a day", "$5 a day"),
    ("tables go, nested ones too", "a\n{| class=x\n|-\n| b\n{|\n| c\n|}\n| {{d|e=|}}\n|}\nf", "a\n\nf"),
    ("footnotes go", 'a<ref name="b/c"/> d<ref name=e>{{cite|f}} g</ref>, h<ref\n>i</ref>.', "a d, h."),
    ("comments go, the last one unclosed", "a<!-- b\n -->c<!-- d", "ac"),
    ("other tags leave their text", "<div class='x'>a</div><br/>b <code>c()</code>", "a\nb c()"),
    ("small numbers stay small", "H<sub>2</sub>O, 10<sup>-8</sup>, 4<sup>th</sup>", "H₂O, 10⁻⁸, 4th"),
    ("entities become characters", "a&nbsp;&lt;b&gt; &amp;amp; &#233;", "a <b> &amp; é"),
    ("what is not to be understood as markup is not", "<nowiki>[[a]] ''b'' &lt;</nowiki>", "[[a]] ''b'' <"),
    ("formulas stay", "if <math>\n{x}^2_{ij} < 1</math>", "if ${x}^2_{ij} < 1$"),
    ("headings are lines", "a\n==B ==\n=== c ===\nd", "a\n\nB\n\nc\n\nd"),
    ("headings without text go", "a\n== b ==\n=== c ===\n== d ==\ne", "a\n\nd\n\ne"),
    ("sections of sources go", "a\n== References ==\nb\n=== c ===\nd\n== E ==\nf", "a\n\nE\n\nf"),
    ("lists", "* a\n** b\n# c\n: d\n; e", "- a\n- b\n- c\nd\ne"),
    ("unclosed markup does not swallow what follows", "{{a|b\n\nc [[d\n\ne", "a|b\n\nc d\n\ne"),
    ("closing marks alone are noise", "a}} b]] c\n|}\nd", "a b c\n\nd"),
    ("nothing", "", ""),
]


class Markup(unittest.TestCase):
    def test_becomes_text(self):
        for story, wikitext, text in MARKUP:
            with self.subTest(story):
                self.assertEqual(plain_text(wikitext), text)

    def test_disambiguation_pages_are_known(self):
        self.assertTrue(is_disambiguation("'''A''' may be:\n{{Disambiguation|geo}}"))
        self.assertTrue(is_disambiguation("{{hndis|Smith}}"))
        self.assertFalse(is_disambiguation("{{About|B|the other|C (disambiguation)}}"))

    def test_takes_time_in_proportion_to_the_text_whatever_it_is(self):
        begin = time.monotonic()
        for piece in ["{{", "[[a|", "{|\n", "{{quote|", "<", "<ref>", "<math>", "<!--", "(", ", ", "= ", "[//a ",
                      "({{inflation}}", "*"]:
            plain_text(piece * (200_000 // len(piece)))
        self.assertLess(time.monotonic() - begin, 60)


def page(title, text, namespace=0, redirect=""):
    return (f"<page><title>{escape(title)}</title><ns>{namespace}</ns><id>1</id>{redirect}<revision><contributor><username>x</username>"
            f"</contributor><text xml:space='preserve'>{escape(text)}</text></revision></page>")


def dump_of(pages, head='<mediawiki xmlns="http://www.mediawiki.org/xml/export-0.10/">'):
    return bz2.compress((head + "".join(pages) + "</mediawiki>").encode())


def prose(number):
    return " ".join(f"Sentence {number * 7 + i} of '''article {number}''' says [[thing|things]] about the {'aeiou'[i % 5]}rchive."
                    for i in range(30))


def pages_of_a_small_wiki():
    return [page(f"Article {number} & so on", prose(number)) for number in range(60)] + [
        page("Old name", "#REDIRECT [[Article 1]]", redirect='<redirect title="Article 1" />'),
        page("Older name", "  #redirect [[Article 1]] " + prose(1)),
        page("Talk:Article 1", prose(2), namespace=1),
        page("Stub", "Short."),
        page("Word", prose(3) + "{{disambiguation}}"),
        page("Article 1 & so on", "The same title again. " + prose(4)),
    ]


class Folder(unittest.TestCase):
    def setUp(self):
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.folder = Path(temporary.name)
        self.out = self.folder / "wi ki"

    def write_dump(self, data):
        dump = self.folder / "dump.xml.bz2"
        dump.write_bytes(data)
        return dump

    def names(self):
        return sorted(str(path.relative_to(self.out)) for path in self.out.rglob("*") if path.is_file()) if self.out.exists() else []

    def titles(self, name):
        with open(self.out / name, encoding="utf-8") as lines:
            return [json.loads(line)["title"] for line in lines]


def seconds_of_children():
    """Of a core, however busy the machine is."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


class Corpus(Folder):
    """prepare_wiki.sh itself, in a clone whose bootstrap is pretended."""

    def setUp(self):
        super().setUp()
        self.clone = self.folder / "clone"
        (self.clone / "scripts").mkdir(parents=True)
        for name in ("prepare_wiki.sh", "prepare_wiki.py", "wiki_markup.py"):
            shutil.copy(ROOT / "scripts" / name, self.clone / "scripts")
        bootstrap = self.clone / "scripts/bootstrap.sh"
        bootstrap.write_text(f"""#!/bin/bash
            case "$1" in
              --tests) echo called >>"{self.folder}/bootstrap" ;;
              --print-python) echo "{sys.executable}" ;;
              --print-cache) echo "{self.folder}/cache" ;;
            esac""", encoding="utf-8")
        bootstrap.chmod(0o755)

    def prepare(self, *arguments, **options):
        return subprocess.run([self.clone / "scripts/prepare_wiki.sh", *map(str, arguments)], cwd=self.folder, capture_output=True,
                              text=True, stdin=subprocess.DEVNULL, timeout=300, check=False, **options)

    def prepared(self, *arguments):
        result = self.prepare(*arguments)
        self.assertEqual(result.returncode, 0, result.stderr)
        return result

    def test_articles_are_split_and_the_tokenizer_loads(self):
        dump = self.write_dump(dump_of(pages_of_a_small_wiki()))
        result = self.prepared("--dump", dump, self.out)
        self.assertEqual(self.names(), ["LICENSE", "SHA256SUMS", "tokenizer/tokenizer.json", "tokenizer/tokenizer_config.json",
                                        "train.jsonl", "validation.jsonl"])
        train, validation = self.titles("train.jsonl"), self.titles("validation.jsonl")
        self.assertEqual(sorted(train + validation), sorted(f"Article {number} & so on" for number in range(60)))
        self.assertGreater(len(train), 10 * len(validation))
        self.assertTrue(validation)
        self.assertIn(f"train.jsonl: {len(train)} articles", result.stdout)
        for name in self.names():
            if name != "SHA256SUMS":
                self.assertIn(f"{hashlib.sha256((self.out / name).read_bytes()).hexdigest()}  {name}", result.stdout)
        self.assertIn("Attribution-ShareAlike", (self.out / "LICENSE").read_text(encoding="utf-8"))
        self.check_tokenizer()

    def check_tokenizer(self):
        from tokenizers import Tokenizer

        tokenizer = Tokenizer.from_file(str(self.out / "tokenizer/tokenizer.json"))
        size = tokenizer.get_vocab_size()
        config = json.loads((self.out / "tokenizer/tokenizer_config.json").read_text(encoding="utf-8"))
        self.assertEqual([tokenizer.token_to_id(config[name]) for name in ("bos_token", "eos_token")], [size - 2, size - 1])
        self.assertLessEqual(size, 8192)
        with open(self.out / "train.jsonl", encoding="utf-8") as lines:
            text = json.loads(next(lines))["text"]
        self.assertTrue(text.startswith("Article 0 & so on\n\nSentence 0 of article 0 says things about"))
        for sample in (text, "naïve \t 日本 🙂\r\n\n 12345"):
            ids = tokenizer.encode(sample).ids
            self.assertEqual(ids[0], size - 2)
            self.assertEqual(tokenizer.decode(ids), sample)
        self.assertLess(len(tokenizer.encode(text).ids), len(text) / 3)

    def test_the_second_run_does_nothing(self):
        dump = self.write_dump(dump_of(pages_of_a_small_wiki()))
        self.prepared("--dump", dump, self.out)
        before = {name: (self.out / name).stat() for name in self.names()}
        spent = seconds_of_children()
        result = self.prepared("--dump", dump, self.out)
        self.assertLess(seconds_of_children() - spent, 2)
        self.assertIn("is complete", result.stderr)
        self.assertEqual({name: (self.out / name).stat() for name in self.names()} | before, before)
        self.assertEqual((self.folder / "bootstrap").read_text(encoding="utf-8"), "called\n")

    def test_a_damaged_or_outdated_result_is_built_again_to_the_same_bytes(self):
        dump = self.write_dump(dump_of(pages_of_a_small_wiki()))
        self.prepared(f"--dump={dump}", self.out)
        before = {name: (self.out / name).read_bytes() for name in self.names()}
        with open(self.out / "train.jsonl", "ab") as stream:
            stream.write(b"x")
        (self.out / "tokenizer/tokenizer.json").unlink()
        self.prepared("--dump", dump, self.out)
        self.assertEqual({name: (self.out / name).read_bytes() for name in self.names()}, before)
        validation = set(self.titles("validation.jsonl"))

        self.write_dump(dump_of([*pages_of_a_small_wiki()[1:], page("One more", prose(61))]))
        self.prepared("--dump", dump, self.out)
        self.assertIn("One more", self.titles("train.jsonl") + self.titles("validation.jsonl"))
        self.assertEqual(validation - {"Article 0 & so on"}, set(self.titles("validation.jsonl")) - {"One more"}, "the split is stable")

    def test_by_default_the_folder_is_in_the_clone(self):
        self.prepared("--dump", self.write_dump(dump_of(pages_of_a_small_wiki())))
        self.assertTrue((self.clone / "data/wiki/SHA256SUMS").exists())

    def test_a_full_disk_leaves_nothing_half_written(self):
        dump = self.write_dump(dump_of(pages_of_a_small_wiki()))
        result = self.prepare("--dump", dump, self.out, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, 40_000)))
        self.assertEqual(result.returncode, 1)
        self.assertRegex(result.stderr, r"^prepare_wiki: .*File too large\n$")
        self.assertEqual(self.names(), [])

    def test_damaged_dumps_are_refused_in_a_sentence(self):
        whole = dump_of(pages_of_a_small_wiki())
        for data, message in [
            (b"not bz2", "Invalid data stream"),
            (whole[: len(whole) // 2], "the dump is damaged"),
            (bz2.compress(b"<mediawiki><page>"), "the dump is damaged"),
            (dump_of([page("One", prose(1))]), "too few articles: 1 for training and 0"),
            (dump_of([], head='<!DOCTYPE x [<!ENTITY a "b">]><mediawiki>'), "declares a document type"),
        ]:
            with self.subTest(message):
                result = self.prepare("--dump", self.write_dump(data), self.out)
                self.assertEqual(result.returncode, 1)
                self.assertRegex(result.stderr, f"^prepare_wiki: .*{message}.*\n$")
                self.assertEqual(self.names(), [])

    def test_arguments(self):
        self.assertEqual(self.prepare("--dmup", "x").returncode, 2)
        self.assertEqual(self.prepare("a", "b").returncode, 2)
        self.assertIn("cannot read the dump nowhere", self.prepare("--dump", "nowhere").stderr)
        self.assertIn("prepare_wiki.sh [--dump FILE] [FOLDER]", self.prepare("--help").stdout)


class Excerpt(Folder):
    """Where the dump comes from when none is given: a wheel, whose download is pretended."""

    def wheel(self, member=prepare_wiki.MEMBER, data=b"the excerpt"):
        path = self.folder / "gensim.whl"
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(member, data)
        self.downloads = 0

        def download(_):
            self.downloads += 1
            return path

        return download

    def test_is_taken_out_of_the_wheel_once(self):
        wheel = self.wheel()
        with mock.patch.object(prepare_wiki, "MEMBER_SHA256", hashlib.sha256(b"the excerpt").hexdigest()):
            path = prepare_wiki.fetch_excerpt(self.folder / "cache", wheel)
            self.assertEqual(path.read_bytes(), b"the excerpt")
            self.assertEqual(prepare_wiki.fetch_excerpt(self.folder / "cache", wheel), path)
            self.assertEqual(self.downloads, 1)
            path.write_bytes(b"damaged")
            self.assertEqual(prepare_wiki.fetch_excerpt(self.folder / "cache", wheel).read_bytes(), b"the excerpt")
        self.assertEqual([path.name for path in (self.folder / "cache/data").iterdir()], [path.name])

    def test_with_another_checksum_is_refused(self):
        with self.assertRaisesRegex(prepare_wiki.Failure, "checksum .* is wrong"):
            prepare_wiki.fetch_excerpt(self.folder / "cache", self.wheel())
        self.assertEqual(list((self.folder / "cache/data").iterdir()), [])

    def test_missing_from_the_wheel(self):
        with self.assertRaisesRegex(prepare_wiki.Failure, "is not what it was"):
            prepare_wiki.fetch_excerpt(self.folder / "cache", self.wheel(member="other"))
        self.folder.joinpath("gensim.whl").write_bytes(b"no wheel")
        with self.assertRaisesRegex(prepare_wiki.Failure, "is not what it was"):
            prepare_wiki.fetch_excerpt(self.folder / "cache", lambda _: self.folder / "gensim.whl")

    def test_without_a_network_one_sentence_says_so(self):
        nowhere = {"PIP_INDEX_URL": "http://127.0.0.1:9/", "PIP_FIND_LINKS": "", "PIP_CONFIG_FILE": os.devnull, "PIP_RETRIES": "0"}
        with mock.patch.dict(os.environ, nowhere), contextlib.redirect_stdout(io.StringIO()):
            with self.assertRaisesRegex(prepare_wiki.Failure, "^cannot download gensim==.*is there a network"):
                prepare_wiki.fetch_excerpt(self.folder / "cache")
        self.assertEqual(list((self.folder / "cache/data").iterdir()), [])


class Pages(unittest.TestCase):
    def test_an_endless_page_is_refused(self):
        with mock.patch.object(prepare_wiki, "LARGEST_PAGE", 1 << 20), tempfile.TemporaryDirectory() as folder:
            dump = Path(folder) / "dump.bz2"
            dump.write_bytes(dump_of([page("Long", "x" * (2 << 20))]))
            with self.assertRaisesRegex(prepare_wiki.Failure, "a page of more than 1 MiB"):
                list(prepare_wiki.articles(dump))


if __name__ == "__main__":
    unittest.main()
