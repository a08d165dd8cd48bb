"""Jobs of several ranks, and what one process makes of the same tokens."""
import random
import struct

from titan import TitanTest

SEQ_LEN = 64
ROWS_PER_RANK = 12
# Rounding differs with the order of additions; the norm of a large gradient is itself off by up to 6e-5 in fp32.
LOSS_TOLERANCE = 1e-6
NORM_TOLERANCE = 1e-4


def layout(replicate=1, shard=1, tensor=1, pipeline=1, schedule="1F1B", context=1, experts=1, expert_tensor=1):
    degrees = [f"--parallelism.data_parallel_replicate_degree={replicate}", f"--parallelism.data_parallel_shard_degree={shard}",
               f"--parallelism.tensor_parallel_degree={tensor}"]
    if pipeline > 1:
        degrees += [f"--parallelism.pipeline_parallel_degree={pipeline}", f"--parallelism.pipeline_parallel_schedule={schedule}"]
    if context > 1:
        degrees += [f"--parallelism.context_parallel_degree={context}"]
    if experts > 1:
        degrees += [f"--parallelism.expert_parallel_degree={experts}", f"--parallelism.expert_tensor_parallel_degree={expert_tensor}"]
    return degrees


def ranks_of(replicate=1, shard=1, tensor=1, pipeline=1, context=1, **_):
    """How many ranks a layout has. Those that share out the experts are among them."""
    return replicate * shard * tensor * pipeline * context


class RanksCase(TitanTest):
    def tokens(self, name, windows):
        return self.write(name, b"".join(struct.pack(f"<{len(w)}H", *w) for w in windows))

    def windows(self, rows):
        """Rows of tokens that repeat themselves, so that there is something to learn."""
        rng = random.Random(7)
        pattern = [rng.randrange(256) for _ in range(40)]
        return [[pattern[(i * 3 + j) % 40] for j in range(SEQ_LEN + 1)] for i in range(rows)]

    def windows_in_turn(self, windows, ranks):
        """A rank reads its own contiguous part; one process reads the two rows that each has in a step one after the other."""
        return [windows[r * ROWS_PER_RANK + s * 2 + b] for s in range(ROWS_PER_RANK // 2) for r in range(ranks) for b in range(2)]

    def figures(self, *args, env=None):
        self.train("--debug.log_hashes", "--metrics.log_freq=1", *args, env=env)
        metrics = [(r["loss"], r["grad_norm"]) for r in self.records() if "loss" in r]
        hashes = [(h["step"], h["name"], h["sha256"]) for h in self.records("hashes.jsonl")]
        initial = {name: sha256 for step, name, sha256 in hashes if step == 0}
        return metrics, initial, hashes

    def on_threads(self, ranks, *args):
        return self.figures("--comm.mode=local_tensor", "--training.steps=4", *args, env={"NGPU": str(ranks)})

    def assert_same_training(self, metrics, expected, norm_tolerance=NORM_TOLERANCE):
        """Losses and gradient norms, step by step, but for rounding."""
        self.assertEqual(len(metrics), len(expected))
        for (loss, norm), (expected_loss, expected_norm) in zip(metrics, expected):
            self.assertAlmostEqual(loss, expected_loss, delta=LOSS_TOLERANCE * expected_loss)
            self.assertAlmostEqual(norm, expected_norm, delta=norm_tolerance * expected_norm)
