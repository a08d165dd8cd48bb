"""Llama 3 and Hugging Face folders: ours against `transformers` and `safetensors`, in both directions.

usage: hf_llama_test.py HF_LLAMA

HF_LLAMA is our program (tests/tools/hf_llama.cpp).
"""

import json
import os
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM
from transformers.utils import logging

PROGRAM = sys.argv[1]
TOKENS = [7, 2047, 0, 1000, 3, 3, 3, 512, 77, 1999, 1, 640, 7, 2046]


def tiny_config(**changes):
    """Our flavor `tiny`."""
    values = {
        "hidden_size": 24,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "vocab_size": 2048,
        "max_position_embeddings": 131072,
        "rms_norm_eps": 1e-5,
        "rope_parameters": {
            "rope_type": "llama3",
            "rope_theta": 500000.0,
            "factor": 8.0,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": 8192,
        },
        "tie_word_embeddings": False,
        "initializer_range": 0.3,
        "bos_token_id": None,
        "eos_token_id": None,
    }
    return LlamaConfig(**{**values, **changes})


def tiny_llama(**changes):
    torch.manual_seed(3)
    model = LlamaForCausalLM(tiny_config(**changes)).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "norm" in name:
                parameter.uniform_(0.5, 1.5)
    return model


def run(*arguments):
    return subprocess.run([PROGRAM, *map(str, arguments)], capture_output=True, text=True, check=False)


def their_logits(model):
    with torch.no_grad():
        return model(torch.tensor([TOKENS])).logits[0].float()


def their_greedy(model, count):
    tokens = torch.tensor([TOKENS])
    output = model.generate(tokens, max_new_tokens=count, do_sample=False, pad_token_id=0,
                            attention_mask=torch.ones_like(tokens))
    return output[0, len(TOKENS):].tolist()


class HfLlamaTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name) / "hf"
        self.out = Path(folder.name) / "logits"

    def our_logits(self):
        result = run("logits", self.folder, ",".join(map(str, TOKENS)), self.out)
        self.assertEqual(result.returncode, 0, result.stderr + result.stdout)
        logits = torch.frombuffer(bytearray(self.out.read_bytes()), dtype=torch.float32)
        return logits.view(len(TOKENS), -1), result.stdout

    def our_greedy(self, count):
        result = run("greedy", self.folder, ",".join(map(str, TOKENS)), count)
        self.assertEqual(result.returncode, 0, result.stderr)
        return [int(line) for line in result.stdout.splitlines() if line.isdigit()]

    def assert_close(self, ours, theirs):
        self.assertGreater(theirs.std().item(), 0.1)  # or anything would be close
        self.assertLess((ours - theirs).abs().max().item(), 1e-5 * theirs.abs().max().item())

    def test_theirs_in_ours(self):
        model = tiny_llama()
        model.save_pretrained(self.folder)
        ours, log = self.our_logits()
        self.assert_close(ours, their_logits(model))
        self.assertNotIn("WARNING", log)
        self.assertEqual(self.our_greedy(64), their_greedy(model, 64))

    def test_theirs_in_several_files(self):
        model = tiny_llama()
        model.save_pretrained(self.folder, max_shard_size="60KB")
        self.assertGreater(len(list(self.folder.glob("model-*-of-*.safetensors"))), 2)
        self.assert_close(self.our_logits()[0], their_logits(model))

    def test_theirs_with_the_embedding_as_head(self):
        model = tiny_llama(tie_word_embeddings=True)
        model.save_pretrained(self.folder)
        ours, log = self.our_logits()
        self.assert_close(ours, their_logits(model))
        self.assertIn("have no lm_head.weight: it is loaded from model.embed_tokens.weight", log)

    def test_theirs_in_half_precision(self):
        tiny_llama().to(torch.bfloat16).save_pretrained(self.folder)
        model = LlamaForCausalLM.from_pretrained(self.folder, dtype=torch.float32).eval()
        self.assert_close(self.our_logits()[0], their_logits(model))

    def test_what_is_computed_differently_is_said(self):
        tiny_llama(rope_parameters={"rope_type": "default", "rope_theta": 10000.0}, rms_norm_eps=1e-6).save_pretrained(self.folder)
        log = self.our_logits()[1]
        self.assertIn("rope_theta is 10000, in this model 500000", log)
        self.assertIn("rms_norm_eps is 1e-06", log)
        self.assertIn('the rope scaling is "default"', log)

    def test_another_model_is_refused(self):
        tiny_llama(num_attention_heads=2, num_key_value_heads=1).save_pretrained(self.folder)
        result = run("logits", self.folder, "1,2", self.out)
        self.assertEqual(result.returncode, 1)
        self.assertIn("num_attention_heads is 2, in this model 4", result.stderr)
        (self.folder / "config.json").unlink()
        (self.folder / "model.safetensors").unlink()
        weights = {name: tensor.contiguous() for name, tensor in tiny_llama().state_dict().items()}
        weights["model.layers.0.self_attn.q_proj.bias"] = torch.zeros(24)
        del weights["model.norm.weight"]
        save_file(weights, self.folder / "model.safetensors")
        result = run("logits", self.folder, "1,2", self.out)
        self.assertEqual(result.returncode, 1)
        self.assertIn("missing: model.norm.weight", result.stderr)
        self.assertIn("not of this model: model.layers.0.self_attn.q_proj.bias", result.stderr)

    def test_ours_in_theirs(self):
        for dtype in ("float32", "bfloat16", "float16"):
            with self.subTest(dtype):
                self.folder = self.folder.with_name(dtype)
                self.assertEqual(run("export", self.folder, dtype, 5).returncode, 0)
                model, info = AutoModelForCausalLM.from_pretrained(
                    self.folder, dtype=torch.float32, output_loading_info=True)
                self.assertEqual([], [*info["missing_keys"], *info["unexpected_keys"], *info["mismatched_keys"]])
                self.assert_close(self.our_logits()[0], their_logits(model.eval()))
                self.assertEqual(self.our_greedy(64), their_greedy(model, 64))
                self.assertEqual(json.loads((self.folder / "config.json").read_text())["torch_dtype"], dtype)

    def test_our_file_in_their_reader(self):
        self.assertEqual(run("export", self.folder, "bfloat16", 5).returncode, 0)
        index = json.loads((self.folder / "model.safetensors.index.json").read_text())
        (path,) = self.folder.glob("*.safetensors")
        tensors = load_file(path)
        self.assertEqual(set(index["weight_map"]), set(tensors))
        self.assertEqual(set(index["weight_map"].values()), {path.name})
        self.assertEqual(index["metadata"]["total_size"], sum(t.nbytes for t in tensors.values()))
        self.assertEqual({t.dtype for t in tensors.values()}, {torch.bfloat16})
        with safe_open(path, "pt") as file:
            self.assertEqual(file.metadata(), {"format": "pt"})


if __name__ == "__main__":
    torch.set_num_threads(1)
    logging.disable_progress_bar()
    unittest.main(argv=sys.argv[:1])
