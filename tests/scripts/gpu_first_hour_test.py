"""gpu_first_hour.sh: a verdict on every experiment, also where one before it fails. The program is pretended."""

import unittest

from machine import ROOT, Machine

COMMANDS = ["bash", "awk", "cat", "cp", "cut", "dirname", "find", "grep", "head", "mkdir", "paste", "readlink", "realpath", "rm", "sed", "stat",
            "tail", "timeout"]
# Trains to a loss that depends on the device, as its last digits do on real ones.
PROGRAM = """#!/bin/bash
for argument in "$@"; do
  case "$argument" in
    --version) printf 'LibTorch 2\\n%sdriver none (no NVIDIA driver is loaded)\\n' "$GPU"; exit ;;
    --job.dump_folder=*) dump="${argument#*=}" ;;
    --training.device=cuda) loss="$CUDA_LOSS" ;;
    --compile.cuda_graphs) graphed=yes ;;
  esac
done
mkdir -p "$dump"
if [[ -n "${graphed:-}" ]]; then
  loss="${GRAPH_LOSS:-$loss}"
  tps="${GRAPH_TPS:-}"
  weight="${GRAPH_WEIGHT:-}"
fi
echo "{\\"step\\":12,\\"name\\":\\"norm.weight\\",\\"hash\\":\\"${weight:-a}\\"}" >"$dump/hashes.jsonl"
echo "{\\"step\\": 1, \\"loss\\": ${loss:-8.0}, \\"max_loss\\": 8.0, \\"grad_norm\\": 1.5, \\"tps\\": ${tps:-1000.5}}" >"$dump/metrics.jsonl"
if [[ "${loss:-}" == crash ]]; then
  echo "titan_train: the GPU fell off" >&2
  exit 1
fi
"""


class GpuFirstHour(unittest.TestCase):
    def setUp(self):
        self.machine = Machine(COMMANDS)
        self.addCleanup(self.machine.folder.cleanup)
        self.program = self.machine.home / "titan_train"
        self.program.write_text(PROGRAM, encoding="utf-8")
        self.program.chmod(0o755)

    def first_hour(self, only, **environment):
        return self.machine.run(ROOT / "scripts/gpu_first_hour.sh", self.machine.home / "out", "--only", only,
                                TITAN_PROGRAM=str(self.program), **environment)

    def verdicts(self, *arguments, **environment):
        result = self.first_hour(*arguments, **environment)
        summary = (self.machine.home / "out/summary.txt").read_text(encoding="utf-8")
        self.assertTrue(result.stdout.endswith(summary), result.stdout + result.stderr)
        rows = [line.split(None, 2) for line in summary.splitlines()]
        self.assertEqual(result.returncode, sum(verdict == "FAIL" for verdict, *_ in rows))
        return {int(number): (verdict, text) for verdict, number, text in rows}

    def test_losses_within_the_bound_pass(self):
        verdict, text = self.verdicts("2", CUDA_LOSS="8.0004")[2]
        self.assertEqual(verdict, "PASS")
        self.assertIn("5.0e-05 of them in float32", text)

    def test_losses_beyond_the_bound_or_not_a_number_fail(self):
        for loss in ("8.004", "nan", "null"):
            verdict, text = self.verdicts("2", CUDA_LOSS=loss)[2]
            self.assertEqual(verdict, "FAIL", loss)
            self.assertIn("cpu and float32", text)

    def test_what_fails_is_named_and_does_not_stop_the_others(self):
        verdicts = self.verdicts("1,2,4", CUDA_LOSS="crash")
        self.assertEqual([verdict for verdict, _ in verdicts.values()], ["FAIL"] * 3)
        self.assertIn("no GPU: driver none (no NVIDIA driver is loaded)", verdicts[1][1])
        self.assertIn("float32 ended with status 1: titan_train: the GPU fell off", verdicts[2][1])
        self.assertEqual(self.verdicts("1", GPU="GPU 0: H100\n")[1][0], "PASS")

    def test_one_that_writes_nothing_to_compare_fails(self):
        verdict, text = self.verdicts("5", CUDA_LOSS="8")[5]
        self.assertEqual(verdict, "FAIL")
        self.assertIn("wrote no hashes of step 10", text)

    def pretend_tests(self, said, status):
        tests = self.machine.home / "tests/cuda_kernels_test"
        tests.parent.mkdir(exist_ok=True)
        tests.write_text(f"#!/bin/bash\nprintf '{said}\\n'\nexit {status}\n", encoding="utf-8")
        tests.chmod(0o755)

    def test_graphs_are_judged_by_their_bits_and_their_speed(self):
        self.pretend_tests("[       OK ] A", 0)
        verdict, text = self.verdicts("13", CUDA_LOSS="8", GRAPH_TPS="1500.7")[13]
        self.assertEqual(verdict, "PASS", text)
        self.assertIn("debug model 1000 tokens/s without, 1500 with graphs", text)
        for difference, said in (({"GRAPH_LOSS": "8.0000001"}, "losses differ"), ({"GRAPH_WEIGHT": "b"}, "weights of without and with differ"),
                                 ({"GRAPH_TPS": "900.0"}, "replayed steps are slower"), ({"GRAPH_LOSS": "crash"}, "the GPU fell off")):
            verdict, text = self.verdicts("13", CUDA_LOSS="8", **difference)[13]
            self.assertEqual(verdict, "FAIL", difference)
            self.assertIn(said, text)

    def test_kernels_are_judged_by_their_tests(self):
        self.assertIn("build it", self.verdicts("11")[11][1])
        for status, said, verdict in ((0, "[       OK ] A\\nspeed: swiglu 2.10x\\nspeed: rotation 5.00x", "PASS"),
                                      (1, "x.cpp:1: Failure", "FAIL"), (0, "x.cpp:1: Skipped\\nno driver", "FAIL"),
                                      (0, "x.cpp:1: Skipped\\nthese need a GPU of compute capability 10.0", "PASS")):
            self.pretend_tests(said, status)
            self.assertEqual(self.verdicts("11")[11][0], verdict, said)
        self.pretend_tests("[       OK ] A\\nspeed: swiglu 2.10x\\nspeed: rotation 5.00x", 0)
        self.assertIn("1 tests passed; times of LibTorch's by ours: swiglu 2.10x, rotation 5.00x", self.verdicts("11")[11][1])

    def test_an_unknown_experiment_and_a_missing_program_are_refused(self):
        self.assertEqual(self.first_hour("99").returncode, 2)
        self.program.unlink()
        result = self.first_hour("1")
        self.assertEqual(result.returncode, 2)
        self.assertIn("TITAN_PROGRAM", result.stderr)


if __name__ == "__main__":
    unittest.main()
