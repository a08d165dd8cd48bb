"""TensorBoard's own package reads back what a run wrote: every tag, step and value."""
import glob
import os
import sys
import unittest

import numpy as np
from tensorboard.backend.event_processing import event_accumulator
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "integration"))
from titan import TitanTest  # noqa: E402

# Tags and the fields of metrics.jsonl with the same figure.
TAGS = {
    "loss_metrics/global_avg_loss": "loss",
    "loss_metrics/global_max_loss": "max_loss",
    "grad_norm": "grad_norm",
    "throughput(tps)": "tps",
    "tflops": "tflops",
    "time_metrics/end_to_end(s)": "end_to_end_s",
    "time_metrics/data_loading(s)": "data_loading_s",
    "time_metrics/data_loading(%)": "data_loading_pct",
    "memory/max_active(GiB)": "memory_max_active_gib",
    "memory/max_active(%)": "memory_max_active_pct",
    "memory/max_reserved(GiB)": "memory_max_reserved_gib",
    "memory/max_reserved(%)": "memory_max_reserved_pct",
    "memory/num_alloc_retries": "memory_num_alloc_retries",
    "memory/num_ooms": "memory_num_ooms",
    "n_tokens_seen": "n_tokens_seen",
    "lr": "lr",
}


class TensorBoardTest(TitanTest):
    def event_file(self, *folders):
        files = glob.glob(self.path("dump", "tb", "*", *folders, "events.out.tfevents.*"))
        self.assertEqual(len(files), 1, files)
        return files[0]

    def test_every_tag_step_and_value_is_read_back(self):
        output = self.train("--metrics.enable_tensorboard").stdout
        path = self.event_file()
        self.assertIn(f"TensorBoard logging enabled. Logs will be saved at {os.path.dirname(path)}\n", output)
        self.assertRegex(os.path.basename(path), r"^events\.out\.tfevents\.\d{10}\." + os.uname().nodename + r"\.\d+\.0$")
        self.assertRegex(os.path.dirname(path), r"/tb/\d{8}-\d{4}$")
        records = self.records()

        accumulator = event_accumulator.EventAccumulator(os.path.dirname(path), size_guidance={"scalars": 0})
        accumulator.Reload()
        self.assertEqual(set(accumulator.Tags()["scalars"]), set(TAGS))  # no mfu(%): a CPU has no known peak
        for tag, field in TAGS.items():
            events = accumulator.Scalars(tag)
            self.assertEqual([event.step for event in events], [record["step"] for record in records])
            self.assertEqual([np.float32(event.value) for event in events],
                             [np.float32(record[field]) for record in records], tag)
            for event in events:
                self.assertAlmostEqual(event.wall_time, os.stat(path).st_mtime, delta=120)

    def test_the_loader_of_tensorboards_server_sees_scalars(self):
        self.train("--metrics.enable_tensorboard", "--training.steps=1")
        events = list(EventFileLoader(self.event_file()).Load())
        self.assertEqual(events[0].file_version, "brain.Event:2")
        values = events[1].summary.value
        self.assertEqual([value.tag for value in values if value.metadata.plugin_data.plugin_name != "scalars"], [])
        self.assertEqual(len(values), len(TAGS))

    def test_every_rank_can_have_its_folder(self):
        self.train("--metrics.enable_tensorboard", "--metrics.save_for_all_ranks")
        self.event_file("rank_0")

    def test_a_folder_that_cannot_be_written_is_said_at_the_start(self):
        self.write("file", "")
        message = self.refused("--metrics.enable_tensorboard", "--metrics.save_tb_folder=../file", exit_status=1)
        self.assertIn("cannot create the folder", message)


if __name__ == "__main__":
    unittest.main()
