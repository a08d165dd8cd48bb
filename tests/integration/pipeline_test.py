"""Pipelines as their users see them: the timeline of a step, measured beside simulated."""
import json
import os
import re
import unittest
import xml.etree.ElementTree

from titan import TitanTest

PIPELINE = ["--nproc=2", "--parallelism.pipeline_parallel_degree=2", "--training.local_batch_size=4"]
TIMELINE = ["--profiling.enable_pipeline_timeline", "--profiling.profile_freq=3", "--profiling.save_traces_folder=traces"]


class PipelineTimeline(TitanTest):
    def computed(self, name):
        """What each rank did, in order of time: (begin, end, action) in microseconds."""
        with open(self.path("dump", "traces", "iteration_3", name)) as file:
            events = json.load(file)["traceEvents"]
        ranks = {}
        for event in events:
            if event["ph"] == "X":
                ranks.setdefault(event["pid"], []).append((event["ts"], event["ts"] + event["dur"], event["name"]))
        return ranks

    def test_each_schedule_is_drawn_as_it_ran(self):
        planned = {
            "1F1B": (["0F0", "0F1", "0B0", "0F2", "0B1", "0F3", "0B2", "0B3"],
                     ["1F0", "1B0", "1F1", "1B1", "1F2", "1B2", "1F3", "1B3"]),
            "GPipe": ([f"0F{m}" for m in range(4)] + [f"0B{m}" for m in range(4)],
                      [f"1F{m}" for m in range(4)] + [f"1B{m}" for m in range(4)]),
        }
        for schedule, order in planned.items():
            with self.subTest(schedule):
                result = self.train(*PIPELINE, *TIMELINE, "--parallelism.pipeline_parallel_schedule=" + schedule)
                ranks = self.computed("pipeline_timeline.json")
                self.assertEqual([[action for _, _, action in ranks[rank]] for rank in (0, 1)], list(map(list, order)))
                ends = {action: end for rank in ranks.values() for _, end, action in rank}
                for rank in ranks.values():
                    for (begin, end, _), (following, _, _) in zip(rank, rank[1:]):
                        self.assertLessEqual(begin, end)
                        self.assertLessEqual(end, following + 0.01, "one at a time")
                skew = 2000  # of the moment at which ranks leave a barrier; a busy machine is slow to wake one
                for begin, _, action in ranks[1]:
                    if action.startswith("1F"):
                        self.assertGreater(begin + skew, ends["0F" + action[2:]], "what it works on is there")
                told = re.findall(r"Pipeline at step (\d+): ([\d.]+) ms, bubble ([\d.]+) %; simulated with its mean times "
                                  r"\(forward [\d.]+ ms, backward [\d.]+ ms\): ([\d.]+) ms, bubble ([\d.]+) %", result.stdout)
                self.assertEqual([step for step, *_ in told], ["3"])
                _, makespan, bubble, simulated, simulated_bubble = map(float, told[0])
                last = max(end for rank in ranks.values() for _, end, _ in rank)
                busy = sum(end - begin for rank in ranks.values() for begin, end, _ in rank)
                self.assertAlmostEqual(makespan, last / 1000, delta=0.02)
                self.assertAlmostEqual(bubble, 100 * (1 - busy / 2 / last), delta=0.2)
                self.assertGreater(simulated, 0)
                # Forwards and backwards are of different length, and all take their mean time: (p - 1) of m + p - 1.
                self.assertAlmostEqual(simulated_bubble, 20, delta=0.1)
                picture = xml.etree.ElementTree.parse(self.path("dump", "traces", "iteration_3", "pipeline_timeline.svg"))
                titles = [element.text for element in picture.iter("{http://www.w3.org/2000/svg}title")]
                self.assertEqual(len(titles), 16)
                self.assertTrue(any(title.startswith("1B3: ") for title in titles))

    def test_halves_of_backward_and_both_stages_of_a_rank(self):
        result = self.train(*PIPELINE, *TIMELINE, "--parallelism.pipeline_parallel_schedule=ZBVZeroBubble")
        ranks = self.computed("pipeline_timeline.json")
        for rank, stages in ((0, "03"), (1, "12")):
            done = sorted(action for _, _, action in ranks[rank])
            self.assertEqual(done, sorted(f"{stage}{op}{m}" for stage in stages for op in "FIW" for m in range(4)))
        self.assertRegex(result.stdout, r"forward [\d.]+ ms, backward of inputs [\d.]+ ms, of weights [\d.]+ ms")

    def test_of_several_pipelines_it_is_that_of_rank_0_and_nothing_is_drawn_unasked(self):
        self.train("--nproc=4", *PIPELINE[1:], *TIMELINE, "--parallelism.data_parallel_shard_degree=2")
        self.assertEqual(sorted(os.listdir(self.path("dump", "traces", "iteration_3"))),
                         ["pipeline_timeline.json", "pipeline_timeline.svg"])
        self.assertEqual(sorted(self.computed("pipeline_timeline.json")), [0, 1])
        result = self.train(*PIPELINE, *TIMELINE[1:2], "--profiling.save_traces_folder=none")
        self.assertNotIn("Pipeline at step", result.stdout)
        self.assertFalse(os.path.exists(self.path("dump", "none")))

    def test_the_losses_are_those_of_a_run_that_is_not_measured(self):
        losses = []
        for options in ([], TIMELINE):
            self.train(*PIPELINE, "--metrics.log_freq=1", "--job.dump_folder=" + self.path(f"run{len(losses)}"), *options)
            losses.append([(record["loss"], record["grad_norm"]) for record in self.records(dump=f"run{len(losses)}") if "loss" in record])
        self.assertEqual(losses[0], losses[1])
        self.assertEqual(len(losses[0]), 4)

    def test_a_folder_that_cannot_be_written_does_not_end_the_run(self):
        self.write("dump/traces", "a file")
        result = self.train(*PIPELINE, *TIMELINE)
        self.assertIn("The pipeline's timeline is lost, training goes on", result.stdout + result.stderr)


class DryRun(TitanTest):
    def test_the_fake_backend_runs_rank_0_and_forecasts_all(self):
        for schedule in ("1F1B", "ZBVZeroBubble"):
            with self.subTest(schedule):
                result = self.train(*PIPELINE[1:], *TIMELINE, "--parallelism.pipeline_parallel_schedule=" + schedule,
                                    "--comm.mode=fake_backend", env={"NGPU": "2"})
                self.assertIn("Ranks of the pipeline", result.stdout)
                self.assertIn("Training completed", result.stdout)
                self.assertFalse(os.path.exists(self.path("dump", "traces")), "of peers that are pretended there is no time")


if __name__ == "__main__":
    unittest.main()
