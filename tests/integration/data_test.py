"""People's own data: formats, tokens made ahead, prompts, mixtures, documents, bad rows."""
import gzip
import json
import os
import random
import signal
import subprocess
import time
import unittest

from titan import ROOT, TitanTest, environment

# Bytes of memory for a byte of a document: its line and text, its tokens, and these as Python objects for a checkpoint.
LARGEST_PER_BYTE = 22
SHIPPED = os.path.join(ROOT, "tests/assets/c4_test/data.jsonl")


def jsonl(rows):
    return "".join(json.dumps(row) + "\n" for row in rows)


class OwnDataTest(TitanTest):
    def losses(self, *args, **options):
        self.train(*args, **options)
        return [(record["loss"], record["grad_norm"]) for record in self.records() if "loss" in record]

    def shipped_losses(self):
        return self.losses("--training.dataset_path", SHIPPED)

    def test_the_same_text_in_every_format_gives_the_same_losses(self):
        expected = self.shipped_losses()
        with open(SHIPPED, "rb") as file:
            content = file.read()
        rows = [json.loads(line) for line in content.splitlines()]
        texts = {f"texts/{i:05}.txt": row["text"] for i, row in enumerate(rows[:200])}
        for name, text in texts.items():
            self.write(name, text)
        renamed = jsonl({"id": i, "content": row["text"]} for i, row in enumerate(rows))
        for args in (["--training.dataset_path", self.write("a.jsonl.gz", gzip.compress(content))],
                     ["--training.dataset_path", self.write("b.jsonl", renamed), "--data.text_field=content"],
                     ["--training.dataset_path", self.path("texts")]):
            self.assertEqual(self.losses(*args), expected, args)

    def test_c4_is_read_from_its_own_shards(self):
        with open(SHIPPED, "rb") as file:
            content = file.read()
        self.write("c4/en/c4-train.00000-of-00001.json.gz", gzip.compress(content))
        self.write("c4/en/c4-validation.00000-of-00001.json.gz", gzip.compress(jsonl([{"text": "no"}]).encode()))
        self.assertEqual(self.losses("--training.dataset=c4", "--training.dataset_path", self.path("c4")),
                         self.shipped_losses())

    def test_memory_for_a_long_document(self):
        rng = random.Random(1)
        with open(SHIPPED, encoding="utf-8") as file:
            text = " ".join(json.loads(line)["text"] for line in file)
        pieces = [text[start:start + 4000] for start in (rng.randrange(len(text) - 4000) for _ in range(4000))]

        def peak(name, document):
            path = self.write(name, jsonl([{"text": document}] * 2))
            process = self.start("--training.dataset_path", path, "--checkpoint.enable",
                                 "--checkpoint.folder", name + ".checkpoint")
            with process.stdout, process.stderr:
                output = process.stdout.read() + process.stderr.read()
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            self.assertEqual(process.returncode, 0, output)
            return usage.ru_maxrss * 1024

        long = "".join(pieces)
        of_document = (peak("long.jsonl", long) - peak("short.jsonl", pieces[0])) / len(long)
        self.assertLess(of_document, LARGEST_PER_BYTE)

    def test_prompts_are_not_trained_on(self):
        rows = [{"prompt": "Question? " * 3, "response": "Answer."}] * 50
        path = self.write("sft.jsonl", jsonl(rows))
        sft = ["--training.dataset_path", path, "--data.prompt_field=prompt"]
        output = self.train(*sft, "--training.steps=60", "--optimizer.lr=0.02").stdout
        self.assertIn("Training completed", output)
        # Only the answer counts, and it is always the same.
        self.assertLess(self.records()[-1]["loss"], 0.5)

    def test_a_mixture_reads_all_its_parts(self):
        self.write("a.jsonl", jsonl([{"text": "aaaaaaaaa"}] * 40))
        self.write("b.jsonl", jsonl([{"text": "bbbbbbbbb"}] * 40))
        config = self.write("mix.toml", f'''
base = "{os.path.join(ROOT, "configs/llama3/debug_model_cpu.toml")}"
[[data.mixture]]
path = "{self.path("a.jsonl")}"
weight = 3
[[data.mixture]]
path = "{self.path("b.jsonl")}"
''')
        output = self.train(config=config).stdout
        self.assertIn("Preparing a mixture: weight 3, " + self.path("a.jsonl"), output)
        self.assertIn("Preparing a mixture: weight 1, " + self.path("b.jsonl"), output)

    def test_a_sentencepiece_model_beside_libtorch(self):
        # Both libraries have a global FLAGS_minloglevel, of different sizes.
        with open(os.path.join(ROOT, "tests/fuzz/corpus/sentencepiece/bytes"), "rb") as file:
            content = file.read()
        model = content[2 + int.from_bytes(content[:2], "little"):]  # a text for the fuzz target comes first
        self.write("assets/tokenizer.model", model)
        assets = ["--model.hf_assets_path", self.path("assets")]
        output = self.train(*assets, "--training.dataset_path", SHIPPED).stdout
        self.assertIn("Training completed", output)
        self.write("assets/tokenizer.model", b"no model at all")
        self.assertIn("no SentencePiece model: ", self.refused(*assets, exit_status=1))
        self.write("assets/tokenizer.model", b"version https://git-lfs.github.com/spec/v1")
        self.assertIn("tokenizer.model' is a pointer of Git LFS", self.refused(*assets, exit_status=1))

    def test_shuffling_follows_the_seed(self):
        shuffled = ["--training.dataset_path", SHIPPED, "--data.shuffle"]
        first = self.losses(*shuffled, "--debug.seed=1")
        self.assertEqual(self.losses(*shuffled, "--debug.seed=1"), first)
        self.assertNotEqual(self.losses("--training.dataset_path", SHIPPED, "--debug.seed=1"), first)

    def test_document_masks_come_from_the_data(self):
        self.write("docs.jsonl", jsonl([{"text": chr(97 + i % 26) * (5 + i % 9)} for i in range(500)]))
        data = ["--training.dataset_path", self.path("docs.jsonl"), "--data.document_mask"]
        self.assertIn("flex or varlen", self.refused(*data))
        flex = ["--model.flavor=debugmodel_flex_attn", "--training.seq_len=32", "--training.local_batch_size=1", "--training.steps=2"]
        masked = self.losses(*data, *flex, small=False)
        by_eos = self.losses(*data[:2], *flex, small=False)
        self.assertEqual(masked, by_eos, "here every document ends with EOS, which says the same")

    def test_bad_rows_stop_or_are_skipped_and_named(self):
        rows = jsonl([{"text": "fine " * 40}] * 30).splitlines(keepends=True)
        rows[1] = "{not json\n"
        rows[2] = '{"text": 5}\n'
        path = self.write("bad.jsonl", "".join(rows))
        message = self.refused("--training.dataset_path", path, exit_status=1)
        self.assertIn("bad.jsonl:2: ", message)
        self.assertIn("data.on_bad_row", message)
        output = self.train("--training.dataset_path", path, "--data.on_bad_row=skip").stdout
        self.assertRegex(output, r"Skipped a bad row \(1 so far\): .*bad.jsonl:2: ")
        self.assertRegex(output, r"Skipped a bad row \(2 so far\): .*bad.jsonl:3: ")
        message = self.refused("--training.dataset_path", path, "--data.on_bad_row=skip", "--data.max_bad_rows=1",
                               exit_status=1)
        self.assertIn("data.max_bad_rows is 1", message)


class TokenizeTest(TitanTest):
    def tokenize(self, source, output, *args, exit_status=0):
        command = [os.environ["TITAN_TRAIN"], "tokenize", "--output", output, "--training.dataset_path", source,
                   "--model.hf_assets_path=tests/assets/tokenizer", *args]
        result = subprocess.run(command, cwd=ROOT, env=environment(None), text=True, capture_output=True)
        self.assertEqual(result.returncode, exit_status, result.stdout + result.stderr)
        return result

    def losses(self, path):
        self.train("--training.dataset_path", path, "--training.steps=6")
        return [(record["loss"], record["grad_norm"]) for record in self.records()]

    def test_tokens_train_like_their_text(self):
        output = self.tokenize(SHIPPED, self.path("tokens"), "--threads=2").stdout
        self.assertRegex(output, r"Wrote .*tokens\.bin and \.idx: 2,000 documents, [\d,]+ tokens")
        self.assertEqual(self.losses(self.path("tokens.bin")), self.losses(SHIPPED))

    def test_existing_output_is_not_overwritten(self):
        self.tokenize(SHIPPED, self.path("tokens"))
        self.assertIn("is there already", self.tokenize(SHIPPED, self.path("tokens"), exit_status=1).stderr)

    def test_one_at_a_time_writes_an_output(self):
        large = self.path("large.jsonl.gz")
        with gzip.open(large, "wt", compresslevel=1) as file:
            for number in range(200_000):
                file.write(json.dumps({"text": f"{number} the quick brown fox " * 20}) + "\n")
        command = [os.environ["TITAN_TRAIN"], "tokenize", "--output", self.path("out/tokens"), "--training.dataset_path", large,
                   "--model.hf_assets_path=tests/assets/tokenizer", "--threads=1"]
        first = subprocess.Popen(command, cwd=ROOT, env=environment(None), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.addCleanup(first.communicate)
        self.addCleanup(first.kill)
        while not os.path.exists(self.path("out/tokens.lock")):
            time.sleep(0.02)
            self.assertIsNone(first.poll())
        os.symlink(self.path("out"), self.path("link"))
        message = self.tokenize(SHIPPED, self.path("link/tokens"), exit_status=1).stderr
        self.assertIn(f"is locked by process {first.pid} ", message)
        first.kill()
        first.wait()
        self.tokenize(SHIPPED, self.path("again/tokens"))
        self.assertEqual(sorted(os.listdir(self.path("again"))), ["tokens.bin", "tokens.idx"])

    def test_killed_at_any_moment_it_goes_on(self):
        rng = random.Random(5)
        words = ["".join(chr(rng.randrange(97, 123)) for _ in range(rng.randrange(2, 9))) for _ in range(2000)]
        rows = ({"text": " ".join(rng.choices(words, k=60000))} for _ in range(60))
        source = self.write("big.jsonl", jsonl(rows))
        self.tokenize(source, self.path("whole"), "--threads=1")
        command = [os.environ["TITAN_TRAIN"], "tokenize", "--output", self.path("killed"), "--training.dataset_path", source,
                   "--model.hf_assets_path=tests/assets/tokenizer", "--threads=1"]
        for delay in (0.2, 0.5, 0.8, 1.1):
            process = subprocess.Popen(command, cwd=ROOT, env=environment(None), stdout=subprocess.DEVNULL,
                                       stderr=subprocess.DEVNULL)
            time.sleep(delay)
            process.send_signal(signal.SIGKILL)
            process.wait()
            if os.path.exists(self.path("killed.idx")):
                break
        if not os.path.exists(self.path("killed.idx")):
            self.tokenize(source, self.path("killed"), "--threads=1")
        for ending in (".bin", ".idx"):
            with open(self.path("whole" + ending), "rb") as whole, open(self.path("killed" + ending), "rb") as killed:
                self.assertEqual(whole.read(), killed.read(), ending)


class ValidationTest(TitanTest):
    def validate(self, *args):
        self.train("--validation.enable", "--validation.dataset=c4_test", "--validation.local_batch_size=2",
                   "--validation.seq_len=64", "--validation.freq=2", *args)
        return [record for record in self.records() if "validation_loss" in record]

    def test_a_number_of_batches(self):
        records = self.validate("--validation.steps=3")
        self.assertEqual([record["step"] for record in records], [1, 2, 4])
        for record in records:
            self.assertLess(abs(record["validation_loss"] - 8), 1)

    def test_all_of_the_data_every_time(self):
        path = self.write("held_out.jsonl", jsonl([{"text": "word " * 50}] * 9))
        records = self.validate("--validation.steps=-1", "--validation.dataset_path", path, "--training.steps=30",
                                "--optimizer.lr=0.005")
        losses = [record["validation_loss"] for record in records]
        self.assertEqual(len(losses), 16)
        self.assertLess(losses[-1], losses[0] - 0.3)

    def test_validation_does_not_change_training(self):
        self.train()
        plain = [(r["step"], r["loss"], r["grad_norm"]) for r in self.records()]
        self.validate("--validation.steps=3", '--validation.sample_prompts=one, two')
        self.assertEqual([(r["step"], r["loss"], r["grad_norm"]) for r in self.records() if "loss" in r], plain)
        samples = self.records("samples.jsonl")
        self.assertEqual([(s["step"], s["prompt"]) for s in samples],
                         [(step, prompt) for step in (0, 1, 2, 4) for prompt in ("one", " two")])

    def test_too_little_to_validate_on_is_said(self):
        path = self.write("tiny.jsonl", jsonl([{"text": "x"}]))
        message = self.refused("--validation.enable", "--validation.dataset=c4_test", "--validation.dataset_path", path,
                               "--validation.steps=-1", "--validation.seq_len=64", exit_status=1)
        self.assertIn("found no tokens", message)


if __name__ == "__main__":
    unittest.main()
