"""Reads Parquet files that pyarrow wrote, row by row.

usage: parquet_test.py PRINT_DOCUMENTS

PRINT_DOCUMENTS is our program (tests/tools/print_documents.cpp).
"""

import json
import random
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

PROGRAM = Path(sys.argv[1])


def random_text(rng):
    kind = rng.randrange(10)
    if kind == 0:
        return ""
    if kind == 1:
        return rng.choice(["same", "again"])  # for dictionaries
    if kind == 2:
        return "long " * rng.randrange(1, 3000)
    return "".join(rng.choice("abc é日🤖\n\"\\") for _ in range(rng.randrange(60)))


class ParquetTest(unittest.TestCase):
    def setUp(self):
        self.folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)
        self.path = self.folder / "data.parquet"

    def run_program(self, *arguments, path=None, program=PROGRAM):
        command = [program, path or self.path, *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)

    def read(self, *arguments, path=None, units="row groups"):
        """Documents as (unit, text, prompt), bad rows as (unit, message)."""
        result = self.run_program(*arguments, "--units", units, path=path)
        self.assertEqual(result.returncode, 0, result.stderr)
        rows = [json.loads(line) for line in result.stdout.splitlines() if line[0] == "{"]  # no log lines
        return [(row["unit"], row["bad"]) if "bad" in row else (row["unit"], row["text"], row["prompt"]) for row in rows]

    def error(self, *arguments, path=None, program=PROGRAM):
        result = self.run_program(*arguments, path=path, program=program)
        self.assertEqual(result.returncode, 1, result)
        return result.stderr.strip()

    def write(self, columns, path=None, **options):
        pq.write_table(pa.table(columns), path or self.path, **options)

    def test_every_row_of_every_encoding(self):
        rng = random.Random(1)
        texts = [random_text(rng) for _ in range(5000)]
        expected = [(row // 1300, text, "") for row, text in enumerate(texts)]
        encodings = [
            {},
            {"compression": "none", "use_dictionary": False},
            {"compression": "zstd", "data_page_size": 2000},
            {"compression": "gzip", "data_page_version": "2.0"},
            {"compression": "brotli"},
            {"compression": "lz4", "dictionary_pagesize_limit": 1000},
            {"use_dictionary": False, "column_encoding": {"text": "DELTA_BYTE_ARRAY"}},
            {"use_dictionary": False, "column_encoding": {"text": "DELTA_LENGTH_BYTE_ARRAY"}, "data_page_version": "2.0"},
            {"write_page_checksum": True},
        ]
        for options in encodings:
            for kind in (pa.string(), pa.large_string(), pa.binary(), pa.dictionary(pa.int32(), pa.string())):
                if "column_encoding" in options and pa.types.is_dictionary(kind):
                    continue
                values = [text.encode() for text in texts] if kind == pa.binary() else texts
                with self.subTest(kind=str(kind), **options):
                    column = pa.array(values).cast(kind) if pa.types.is_dictionary(kind) else pa.array(values, kind)
                    self.write({"id": range(5000), "text": column}, row_group_size=1300, **options)
                    self.assertEqual(self.read(), expected)

    def test_a_column_without_nulls_by_its_schema(self):
        schema = pa.schema([pa.field("text", pa.string(), nullable=False)])
        pq.write_table(pa.table({"text": ["a", "b"]}, schema=schema), self.path)
        self.assertEqual(self.read(), [(0, "a", ""), (0, "b", "")])

    def test_files_of_a_folder_are_read_one_after_the_other(self):
        self.write({"text": ["a", "b", "c"]}, self.folder / "1.parquet", row_group_size=2)
        self.write({"text": pa.array([], pa.string())}, self.folder / "2.parquet")
        self.write({"text": ["d"]}, self.folder / "3.parquet")
        (self.folder / "README.md").write_text("about")
        rows = self.read(path=self.folder)
        self.assertEqual([row[1] for row in rows if len(row) == 3], ["a", "b", "c", "d"])
        groups = 3 + pq.ParquetFile(self.folder / "2.parquet").num_row_groups
        self.assertEqual(self.count("--units", "row groups", path=self.folder), f"{groups} row groups")
        self.assertEqual(self.count(path=self.folder), "4 rows")

    def count(self, *arguments, path=None):
        return self.run_program("--count", "yes", *arguments, path=path).stdout.splitlines()[-1]

    def test_a_unit_is_a_row(self):
        texts = [None if row == 8 else f"text {row}" for row in range(23)]
        self.write({"text": texts}, row_group_size=5)
        expected = [(row, text, "") for row, text in enumerate(texts)]
        expected[8] = (8, f"{self.path}: row group 1, row 3: 'text' is null")
        self.assertEqual(self.read(units="rows"), expected)
        for unit in (22, 0, 4, 5, 21, 13):
            self.assertEqual(self.read("--unit", unit, units="rows"), expected[unit : unit + 1])
            self.assertEqual(self.read("--unit", unit, "--skip", 1, units="rows"), [])
        self.assertIn("there is no such unit", self.error("--unit", 23))
        self.assertEqual(self.count("--ranks", 7), "23 rows")  # five row groups

    def test_a_unit_is_a_block_of_a_row_group(self):
        texts = [f"text {row}" for row in range(300)]
        self.write({"text": texts}, row_group_size=150)
        plain = self.read(units="blocks")
        self.assertEqual([text for _, text, _ in plain], texts)
        self.assertEqual([unit for unit, _, _ in plain], [row // 150 * 3 + row % 150 // 64 for row in range(300)])
        shuffled = self.read("--seed", 4, units="blocks")
        self.assertNotEqual(shuffled, plain)
        self.assertEqual(sorted(shuffled), sorted(plain))
        for unit in (5, 0, 2):
            whole = [row for row in shuffled if row[0] == unit]
            for skip in (0, 1, len(whole) - 1, len(whole)):
                self.assertEqual(self.read("--unit", unit, "--skip", skip, "--seed", 4, units="blocks"), whole[skip:])
            self.assertIn("there are ", self.error("--unit", unit, "--skip", 65, "--units", "blocks"))

    def test_few_or_empty_row_groups_are_not_dealt_whole(self):
        def shuffled(ranks):
            return self.count("--shuffle", "yes", "--ranks", ranks)

        self.write({"text": [str(row) for row in range(6000)]}, row_group_size=2000)
        self.assertEqual([shuffled(ranks) for ranks in (1, 3, 4, 8)], ["3 row groups"] * 2 + ["96 blocks", "6000 rows"])
        self.assertEqual(self.count("--ranks", 3), "6000 rows")
        with pq.ParquetWriter(self.path, pa.schema([("text", pa.string())])) as writer:
            for texts in (["a"], [], ["b", "c"]):
                writer.write_table(pa.table({"text": pa.array(texts, pa.string())}))
        self.assertEqual(shuffled(3), "3 rows")
        self.assertEqual([text for _, text, _ in self.read(units="rows")], ["a", "b", "c"])

    def test_prompts_and_responses(self):
        self.write({"a": ["why?", "how?"], "x": [1, 2], "q": ["so", "thus"]})
        self.assertEqual(
            self.read("--prompt-field", "a", "--response-field", "q"), [(0, "so", "why?"), (0, "thus", "how?")]
        )

    def test_null_is_a_bad_row_and_the_next_ones_come(self):
        texts = [None if row % 7 == 3 else f"text {row}" for row in range(3000)]
        self.write({"text": texts}, row_group_size=1200, data_page_size=500)
        expected = [
            (row // 1200, text, "")
            if text is not None
            else (row // 1200, f"{self.path}: row group {row // 1200}, row {row % 1200}: 'text' is null")
            for row, text in enumerate(texts)
        ]
        self.assertEqual(self.read(), expected)

    def test_opened_anywhere_it_goes_on_the_same(self):
        rng = random.Random(2)
        texts = [None if rng.randrange(50) == 0 else f"{row} " + random_text(rng) for row in range(4000)]
        self.write({"text": texts}, row_group_size=2500, data_page_size=3000)
        for seed in ([], ["--seed", 5]):
            for unit in (0, 1):
                whole = self.read("--unit", unit, *seed)
                self.assertEqual(len(whole), 2500 if unit == 0 else 1500)
                for skip in (1, 999, 1000, 1001, len(whole) - 1, len(whole)):
                    self.assertEqual(self.read("--unit", unit, "--skip", skip, *seed), whole[skip:])
                self.assertIn("there are ", self.error("--unit", unit, "--skip", len(whole) + 1, "--units", "row groups", *seed))

    def test_a_seed_gives_an_order(self):
        self.write({"text": [str(row) for row in range(2000)]})
        plain, first, second = self.read(), self.read("--seed", 1), self.read("--seed", 2)
        self.assertEqual(first, self.read("--seed", 1))
        self.assertNotEqual(first, plain)
        self.assertNotEqual(first, second)
        self.assertEqual(sorted(first), sorted(plain))

    def test_what_a_file_must_have(self):
        self.write({"content": ["a"], "id": [1], "text": [["in a list"]]})
        self.assertIn("has no column 'body'; its columns: content, id, text.list", self.error("--text-field", "body"))
        self.assertEqual(
            self.error("--text-field", "id"), f"the column 'id' of '{self.path}' does not hold strings but INT64"
        )
        self.assertIn("has no column 'text'", self.error())
        self.path.write_bytes(b"no Parquet at all")
        self.assertIn(f"'{self.path}' cannot be read as Parquet: ", self.error())
        self.path.write_bytes(b"")
        self.assertIn(f"'{self.path}' cannot be read as Parquet: ", self.error())

    def test_without_the_library(self):
        self.write({"text": ["a"]})
        alone = self.folder / "print_documents"
        shutil.copy(PROGRAM, alone)
        self.assertIn("this build reads no Parquet files: '", self.error(program=alone))
        (self.folder / "libtitan_parquet.so").write_bytes(b"no library")
        self.assertIn("the reader of Parquet files cannot be loaded: ", self.error(program=alone))

    def test_damaged_files_end_in_errors(self):
        rng = random.Random(3)
        texts = [random_text(rng) for _ in range(300)]
        for options in ({"compression": "snappy"}, {"compression": "none", "column_encoding": {"text": "DELTA_BYTE_ARRAY"}}):
            self.write({"text": texts}, use_dictionary="column_encoding" not in options, row_group_size=200, **options)
            good = self.path.read_bytes()
            damaged = [good[: rng.randrange(len(good))] for _ in range(30)]
            footer = int.from_bytes(good[-8:-4], "little") + 8
            for _ in range(120):
                bad = bytearray(good)
                at = rng.randrange(len(good)) if rng.randrange(2) else len(good) - 1 - rng.randrange(footer)
                bad[at] ^= 1 << rng.randrange(8)
                damaged.append(bytes(bad))
            for bad in damaged:
                self.path.write_bytes(bad)
                result = self.run_program()
                self.assertIn(result.returncode, (0, 1), f"{result.returncode} {result.stderr}")
                if result.returncode == 1:
                    self.assertIn(str(self.path), result.stderr)

    def test_checksums_find_every_damaged_page(self):
        self.write({"text": [f"text {row}" for row in range(100)]}, write_page_checksum=True, use_dictionary=False, compression="none")
        good = self.path.read_bytes()
        offset = good.index(b"text 50")
        self.path.write_bytes(good[:offset] + b"T" + good[offset + 1 :])
        self.assertIn("CRC checksum verification failed", self.error())


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
