"""DeepSeek V3 as it is published: matrices in float8, blocks of 128 x 128 with a scale each. Quantized here, at test time.

usage: hf_quantized_test.py HF_MODEL, with TITAN_TRAIN in the environment
"""

import json
import os
import shutil
import subprocess
from pathlib import Path

from hf_deepseek_v3_test import tiny_deepseek  # first: it keeps `transformers` offline
from hf_model import HfModelTest, main

import torch
from safetensors.torch import load_file, save_file

ROOT = Path(__file__).parents[2]
BLOCK = 128
# What is published in the type that it was trained in.
KEPT = ("embed_tokens.weight", "lm_head.weight", "norm.weight", "mlp.gate.weight", "e_score_correction_bias")


def blocks(scales, shape):
    """A scale for every number."""
    return scales.repeat_interleave(BLOCK, 0)[: shape[0]].repeat_interleave(BLOCK, 1)[:, : shape[1]]


def quantized(tensors):
    """The stored tensors, and what numbers they stand for."""
    stored, numbers = {}, {}
    for name, tensor in tensors.items():
        if name.endswith(KEPT):
            stored[name] = numbers[name] = tensor
            continue
        rows, columns = tensor.shape
        padded = torch.nn.functional.pad(tensor, (0, -columns % BLOCK, 0, -rows % BLOCK))
        largest = padded.unflatten(0, (-1, BLOCK)).unflatten(2, (-1, BLOCK)).abs().amax((1, 3))
        scales = largest / torch.finfo(torch.float8_e4m3fn).max
        stored[name] = (tensor / blocks(scales, tensor.shape)).to(torch.float8_e4m3fn)
        stored[name + "_scale_inv"] = scales
        numbers[name] = stored[name].float() * blocks(scales, tensor.shape)
    return stored, numbers


class HfQuantizedTest(HfModelTest):
    model = "deepseek_v3"

    def quantize_folder(self, changes=None, **config):
        """Quantizes the weights in `self.folder` in place. Returns the numbers that they then stand for."""
        stored, numbers = quantized(load_file(self.weights))
        save_file(stored | (changes or {}), self.weights)
        path = self.folder / "config.json"
        if path.exists():
            described = {"quant_method": "fp8", "fmt": "e4m3", "weight_block_size": [BLOCK, BLOCK], **config}
            path.write_text(json.dumps(json.loads(path.read_text()) | {"quantization_config": described}))
        return numbers

    @property
    def weights(self):
        return next(self.folder.glob("*.safetensors"))

    def test_logits_are_those_of_the_numbers_meant(self):
        tiny_deepseek().save_pretrained(self.folder)
        quantized_folder, self.folder = self.folder, self.folder.with_name("meant")
        shutil.copytree(quantized_folder, self.folder)
        plain = load_file(self.weights)
        numbers = quantized(plain)[1]
        self.assertGreater(sum(not plain[name].equal(numbers[name]) for name in numbers), 60)
        save_file(numbers, self.weights, metadata={"format": "pt"})
        model = self.their_model()
        self.folder = quantized_folder
        self.quantize_folder()
        self.assert_same_model(model, count=32)

    def train(self, flavor, *args, ranks=1, exit_status=0):
        command = [os.environ["TITAN_TRAIN"], "--job.config_file", "configs/deepseek_v3/debug_model_cpu.toml",
                   f"--model.flavor={flavor}", "--compile.enable=false", "--comm.mode=local_tensor", "--training.steps=1",
                   "--training.seq_len=32", "--training.local_batch_size=1", "--debug.log_hashes", "--checkpoint.enable",
                   "--checkpoint.load_only", "--checkpoint.initial_load_in_hf", f"--checkpoint.initial_load_path={self.folder}",
                   f"--job.dump_folder={self.folder.with_name('dump')}", *args]
        result = subprocess.run(command, cwd=ROOT, env=os.environ | {"NGPU": str(ranks)}, text=True, capture_output=True, check=False)
        self.assertEqual(result.returncode, exit_status, result.stdout + result.stderr)
        return result.stderr

    def loaded(self, *args, **options):
        """Hashes of the weights that training begins with."""
        self.train("debugmodel", *args, **options)
        with open(self.folder.with_name("dump") / "hashes.jsonl", encoding="utf-8") as file:
            lines = [json.loads(line) for line in file]
        return {line["name"]: line["sha256"] for line in lines if line["step"] == 0}

    def test_training_begins_with_them(self):
        """On ranks that have some experts, and of each only rows: blocks are cut anywhere."""
        self.flavor = "debugmodel"  # matrices of several blocks
        self.assertEqual(self.run_ours("export", "float32", 5).returncode, 0)
        (self.folder / "model.safetensors.index.json").unlink()  # it has no scales
        numbers = self.quantize_folder()
        ranks = ["--parallelism.data_parallel_shard_degree=4", "--parallelism.expert_parallel_degree=2"]
        ours = self.loaded("--checkpoint.initial_load_in_hf_quantized", *ranks, ranks=4)
        save_file(numbers, self.weights)
        self.assertEqual(ours, self.loaded())

    def refused(self, *args, exit_status=1):
        return self.train("tiny", *args, exit_status=exit_status)

    def test_what_cannot_be_read_is_refused(self):
        flag = "--checkpoint.initial_load_in_hf_quantized"
        expert = "model.layers.1.mlp.experts.3.up_proj.weight"
        tiny_deepseek().save_pretrained(self.folder)
        file = self.weights
        plain = load_file(file)
        self.quantize_folder(changes={expert + "_scale_inv": torch.ones(2, 2)})
        self.assertIn(f"{expert}_scale_inv has sizes [2, 2]: no scales for blocks of 128 x 128 of a matrix [32, 48]", self.refused(flag))
        stored = load_file(file)
        del stored[expert + "_scale_inv"]
        save_file(stored, file)
        self.assertIn(f"{expert} is float8, and there is no {expert}_scale_inv", self.refused(flag))
        self.assertIn("set checkpoint.initial_load_in_hf_quantized = true", self.refused(exit_status=2))
        save_file(plain, file)
        self.quantize_folder(weight_block_size=[64, 64])
        self.assertIn("weight_block_size is [64,64], in this model [128, 128]", self.refused(flag))
        save_file(plain, file)
        self.quantize_folder(quant_method="gptq")
        self.assertIn('its weights are quantized by "gptq"', self.refused(flag))


if __name__ == "__main__":
    main()
