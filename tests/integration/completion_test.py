"""`--completion`: what a shell offers after it has read the script."""
import os
import shutil
import subprocess
import unittest


def script(shell):
    return subprocess.run([os.environ["TITAN_TRAIN"], "--completion", shell], capture_output=True, text=True, check=True).stdout


def offered(*words):
    """By bash for the last of the words, cut at equals signs as bash cuts them."""
    test = script("bash") + '\nCOMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _titan_train; printf "%s\\n" "${COMPREPLY[@]}"'
    result = subprocess.run(["bash", "-c", test, "bash", "titan_train", *words], capture_output=True, text=True, check=True)
    assert not result.stderr, result.stderr
    return result.stdout.split()


class CompletionTest(unittest.TestCase):
    def test_options_that_begin_so(self):
        self.assertEqual(offered("--training.st"), ["--training.steps"])
        self.assertEqual(offered("--checkpoint.no-e"),
                         ["--checkpoint.no-enable", "--checkpoint.no-enable_ft_dataloader_checkpoints",
                          "--checkpoint.no-enable_first_step_checkpoint"])
        self.assertEqual(offered("plot", "--outp"), ["--output"])

    def test_words_of_an_option(self):
        self.assertEqual(offered("--training.dtype", ""), ["bfloat16", "float32"])
        self.assertEqual(offered("--training.dtype", "="), ["bfloat16", "float32"])
        self.assertEqual(offered("--training.dtype", "=", "f"), ["float32"])
        self.assertEqual(offered("convert", "--to", "d"), ["dcp"])

    def test_files_and_commands(self):
        os.chdir(os.path.dirname(os.path.abspath(__file__)))
        self.assertEqual(offered("--job.config_file", "completion_t"), ["completion_test.py"])
        self.assertEqual(offered("ge"), ["generate"])

    def test_other_shells_read_their_scripts(self):
        for shell in ("zsh", "fish"):
            with self.subTest(shell):
                if shutil.which(shell):
                    subprocess.run([shell, "-n"], input=script(shell), text=True, check=True)
                self.assertIn("training.dtype", script(shell))


if __name__ == "__main__":
    unittest.main()
