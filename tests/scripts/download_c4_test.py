"""download_c4.py against a hub that this test serves."""

import gzip
import os
import socket
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

from download_hf_assets_test import Hub, listed
from machine import ROOT

SCRIPT = ROOT / "scripts/download_c4.py"
SHARDS = {
    f"en/c4-{split}.{i:05}-of-{of:05}.json.gz": gzip.compress(b'{"text": "%s %d"}\n' % (split.encode(), i) * 500)
    for split, of in (("train", 1024), ("validation", 8)) for i in range(4)
}


def lfs(path, data):
    return listed(path + ".model", data) | {"path": path}


class DownloadC4(unittest.TestCase):
    def setUp(self):
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.folder = Path(temporary.name)
        self.hub = Hub()
        self.addCleanup(self.hub.stop)
        self.hub.api, self.hub.files_at = "/api/datasets/allenai/c4/tree/main/en", "/datasets/allenai/c4/resolve/main/"
        self.hub.files = dict(SHARDS)
        self.hub.listing = [lfs("en/README.md", b"x"), *(lfs(*item) for item in reversed(SHARDS.items()))]

    def download(self, *arguments, status=0, endpoint=None):
        kept = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy") and not name.startswith("HF_")}
        result = subprocess.run([sys.executable, SCRIPT, "--pause", "0.01", *arguments], cwd=self.folder, capture_output=True, text=True,
                                env={**kept, "HF_ENDPOINT": endpoint or self.hub.address}, timeout=120, check=False)
        self.assertEqual(result.returncode, status, result.stderr)
        self.assertNotIn("Traceback", result.stderr)
        return result

    def there(self, folder="assets/c4"):
        root = self.folder / folder
        return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}

    def test_the_first_of_each_kind(self):
        self.download()
        names = ["en/c4-train.00000-of-01024.json.gz", "en/c4-validation.00000-of-00008.json.gz"]
        self.assertEqual(self.there(), {name: SHARDS[name] for name in names})

    def test_as_many_as_asked_for_where_asked_for(self):
        self.download("--train", "3", "--validation", "0", "--local_dir", "my c4")
        self.assertEqual(sorted(self.there("my c4")), [f"en/c4-train.0000{i}-of-01024.json.gz" for i in range(3)])
        self.hub.requests.clear()
        result = self.download("--train", "4", "--validation", "0", "--local_dir", "my c4")
        self.assertEqual([path for path, _ in self.hub.requests if "/resolve/" in path],
                         ["/datasets/allenai/c4/resolve/main/en/c4-train.00003-of-01024.json.gz"])
        self.assertIn("3 there already; all checked", result.stdout)

    def test_it_goes_on_where_it_was_interrupted(self):
        self.hub.cut_after = [50, 0, 0, 0, 0, 0]
        result = self.download("--validation", "0", status=1)
        self.assertRegex(result.stderr.splitlines()[-1], "^download_c4: given up after 5 attempts")
        self.assertEqual([name for name in self.there() if not name.endswith(".part")], [])
        self.hub.cut_after = []
        self.hub.requests.clear()
        self.download("--validation", "0")
        self.assertEqual([ranges for path, ranges in self.hub.requests if "/resolve/" in path], ["bytes=50-"])
        name = "en/c4-train.00000-of-01024.json.gz"
        self.assertEqual(self.there(), {name: SHARDS[name]})

    def test_more_than_there_are(self):
        result = self.download("--train", "5", status=1)
        self.assertIn("download_c4: allenai/c4 has 4 shards for train, and 5 are asked for", result.stderr)
        for arguments in (["--train", "-1"], ["--train", "many"], ["--train", "0", "--validation", "0"], ["--repo_id", "c4"]):
            self.download(*arguments, status=2)

    def test_offline(self):
        with socket.create_server(("127.0.0.1", 0)) as closed:
            address = f"http://127.0.0.1:{closed.getsockname()[1]}"
        result = self.download(status=1, endpoint=address)
        self.assertEqual(len(result.stderr.splitlines()), 1)
        self.assertRegex(result.stderr, f"^download_c4: cannot reach {address}: .*refused. Is there a network\\? HF_ENDPOINT")

    def test_a_hub_without_it(self):
        self.hub.api = "elsewhere"
        self.assertIn("has no repository allenai/c4 (revision main)", self.download(status=1).stderr)


if __name__ == "__main__":
    unittest.main()
