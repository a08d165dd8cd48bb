"""DeepSeek V3 and Hugging Face folders: ours against `transformers`, in both directions.

usage: hf_deepseek_v3_test.py HF_MODEL
"""

import json

from hf_model import HfModelTest, main, random_norms  # first: it keeps `transformers` offline

import torch
from safetensors.torch import load_file, save_file
from transformers import DeepseekV3Config, DeepseekV3ForCausalLM


def tiny_deepseek(**changes):
    """Our flavor `tiny`, whose positions are stretched. Weights are large enough for the epsilons of norms, of which theirs has others
    within attention and at the end, not to count."""
    values = {
        "hidden_size": 48,
        "intermediate_size": 96,
        "moe_intermediate_size": 32,
        "num_hidden_layers": 3,
        "first_k_dense_replace": 1,
        "num_nextn_predict_layers": 0,
        "num_attention_heads": 4,
        "num_key_value_heads": 4,
        "q_lora_rank": 24,
        "kv_lora_rank": 16,
        "qk_nope_head_dim": 8,
        "qk_rope_head_dim": 4,
        "v_head_dim": 8,
        "n_routed_experts": 8,
        "n_shared_experts": 1,
        "num_experts_per_tok": 2,
        "n_group": 4,
        "topk_group": 2,
        "norm_topk_prob": True,
        "routed_scaling_factor": 2.5,
        "vocab_size": 2048,
        "max_position_embeddings": 16384,
        "rms_norm_eps": 1e-5,
        "rope_parameters": {
            "rope_type": "yarn",
            "rope_theta": 10000.0,
            "factor": 40.0,
            "beta_fast": 32,
            "beta_slow": 1,
            "mscale": 0.70,
            "mscale_all_dim": 0.70,
            "original_max_position_embeddings": 4096,
        },
        "tie_word_embeddings": False,
        "initializer_range": 0.5,
        "bos_token_id": None,
        "eos_token_id": None,
    }
    torch.manual_seed(3)
    model = random_norms(DeepseekV3ForCausalLM(DeepseekV3Config(**{**values, **changes})))
    with torch.no_grad():
        for name, buffer in model.named_buffers():
            if name.endswith("e_score_correction_bias"):
                buffer.uniform_(-0.2, 0.2)
    return model


class HfDeepSeekTest(HfModelTest):
    model = "deepseek_v3"

    def test_theirs_in_ours(self):
        model = tiny_deepseek()
        model.save_pretrained(self.folder)
        self.assertNotIn("WARNING", self.assert_same_model(model, count=32))

    def test_layers_that_predict_further_tokens_are_not_read(self):
        model = tiny_deepseek()
        model.save_pretrained(self.folder)
        path = self.folder / "model.safetensors"
        save_file({**load_file(path), "model.layers.3.eh_proj.weight": torch.ones(2, 2)}, path)
        self.assert_same_model(model, count=4)

    def test_another_model_is_refused(self):
        tiny_deepseek(n_routed_experts=16).save_pretrained(self.folder)
        result = self.run_ours("logits", "1,2", self.out)
        self.assertEqual(result.returncode, 1)
        self.assertIn("n_routed_experts is 16, in this model 8", result.stderr)

    def test_ours_in_theirs(self):
        self.assertEqual(self.run_ours("export", "float32", 5).returncode, 0)
        names = load_file(next(self.folder.glob("*.safetensors"))).keys()
        self.assertIn("model.layers.1.mlp.experts.7.up_proj.weight", names)
        model = self.their_model()
        self.assertEqual(type(model), DeepseekV3ForCausalLM)
        self.assertEqual(json.loads((self.folder / "config.json").read_text())["topk_group"], 2)
        # Weights of a model that begins are so small that the epsilons of norms count: what is held against theirs is the way.
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.dim() > 1:
                    parameter.mul_(20)
        self.folder = self.folder.with_name("larger")
        model.save_pretrained(self.folder)
        self.assert_same_model(model, count=8)


if __name__ == "__main__":
    main()
