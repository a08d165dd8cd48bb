"""Which threads a run has, and how they wait for one another."""
import os

from titan import TitanTest


class ThreadsTest(TitanTest):
    def spin_count(self, **env):
        """libgomp's, as it says when it is loaded; None where its own policy decides."""
        keep = {name: "" for name in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY") if name in os.environ}
        self.assertFalse(keep, "the environment of tests chooses no policy")
        errors = self.train("--training.steps=1", env={"OMP_DISPLAY_ENV": "VERBOSE", **env}).stderr
        line, = [line for line in errors.splitlines() if "GOMP_SPINCOUNT" in line]
        return line.split("'")[1]

    def test_threads_do_not_spin_for_long_at_barriers_unless_told_to(self):
        self.assertEqual(self.spin_count(), "1000")
        self.assertEqual(self.spin_count(GOMP_SPINCOUNT="77"), "77")
        self.assertNotEqual(self.spin_count(OMP_WAIT_POLICY="active"), "1000")

    def test_their_number_is_said_at_the_start(self):
        for threads in {1, min(2, len(os.sched_getaffinity(0)))}:
            log = self.train("--training.steps=1", env={"OMP_NUM_THREADS": str(threads)}).stdout
            self.assertRegex(log, f"CPU threads: {threads} of this process compute, on [0-9]+ core")
