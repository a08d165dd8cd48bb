"""One of our small models beside `transformers`: weights in folders, logits, and the likeliest tokens."""

import os
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"

import torch
from transformers import AutoModelForCausalLM
from transformers.utils import logging

PROGRAM = sys.argv[1]
TOKENS = [7, 2047, 0, 1000, 3, 3, 3, 512, 77, 1999, 1, 640, 7, 2046]


def random_norms(model):
    """Weights of norms are ones when a model begins, which would hide that they are mixed up."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "norm" in name:
                parameter.uniform_(0.5, 1.5)
    return model.eval()


def their_logits(model):
    with torch.no_grad():
        return model(torch.tensor([TOKENS])).logits[0].float()


def their_greedy(model, count):
    tokens = torch.tensor([TOKENS])
    output = model.generate(tokens, max_new_tokens=count, do_sample=False, pad_token_id=0,
                            attention_mask=torch.ones_like(tokens))
    return output[0, len(TOKENS):].tolist()


class HfModelTest(unittest.TestCase):
    """The program is tests/tools/hf_model.cpp."""

    model = None
    flavor = "tiny"

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name) / "hf"
        self.out = Path(folder.name) / "logits"

    def run_ours(self, command, *arguments):
        words = [PROGRAM, self.model, self.flavor, command, self.folder, *arguments]
        return subprocess.run([str(word) for word in words], capture_output=True, text=True, check=False)

    def our_logits(self):
        result = self.run_ours("logits", ",".join(map(str, TOKENS)), self.out)
        self.assertEqual(result.returncode, 0, result.stderr + result.stdout)
        logits = torch.frombuffer(bytearray(self.out.read_bytes()), dtype=torch.float32)
        return logits.view(len(TOKENS), -1), result.stdout

    def our_greedy(self, count):
        result = self.run_ours("greedy", ",".join(map(str, TOKENS)), count)
        self.assertEqual(result.returncode, 0, result.stderr)
        return [int(line) for line in result.stdout.splitlines() if line.isdigit()]

    def assert_close(self, ours, theirs):
        self.assertGreater(theirs.std().item(), 0.1)  # or anything would be close
        self.assertLess((ours - theirs).abs().max().item(), 1e-5 * theirs.abs().max().item())

    def assert_same_model(self, model, count=64):
        """`model`, which lies in the folder, and ours that is loaded from there. Returns our log."""
        ours, log = self.our_logits()
        self.assert_close(ours, their_logits(model))
        self.assertEqual(self.our_greedy(count), their_greedy(model, count))
        return log

    def their_model(self):
        """Of the folder, every tensor of which must be used."""
        model, info = AutoModelForCausalLM.from_pretrained(self.folder, dtype=torch.float32, output_loading_info=True)
        self.assertEqual([], [*info["missing_keys"], *info["unexpected_keys"], *info["mismatched_keys"]])
        return model.eval()


def main():
    torch.set_num_threads(1)
    logging.disable_progress_bar()
    unittest.main(argv=sys.argv[:1])
