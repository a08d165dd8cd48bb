"""The progress line on a terminal, and its absence everywhere else."""
import fcntl
import os
import pty
import re
import subprocess
import sys
import termios
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "integration"))
from titan import ROOT, TitanTest, environment  # noqa: E402

STATUS = re.compile(r"step \d+/60 \d+%( {2}[\d.e-]+ s/step)?( {2}ETA \w+)?$")
LONG = ["--training.steps=60", "--metrics.log_freq=50"]


def screen(text):
    """The lines of a very wide terminal after it received `text`, and each line it showed for a moment."""
    lines, row, column, seen = [[]], 0, 0, set()
    for part in re.findall(r"\x1b\[K|\x1b\[[\d;]*m|[^\x1b]", text):
        if part == "\x1b[K":
            del lines[row][column:]
            seen.add("".join(lines[row]))
        elif part == "\r":
            column = 0
        elif part == "\n":
            seen.add("".join(lines[row]))
            row, column = row + 1, 0
            lines.append([])
        elif len(part) == 1:
            lines[row][column:column + 1] = [part]
            column += 1
    return ["".join(line) for line in lines], seen


def read_terminal(terminal):
    """Everything until nobody writes to it any more."""
    received = b""
    while True:
        try:
            data = os.read(terminal, 65536)
        except OSError:  # Linux' way to say so
            data = b""
        if not data:
            os.close(terminal)
            return received.decode().replace("\r\n", "\n")
        received += data


class ProgressTest(TitanTest):
    def run_on_terminal(self, stdout, stderr, **env):
        """What a terminal receives when standard output or error ("terminal") is one, and the output that is not."""
        ours, theirs = pty.openpty()
        place = {"terminal": theirs, "pipe": subprocess.PIPE}
        process = subprocess.Popen(self.arguments(*LONG), cwd=ROOT, env=environment({"TERM": "xterm", **env}),
                                   stdout=place[stdout], stderr=place[stderr])
        os.close(theirs)
        received = read_terminal(ours)
        output, _ = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 0, received)
        return received, (output or b"").decode()

    def assert_no_line_is_garbled(self, lines):
        self.assertEqual(lines[-1], "", "the progress line is gone at the end")
        for line in lines[:-1]:
            self.assertNotRegex(line, r"ETA|s/step|\d/60")
            if not line.startswith(("  ", "}")):  # the model's arguments take several lines
                self.assertRegex(line, r"^\[titan\] \d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} - root - \w+ - ")

    def test_a_terminal_shows_progress_and_whole_log_lines(self):
        received, _ = self.run_on_terminal("terminal", "terminal", NO_COLOR="1")
        lines, seen = screen(received)
        self.assert_no_line_is_garbled(lines)
        shown = [line for line in seen if STATUS.search(line) and not line.startswith("[titan]")]
        self.assertGreater(len(shown), 1, seen)
        self.assertTrue(any("ETA" in line for line in shown), shown)

    def test_with_the_log_in_a_file_the_terminal_shows_progress_alone(self):
        received, output = self.run_on_terminal("pipe", "terminal")
        self.assertIn("step 60/60 100%", received)
        self.assertNotIn("[titan]", received)
        self.assertNotRegex(output, r"[\r\x1b]|ETA")

    def test_in_the_background_of_a_shell_there_is_no_progress(self):
        ours, theirs = pty.openpty()
        process = subprocess.Popen(["bash", "-c", 'set -m; "$@" & wait $!', "bash", *self.arguments(*LONG)], cwd=ROOT,
                                   env=environment({"TERM": "xterm"}), stdin=theirs, stdout=theirs, stderr=theirs,
                                   start_new_session=True, preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))
        os.close(theirs)
        received = read_terminal(ours)
        self.assertEqual(process.wait(), 0, received)
        self.assertIn("Training completed", received)
        self.assertNotIn("/60", received)

    def test_files_pipes_and_dumb_terminals_get_plain_lines(self):
        result = self.train(*LONG)
        self.assertNotRegex(result.stdout + result.stderr, r"[\r\x1b]|ETA")
        received, _ = self.run_on_terminal("terminal", "terminal", TERM="dumb")
        self.assertNotIn("ETA", received)


if __name__ == "__main__":
    unittest.main()
