"""scripts/merge_traces.py on traces as Kineto writes them."""
import gzip
import json
import os
import subprocess
import sys
import tempfile
import unittest

SCRIPT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../scripts/merge_traces.py")


def header(rank, base=1_790_857_026_000_000_000):
    return ('{\n  "schemaVersion": 1,\n  "deviceProperties": [],\n  "distributedInfo": {"rank": %d, "world_size": 4},\n'
            '  "baseTimeNanoseconds": %d,\n  "traceEvents": [\n' % (rank, base))


FOOTER = '\n  ],\n  "traceName": "rank_trace.json"\n}'


def complete(name, pid, tid, ts=4815500710018.007, **rest):
    return {"ph": "X", "cat": "cpu_op", "name": name, "pid": pid, "tid": tid, "ts": ts, "dur": 5.5, **rest}


class MergeTracesTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def write(self, name, rank, events, **options):
        path = os.path.join(self.folder, name)
        with (gzip.open(path, "wt") if name.endswith(".gz") else open(path, "w")) as file:
            file.write(header(rank, **options) + ",\n".join(map(json.dumps, events)) + FOOTER)
        return path

    def merge(self, *args):
        result = subprocess.run([sys.executable, SCRIPT, *args], capture_output=True, text=True)
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        return result.stdout

    def refused(self, *args):
        result = subprocess.run([sys.executable, SCRIPT, *args], capture_output=True, text=True)
        self.assertEqual(result.returncode, 1, result.stderr)
        self.assertEqual([name for name in os.listdir(self.folder) if "merged" in name], [])
        return result.stderr

    def merged(self, name="merged_trace.json"):
        path = os.path.join(self.folder, name)
        with (gzip.open(path, "rt") if name.endswith(".gz") else open(path)) as file:
            return json.load(file)["traceEvents"]

    def test_each_rank_is_a_process_with_its_threads(self):
        meta = [{"ph": "M", "name": "process_name", "pid": 70, "tid": 0, "args": {"name": "titan_train"}},
                {"ph": "M", "name": "thread_name", "pid": 0, "tid": 7, "args": {"name": "stream 7 "}}]
        for rank in (2, 0, 1, 10):  # all with the same process number, as in containers; a GPU's stream has a CPU thread's number
            self.write(f"rank{rank}_trace.json", rank, [complete("a", 70, 7), complete("kernel", 0, 7), complete("b", 70, 71),
                                                         complete("span", "Spans", "PyTorch Profiler"), *meta])
        self.assertIn("of 4 ranks", self.merge(self.folder))
        events = self.merged()
        names = {e["pid"]: e["args"]["name"] for e in events if e["name"] == "process_name"}
        self.assertEqual(names, {0: "rank 0", 1: "rank 1", 2: "rank 2", 10: "rank 10"})
        self.assertEqual({e["pid"]: e["args"]["sort_index"] for e in events if e["name"] == "process_sort_index"},
                         {rank: rank for rank in names})
        for rank in names:
            mine = {e["name"]: e for e in events if e["pid"] == rank and e["ph"] == "X"}
            self.assertEqual(len({e["tid"] for e in mine.values()}), 4, "four threads")
            self.assertEqual(mine["a"]["tid"], 7)
            threads = {e["tid"]: e["args"]["name"] for e in events if e["pid"] == rank and e["name"] == "thread_name"}
            self.assertEqual(threads, {mine["kernel"]["tid"]: "stream 7 ", mine["span"]["tid"]: "PyTorch Profiler"})
            self.assertTrue(all(isinstance(e["tid"], int) for e in mine.values()))

    def test_arrows_stay_within_their_rank(self):
        arrow = [{"ph": end, "id": 5, "pid": 1, "tid": 1, "ts": 1.0, "cat": "fwdbwd", "name": "fwdbwd"} for end in "sf"]
        for rank in (0, 1):
            self.write(f"rank{rank}_trace.json", rank, arrow)
        self.merge(self.folder)
        ids = {rank: {e["id"] for e in self.merged() if e["ph"] in "sf" and e["pid"] == rank} for rank in (0, 1)}
        self.assertEqual([len(of_rank) for of_rank in ids.values()], [1, 1])
        self.assertNotEqual(ids[0], ids[1])

    def test_times_are_counted_from_one_base(self):
        one = self.write("rank0_trace.json", 0, [complete("a", 1, 1, ts=10.25)], base=5_000_000)
        other = self.write("rank1_trace.json", 1, [complete("a", 1, 1, ts=10.25)], base=7_000_000)
        output = os.path.join(self.folder, "merged.json.gz")
        self.merge(other, one, "-o", output)
        self.assertEqual([e["ts"] for e in self.merged("merged.json.gz") if e["ph"] == "X"], [10.25, 2010.25])
        with gzip.open(output, "rt") as file:
            self.assertEqual(json.load(file)["baseTimeNanoseconds"], 5_000_000)

    def test_every_event_of_long_traces_in_little_memory(self):
        long_name = "x" * 3_000_000  # more than is read at once
        count = 30_000
        for rank in (0, 1):
            self.write(f"rank{rank}_trace.json", rank,
                       [*(complete(f"op {i} ] }} \\\" ä", 1, 1, ts=float(i), args={"Input Dims": [[2, 3], []] * 20}) for i in range(count)),
                        complete(long_name, 1, 1)])
        size = os.path.getsize(os.path.join(self.folder, "rank0_trace.json"))
        self.assertGreater(size, 10 << 20)
        limited = ["bash", "-c", 'ulimit -v 100000 && exec "$@"', "-", sys.executable, SCRIPT, self.folder]  # KiB
        subprocess.run(limited, check=True, capture_output=True)
        names = [e["name"] for e in self.merged() if e["ph"] == "X"]
        self.assertEqual(names, [*(f"op {i} ] }} \\\" ä" for i in range(count)), long_name] * 2)

    def test_what_is_no_trace_is_refused_and_leaves_nothing(self):
        whole = self.write("rank0_trace.json", 0, [complete("a", 1, 1)] * 3)
        with open(whole) as file:
            text = file.read()
        for name, content, message in (("cut.json", text[:-120], "ends within its events"), ("empty.json", "", "has no traceEvents"),
                                       ("other.json", '{"a": 1}', "has no traceEvents")):
            path = os.path.join(self.folder, name)
            with open(path, "w") as file:
                file.write(content)
            self.assertIn(message, self.refused(path))
        self.assertIn("are both of rank 0", self.refused(whole, whole))
        self.assertIn("No such file", self.refused(os.path.join(self.folder, "nowhere.json")))
        os.remove(whole)
        self.assertIn("has no rankN_trace.json", self.refused(self.folder))


if __name__ == "__main__":
    unittest.main()
