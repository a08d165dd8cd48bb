"""`titan_train convert` and `generate` between Hugging Face, torch.distributed.checkpoint and torch.save, each side written and
read by the Python packages."""
import json
import os
import subprocess
import sys
import unittest
from collections import OrderedDict

os.environ["HF_HUB_OFFLINE"] = "1"

import torch
import torch.distributed.checkpoint as dcp
from safetensors.torch import load_file, save_file
from torch.distributed.checkpoint.format_utils import dcp_to_torch_save
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "integration"))
from titan import CONFIG, ROOT, TitanTest, environment  # noqa: E402

FORMATS = ("hf", "dcp", "pt")


def tiny_llama(**changes):
    """Our flavor `tiny` by `transformers`, with random weights."""
    torch.manual_seed(11)
    config = LlamaConfig(**{
        "hidden_size": 24, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
        "num_key_value_heads": 2, "vocab_size": 2048, "max_position_embeddings": 131072, "rms_norm_eps": 1e-5,
        "rope_parameters": {"rope_type": "llama3", "rope_theta": 500000.0, "factor": 8.0, "low_freq_factor": 1.0,
                            "high_freq_factor": 4.0, "original_max_position_embeddings": 8192},
        "tie_word_embeddings": False, "initializer_range": 0.3, "bos_token_id": None, "eos_token_id": None, **changes})
    model = LlamaForCausalLM(config).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "norm" in name:
                parameter.uniform_(0.5, 1.5)
    return model


def our_weights(hf):
    """The same by our names: adjacent pairs are rotated where Hugging Face rotates halves."""
    def interleaved(weight, heads):
        rows, dim = weight.shape
        return weight.view(heads, 2, rows // heads // 2, dim).transpose(1, 2).reshape(rows, dim)

    names = {"self_attn.q_proj": "attention.wq", "self_attn.k_proj": "attention.wk", "self_attn.v_proj": "attention.wv",
             "self_attn.o_proj": "attention.wo", "mlp.gate_proj": "feed_forward.w1", "mlp.down_proj": "feed_forward.w2",
             "mlp.up_proj": "feed_forward.w3", "input_layernorm": "attention_norm",
             "post_attention_layernorm": "ffn_norm"}
    ours = {"tok_embeddings.weight": hf["model.embed_tokens.weight"], "norm.weight": hf["model.norm.weight"],
            "output.weight": hf["lm_head.weight"]}
    for layer in range(2):
        for theirs, name in names.items():
            weight = hf[f"model.layers.{layer}.{theirs}.weight"]
            heads = {"self_attn.q_proj": 4, "self_attn.k_proj": 2}.get(theirs)
            ours[f"layers.{layer}.{name}.weight"] = interleaved(weight, heads) if heads else weight
    return ours


class ConvertTest(TitanTest):
    def setUp(self):
        super().setUp()
        self.model = tiny_llama()
        self.hf = {name: tensor.detach().clone() for name, tensor in self.model.state_dict().items()}
        self.ours = our_weights(self.hf)

    def command(self, *args, exit_status=0):
        process = subprocess.Popen([os.environ["TITAN_TRAIN"], *args, "--job.config_file", CONFIG, "--training.device=cpu"],
                                   cwd=ROOT, env=environment({}), text=True, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE)
        out, errors = process.communicate()
        self.assertEqual(process.returncode, exit_status, out + errors)
        return out + errors if exit_status else out

    def convert(self, source, source_format, destination, destination_format, *args, **options):
        return self.command("convert", "--from", source_format, "--to", destination_format, source, destination,
                            "--model.flavor=tiny", *args, **options)

    def write_source(self, kind):
        path = self.path("source_" + kind)
        if kind == "hf":
            self.model.save_pretrained(path, max_shard_size="100KB")
            self.assertTrue(os.path.exists(os.path.join(path, "model.safetensors.index.json")))
        elif kind == "dcp":
            dcp.save({**self.ours, "train_state": {"step": 3},
                      "optimizer": {"state": {"norm.weight": {"exp_avg": torch.ones(24)}}}},
                     checkpoint_id=path, no_dist=True)
        else:
            torch.save(self.ours, path)
        return path

    def read(self, kind, path):
        if kind == "hf":
            files = [name for name in os.listdir(path) if name.endswith(".safetensors")]
            return {name: tensor for file in files for name, tensor in load_file(os.path.join(path, file)).items()}
        if kind == "dcp":
            saved = self.path("saved.pt")
            dcp_to_torch_save(path, saved)
            return torch.load(saved, weights_only=True)
        return torch.load(path, weights_only=True)

    def expect(self, actual, expected, dtype=torch.float32):
        self.assertEqual(sorted(actual), sorted(expected))
        for name, tensor in expected.items():
            self.assertEqual(actual[name].dtype, dtype, name)
            self.assertTrue(torch.equal(actual[name], tensor.to(dtype)), name)

    def test_every_format_becomes_every_other(self):
        for source_format in FORMATS:
            source = self.write_source(source_format)
            for kind in FORMATS:
                with self.subTest(f"{source_format} to {kind}"):
                    destination = self.path(f"{source_format}_{kind}")
                    self.convert(source, source_format, destination, kind)
                    self.expect(self.read(kind, destination), self.hf if kind == "hf" else self.ours)

    def test_types_are_converted(self):
        for source_format, kind, name in (("hf", "dcp", "bfloat16"), ("dcp", "hf", "float16"), ("pt", "pt", "bfloat16")):
            destination = self.path(f"{source_format}_{name}")
            self.convert(self.write_source(source_format), source_format, destination, kind, "--dtype", name)
            self.expect(self.read(kind, destination), self.hf if kind == "hf" else self.ours, getattr(torch, name))

    def test_loads_in_place_with_torch_distributed(self):
        self.convert(self.write_source("hf"), "hf", self.path("dcp"), "dcp")
        target = {name: torch.zeros_like(tensor) for name, tensor in self.ours.items()}
        dcp.load(target, checkpoint_id=self.path("dcp"), no_dist=True)
        self.expect(target, self.ours)

    def test_files_of_torch_save_as_people_write_them(self):
        module = torch.nn.ParameterDict({name.replace(".", "|"): tensor for name, tensor in self.ours.items()})
        parameters = {name.replace("|", "."): parameter for name, parameter in module.items()}
        one = torch.cat([tensor.flatten() for tensor in self.ours.values()])
        views = dict(zip(self.ours, (part.view_as(tensor) for part, tensor in zip(
            one.split([tensor.numel() for tensor in self.ours.values()]), self.ours.values()))))
        transposed = {name: tensor.t().contiguous().t() for name, tensor in self.ours.items()}
        for number, value in enumerate((OrderedDict(self.ours), {"model": self.ours, "step": 3},
                                        {"state_dict": OrderedDict(self.ours), "lr": [0.1]}, parameters, views, transposed,
                                        {**self.ours, "epoch": 3})):
            with self.subTest(number):
                torch.save(value, self.path(f"{number}.pt"))
                self.convert(self.path(f"{number}.pt"), "pt", self.path(f"{number}_hf"), "hf")
                self.expect(self.read("hf", self.path(f"{number}_hf")), self.hf)

    def test_what_does_not_fit_is_named_and_nothing_is_left(self):
        del self.ours["norm.weight"], self.hf["model.norm.weight"]
        self.ours |= {"extra": torch.ones(3), "output.weight": torch.ones(7, 24)}
        torch.save(self.ours, self.path("ours.pt"))
        error = self.convert(self.path("ours.pt"), "pt", self.path("out"), "hf", exit_status=1)
        for name in ("norm.weight", "extra", "output.weight"):
            self.assertIn(f"{name}", error)
        os.makedirs(self.path("hf"))
        self.hf |= {"extra": torch.ones(3), "lm_head.weight": torch.ones(7, 24)}
        save_file(self.hf, self.path("hf", "model.safetensors"))
        error = self.convert(self.path("hf"), "hf", self.path("out"), "dcp", exit_status=1)
        for name in ("model.norm.weight", "extra", "lm_head.weight"):
            self.assertIn(name, error)
        self.assertFalse(os.path.exists(self.path("out")))

    def peak_memory(self, *args):
        """Of a conversion, in MB. A small Python starts it: a process inherits the peak of the one it was forked from."""
        script = ("import resource, subprocess, sys; subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL);"
                  "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)")
        result = subprocess.run([sys.executable, "-c", script, os.environ["TITAN_TRAIN"], "convert", *args], cwd=ROOT,
                                env=environment({}), check=True, text=True, stdout=subprocess.PIPE)
        return int(result.stdout) / 1000

    def test_memory_is_needed_for_a_tensor_not_for_a_model(self):
        torch.save({"0": torch.zeros(8)}, self.path("small.pt"))
        least = self.peak_memory("--from=pt", "--to=dcp", self.path("small.pt"), self.path("small"))
        torch.save({str(i): torch.full((2, 1 << 20), float(i)) for i in range(48)}, self.path("0"))  # 400 MB
        chain = ("pt", "dcp", "pt")
        for step, (source, kind) in enumerate(zip(chain, chain[1:])):
            peak = self.peak_memory("--from", source, "--to", kind, self.path(str(step)), self.path(str(step + 1)))
            self.assertLess(peak, least + 96, f"MB from {source} to {kind}; {least} MB for nothing")

    def test_greedy_texts_equal_those_of_transformers(self):
        for tied in (False, True):
            model = tiny_llama(tie_word_embeddings=tied)
            folder = self.path(f"tied_{tied}")
            model.save_pretrained(folder)
            out = self.command("generate", "--checkpoint", folder, "--model.flavor=tiny", "--temperature=0", "--json",
                               "--max-tokens=64", "--prompt", "Once upon a time", "--prompt", "The", "--prompt", "x y z")
            lengths = []
            for line in map(json.loads, out.splitlines()):
                prompt = torch.tensor([line["prompt_ids"]])
                theirs = model.generate(prompt, max_new_tokens=64, do_sample=False, pad_token_id=0, eos_token_id=2047,
                                        attention_mask=torch.ones_like(prompt))[0, prompt.shape[1]:].tolist()
                theirs = theirs[:theirs.index(2047)] if 2047 in theirs else theirs
                self.assertEqual(line["ids"], theirs, line["prompt"])
                lengths.append(len(theirs))
            self.assertIn(64, lengths)

    def test_transformers_loads_what_was_converted(self):
        self.convert(self.write_source("dcp"), "dcp", self.path("hf"), "hf")
        theirs = AutoModelForCausalLM.from_pretrained(self.path("hf"))
        tokens = torch.arange(3, 40)[None]
        with torch.no_grad():
            self.assertTrue(torch.equal(theirs(tokens).logits, self.model(tokens).logits))


if __name__ == "__main__":
    unittest.main()
