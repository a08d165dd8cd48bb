"""`titan_train generate`: texts from weights in three formats."""
import json
import os
import subprocess
import unittest

import torch
import torch.distributed.checkpoint as dcp

from titan import CONFIG, ROOT, TitanTest, environment


def tiny_weights(seed=0):
    """Random weights of the flavor tiny by our names, large enough to prefer one token clearly."""
    generator = torch.Generator().manual_seed(seed)
    dim, heads, kv_heads, width, vocabulary = 24, 4, 2, 64, 2048

    def random(*sizes):
        return torch.randn(*sizes, generator=generator) * 0.3

    weights = {"tok_embeddings.weight": random(vocabulary, dim) * 3}
    for layer in range(2):
        head = dim // heads
        weights |= {f"layers.{layer}.{name}.weight": tensor for name, tensor in {
            "attention.wq": random(heads * head, dim), "attention.wk": random(kv_heads * head, dim),
            "attention.wv": random(kv_heads * head, dim), "attention.wo": random(dim, heads * head),
            "feed_forward.w1": random(width, dim), "feed_forward.w2": random(dim, width),
            "feed_forward.w3": random(width, dim),
            "attention_norm": 1 + random(dim), "ffn_norm": 1 + random(dim)}.items()}
    return weights | {"norm.weight": 1 + random(dim), "output.weight": random(vocabulary, dim)}


class GenerateTest(TitanTest):
    def setUp(self):
        super().setUp()
        self.weights = tiny_weights()
        self.pt = self.path("model.pt")
        torch.save(self.weights, self.pt)

    def run_command(self, *args, exit_status=0):
        result = subprocess.run([os.environ["TITAN_TRAIN"], *args, "--job.config_file", CONFIG, "--model.flavor=tiny",
                                 "--training.device=cpu"],
                                cwd=ROOT, env=environment({}), text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.assertEqual(result.returncode, exit_status, result.stdout + result.stderr)
        return result

    def generate(self, *args, checkpoint=None, prompts=("Once upon a time",), exit_status=0):
        words = [word for prompt in prompts for word in ("--prompt", prompt)]
        return self.run_command("generate", "--checkpoint", checkpoint or self.pt, *words, "--max-tokens=32", *args,
                                exit_status=exit_status)

    def samples(self, *args, **options):
        return [json.loads(line) for line in self.generate("--json", *args, **options).stdout.splitlines()]

    def convert(self, source, destination, source_format, destination_format, *args, **options):
        return self.run_command("convert", "--from", source_format, "--to", destination_format, source, destination, *args,
                                **options)

    def test_texts_follow_their_prompts_in_order(self):
        prompts = ("Once", "[1, 2]", "-x")
        samples = self.samples("--temperature=0", prompts=prompts)
        self.assertEqual([s["prompt"] for s in samples], list(prompts))
        shown = self.generate("--temperature=0", prompts=prompts).stdout
        self.assertEqual(shown, "".join(s["prompt"] + s["text"] + "\n" for s in samples))
        self.assertTrue(all(0 < len(s["ids"]) <= 32 for s in samples))

    def words_tokenizer(self, **other):
        """Words that begin with the mark of a blank, which decoding drops from the first of a text."""
        content = {"version": "1.0", "pre_tokenizer": {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always"},
                   "decoder": {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always"},
                   "added_tokens": [{"id": 1, "content": "<s>", "special": True}],
                   "model": {"type": "WordLevel", "unk_token": "<unk>",
                             "vocab": {"<unk>": 0, "<s>": 1} | {f"▁w{i}": i for i in range(2, 2048)}}, **other}
        self.write("assets/tokenizer.json", json.dumps(content))
        self.write("assets/tokenizer_config.json", json.dumps({"bos_token": "<s>", "eos_token": "<s>"}))
        return "--model.hf_assets_path=" + self.path("assets")

    def test_the_blank_behind_the_prompt_stays(self):
        assets = self.words_tokenizer()
        samples = self.samples("--temperature=0", assets, prompts=("w7 w8", ""))
        for sample, prompt_ids in zip(samples, ([1, 7, 8], [1])):
            self.assertEqual(sample["prompt_ids"], prompt_ids)
            words = [f"w{i}" for i in sample["ids"]]
            self.assertGreater(len(words), 3)
            self.assertNotIn(1, sample["ids"])
            self.assertEqual(sample["prompt"] + sample["text"], " ".join(([sample["prompt"]] if sample["prompt"] else []) + words))
        shown = self.generate("--temperature=0", assets, prompts=("w7 w8",)).stdout
        self.assertEqual(shown, "w7 w8" + samples[0]["text"] + "\n")

    def test_samples_of_training_keep_the_blank(self):
        self.run_command("--job.dump_folder", self.path("dump"), "--training.steps=2", "--training.seq_len=64",
                         "--training.local_batch_size=2", "--validation.enable", "--validation.steps=1", "--validation.freq=1",
                         "--validation.seq_len=64", "--validation.dataset=c4_test", "--validation.sample_prompts=w7", self.words_tokenizer())
        with open(self.path("dump", "samples.jsonl")) as file:
            samples = [json.loads(line) for line in file]
        self.assertGreater(len(samples), 1)
        for sample in samples:
            self.assertRegex(sample["text"], "^( w[0-9]+|<unk>)+$")

    def test_greedy_texts_do_not_depend_on_the_format(self):
        greedy = self.samples("--temperature=0")
        self.convert(self.pt, self.path("hf"), "pt", "hf")
        dcp.save({**self.weights, "optimizer": {"state": {"norm.weight": {"step": torch.tensor(3.0)}}},
                  "train_state": {"step": 7}}, checkpoint_id=self.path("step-7"), no_dist=True)
        for checkpoint in ("hf", "step-7"):
            self.assertEqual(self.samples("--temperature=0", checkpoint=self.path(checkpoint)), greedy)

    def test_seeds_repeat_texts_and_top_k_narrows_them(self):
        first = self.samples("--seed=5")
        self.assertEqual(self.samples("--seed=5"), first)
        self.assertNotEqual(self.samples("--seed=6"), first)
        self.assertEqual(self.samples("--seed=6", "--top-k=1"), self.samples("--temperature=0"))

    def test_only_texts_are_on_standard_output(self):
        result = self.generate("--temperature=0")
        self.assertTrue(result.stdout.startswith("Once upon a time"))
        self.assertIn("tokens per second", result.stderr)

    def test_a_text_longer_than_the_context_is_refused_before_loading(self):
        error = self.generate("--training.seq_len=16", checkpoint=self.path("none"), exit_status=2).stderr
        self.assertIn("over the model's context of 16 tokens: raise --training.seq_len", error)

    def test_weights_of_another_model_are_refused_by_name(self):
        del self.weights["norm.weight"]
        torch.save({**self.weights, "extra": torch.ones(2), "output.weight": torch.ones(3, 24)}, self.pt)
        error = self.generate(exit_status=1).stderr
        for name in ("norm.weight", "extra", "output.weight"):
            self.assertIn(name, error)

    def test_what_is_no_checkpoint_is_refused(self):
        self.assertIn("does not exist", self.generate(checkpoint=self.path("none"), exit_status=1).stderr)
        os.makedirs(self.path("checkpoint", "step-30"))
        self.assertIn("it holds step-30, name one of them",
                      self.generate(checkpoint=self.path("checkpoint"), exit_status=1).stderr)
        bad = self.write("bad.pt", b"no zip")
        self.assertIn("bad.pt", self.generate(checkpoint=bad, exit_status=1).stderr)

    def test_conversions_do_not_overwrite(self):
        os.makedirs(self.path("full"))
        self.write("full/file", "x")
        error = self.convert(self.pt, self.path("full"), "pt", "dcp", exit_status=1).stderr
        self.assertIn("is not empty", error)
        self.assertEqual(os.listdir(self.path("full")), ["file"])


if __name__ == "__main__":
    unittest.main()
