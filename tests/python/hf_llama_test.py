"""Llama 3 and Hugging Face folders: ours against `transformers` and `safetensors`, in both directions.

usage: hf_llama_test.py HF_MODEL
"""

import json

from hf_model import HfModelTest, main, random_norms, their_logits  # first: it keeps `transformers` offline

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from transformers import LlamaConfig, LlamaForCausalLM


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
    return random_norms(LlamaForCausalLM(tiny_config(**changes)))


class HfLlamaTest(HfModelTest):
    model = "llama3"

    def test_theirs_in_ours(self):
        model = tiny_llama()
        model.save_pretrained(self.folder)
        self.assertNotIn("WARNING", self.assert_same_model(model))

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
        result = self.run_ours("logits", "1,2", self.out)
        self.assertEqual(result.returncode, 1)
        self.assertIn("num_attention_heads is 2, in this model 4", result.stderr)
        (self.folder / "config.json").unlink()
        (self.folder / "model.safetensors").unlink()
        weights = {name: tensor.contiguous() for name, tensor in tiny_llama().state_dict().items()}
        weights["model.layers.0.self_attn.q_proj.bias"] = torch.zeros(24)
        del weights["model.norm.weight"]
        save_file(weights, self.folder / "model.safetensors")
        result = self.run_ours("logits", "1,2", self.out)
        self.assertEqual(result.returncode, 1)
        self.assertIn("missing: model.norm.weight", result.stderr)
        self.assertIn("not of this model: model.layers.0.self_attn.q_proj.bias", result.stderr)

    def test_ours_in_theirs(self):
        for dtype in ("float32", "bfloat16", "float16"):
            with self.subTest(dtype):
                self.folder = self.folder.with_name(dtype)
                self.assertEqual(self.run_ours("export", dtype, 5).returncode, 0)
                self.assert_same_model(self.their_model())
                self.assertEqual(json.loads((self.folder / "config.json").read_text())["torch_dtype"], dtype)

    def test_our_file_in_their_reader(self):
        self.assertEqual(self.run_ours("export", "bfloat16", 5).returncode, 0)
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
    main()
