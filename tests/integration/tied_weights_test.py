"""A model whose output is its embedding: one weight for optimizer, checkpoints and Hugging Face, on every layout."""
import glob
import os
import shutil
import subprocess
import unittest

import torch
import torch.distributed.checkpoint as dcp
from safetensors.torch import load_file

from titan import ROOT, TitanTest, environment

CONFIG = os.path.join(ROOT, "configs/qwen3/small_cpu.toml")
EMBEDDING, OUTPUT = "tok_embeddings.weight", "output.weight"


def tensors_of(folder):
    metadata = dcp.FileSystemReader(folder).read_metadata().state_dict_metadata
    state = {name: torch.zeros(metadata[name].size) for name in metadata if name in (EMBEDDING, OUTPUT)}
    dcp.load(state, storage_reader=dcp.FileSystemReader(folder), no_dist=True)
    return state


class TiedWeightsTest(TitanTest):
    def train_tied(self, *args, ranks=1, dump="dump", **options):
        return self.train("--lr_scheduler.total_steps=4", "--job.dump_folder", self.path(dump), "--comm.mode=local_tensor", *args,
                          config=CONFIG, env={"NGPU": str(ranks)}, **options)

    def losses(self, dump):
        return {record["step"]: record["loss"] for record in self.records(dump=dump) if "loss" in record}

    def test_a_checkpoint_goes_on_on_another_layout(self):
        """Saved by one rank under both names; two ranks that cut the weight by rows go on with it."""
        saves = ["--checkpoint.enable", "--checkpoint.interval=2", "--no-checkpoint.last_save_model_only"]
        self.train_tied(*saves)
        checkpoint = self.path("dump/checkpoint/step-2")
        saved = tensors_of(checkpoint)
        self.assertEqual(set(saved), {EMBEDDING, OUTPUT})
        self.assertTrue(torch.equal(saved[EMBEDDING], saved[OUTPUT]))
        shutil.copytree(checkpoint, self.path("other/checkpoint/step-2"))
        self.train_tied(*saves, "--parallelism.data_parallel_shard_degree=1", "--parallelism.tensor_parallel_degree=2", ranks=2,
                        dump="other")
        unbroken, resumed = self.losses("dump"), self.losses("other")
        for step in (3, 4):
            self.assertAlmostEqual(resumed[step], unbroken[step], delta=1e-6 * unbroken[step])

    def test_hugging_face_has_it_once(self):
        self.train_tied("--checkpoint.enable", "--checkpoint.interval=4")
        checkpoint = self.path("dump/checkpoint/step-4")
        self.command("convert", "--from=dcp", "--to=hf", checkpoint, self.path("hf"))
        (file,) = glob.glob(self.path("hf/*.safetensors"))
        theirs = load_file(file)
        self.assertNotIn("lm_head.weight", theirs)
        saved = tensors_of(checkpoint)
        self.assertTrue(torch.equal(theirs["model.embed_tokens.weight"], saved[EMBEDDING]))
        self.command("convert", "--from=hf", "--to=dcp", self.path("hf"), self.path("dcp"))
        again = tensors_of(self.path("dcp"))
        for name in (EMBEDDING, OUTPUT):
            self.assertTrue(torch.equal(again[name], saved[name]), name)

    def test_text_from_a_checkpoint(self):
        self.train_tied("--checkpoint.enable", "--checkpoint.interval=4")
        self.assertTrue(self.command("generate", "--checkpoint", self.path("dump/checkpoint/step-4"), "--prompt=The", "--max-tokens=8"))

    def command(self, *args):
        result = subprocess.run([os.environ["TITAN_TRAIN"], *args, "--job.config_file", CONFIG, "--model.flavor=tiny",
                                 "--training.seq_len=64"], cwd=ROOT, env=environment({}), text=True, capture_output=True)
        self.assertEqual(result.returncode, 0, result.stderr)
        return result.stdout


if __name__ == "__main__":
    unittest.main()
