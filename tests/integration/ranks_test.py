"""Several ranks: the same numbers on every layout, in one process and in several."""
import unittest

from ranks import ROWS_PER_RANK, SEQ_LEN, RanksCase, layout


class RanksTest(RanksCase):
    def test_every_layout_agrees_with_one_process_on_the_same_tokens(self):
        for ranks, layouts in ((2, [(1, 2), (2, 1)]), (4, [(1, 4), (2, 2), (4, 1)]), (8, [(1, 8)])):
            windows = self.windows(ranks * ROWS_PER_RANK)
            one = self.figures("--training.dataset_path", self.tokens("one.u16", self.windows_in_turn(windows, ranks)),
                               f"--training.global_batch_size={2 * ranks}")
            data = self.tokens("all.u16", windows)
            for replicate, shard in layouts:
                with self.subTest(replicate=replicate, shard=shard):
                    metrics, initial, _ = self.on_threads(ranks, "--training.dataset_path", data,
                                                          *layout(replicate, shard))
                    self.assertEqual(initial, one[1])
                    self.assertEqual(len(metrics), 4)
                    self.assert_same_training(metrics, one[0])

    def test_a_job_gives_the_same_bits_every_time(self):
        first = self.on_threads(4, *layout(2, 2))
        for _ in range(3):
            self.assertEqual(self.on_threads(4, *layout(2, 2)), first)

    def test_processes_give_the_bits_of_threads(self):
        for ranks, degrees in ((2, (1, 2)), (4, (2, 2)), (3, (3, 1))):
            with self.subTest(ranks=ranks):
                threads = self.on_threads(ranks, *layout(*degrees))
                processes = self.figures("--nproc", str(ranks), "--training.steps=4", *layout(*degrees))
                self.assertEqual(processes, threads)

    def test_offloaded_parameters_give_the_same_bits(self):
        expected = self.on_threads(2, *layout(1, 2))
        self.assertEqual(self.on_threads(2, *layout(1, 2), "--training.enable_cpu_offload"), expected)

    def test_accumulated_microbatches_are_reduced_once(self):
        data = self.tokens("all.u16", self.windows(2 * ROWS_PER_RANK))
        reference = self.on_threads(2, "--training.dataset_path", data, *layout(1, 2), "--training.local_batch_size=4")
        for replicate, shard in ((1, 2), (2, 1)):
            metrics, _, _ = self.on_threads(2, "--training.dataset_path", data, *layout(replicate, shard),
                                            "--training.global_batch_size=8")
            self.assert_same_training(metrics, reference[0])

    def test_validation_takes_all_data_of_ranks_with_unequal_shares(self):
        windows = self.windows(7)  # one rank gets two batches and a half, the other two
        data = self.tokens("validation.u16", windows)
        validation = ["--validation.enable", "--validation.dataset=c4_validation", "--validation.dataset_path", data,
                      "--validation.steps=-1", "--validation.local_batch_size=1", f"--validation.seq_len={SEQ_LEN}"]

        def validation_losses():
            return [r["validation_loss"] for r in self.records() if "validation_loss" in r]

        self.train(*validation, "--training.steps=1", "--optimizer.lr=1e-12")
        alone = validation_losses()
        for replicate, shard in ((1, 3), (3, 1)):
            self.train(*validation, "--comm.mode=local_tensor", "--optimizer.lr=1e-12", *layout(replicate, shard),
                       env={"NGPU": "3"})
            self.assertEqual(len(validation_losses()), 1)
            self.assertAlmostEqual(validation_losses()[0], alone[0], delta=1e-5)

    def test_the_step_that_ends_a_job_is_reported_as_a_whole(self):
        self.train("--comm.mode=local_tensor", "--training.steps=4", "--optimizer.lr=1e30", "--metrics.log_freq=100",
                   *layout(1, 2), env={"NGPU": "2"}, exit_status=1)
        last = self.records()[-1]
        self.assertIsNone(last["grad_norm"])
        self.assertEqual(last["max_loss"], last["loss"])

    def test_ranks_that_share_tokens_count_them_once(self):
        for shard, tensor in ((1, 2), (2, 2)):
            ranks = shard * tensor
            self.train("--comm.mode=local_tensor", "--training.steps=4", "--metrics.log_freq=2", *layout(1, shard),
                       f"--parallelism.tensor_parallel_degree={tensor}", env={"NGPU": str(ranks)})
            last = self.records()[-1]
            self.assertEqual(last["step"], 4)
            self.assertEqual(last["n_tokens_seen"], 4 * shard * 2 * SEQ_LEN)
            # Tokens per second of a device: what a rank reads, shared by the ranks that read the same.
            self.assertAlmostEqual(last["tps"] * last["end_to_end_s"], 2 * SEQ_LEN / tensor, places=6)

    def test_one_step_unless_the_command_line_says_more(self):
        self.train("--comm.mode=local_tensor", env={"NGPU": "2"})
        self.assertEqual(len(self.records()), 4, "the test's own --training.steps=4 is on the command line")

    def test_the_number_of_ranks_must_be_said(self):
        self.assertIn("NGPU", self.refused("--comm.mode=local_tensor"))
        self.assertIn("NGPU: not a number of ranks: 'four'",
                      self.refused("--comm.mode=local_tensor", env={"NGPU": "four"}))

    def test_threads_want_a_gpu_as_processes_do(self):
        message = self.refused("--comm.mode=local_tensor", "--training.device=cuda", exit_status=1,
                               env={"NGPU": "2", "CUDA_VISIBLE_DEVICES": ""})
        self.assertIn('training.device = "cuda", but CUDA_VISIBLE_DEVICES hides all GPUs', message)


if __name__ == "__main__":
    unittest.main()
