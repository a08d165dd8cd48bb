"""download_hf_assets.py against a hub that this test serves, which can cut connections, be busy, lie or be gone."""

import hashlib
import http.server
import json
import os
import resource
import socket
import subprocess
import sys
import tempfile
import threading
import unittest
import urllib.parse
from pathlib import Path

from machine import ROOT

SCRIPT = ROOT / "scripts/download_hf_assets.py"
WEIGHTS = bytes(range(256)) * 4000
FILES = {
    "README.md": b"# A model\n",
    "config.json": b'{"hidden_size": 8}\n',
    "empty.txt": b"",
    "generation_config.json": b"{}",
    "model-00001-of-00001.safetensors": WEIGHTS,
    "model.safetensors.index.json": b'{"weight_map": {}}',
    "original/tokenizer.model": b"\x0a\x0b" * 500,
    "tokenizer.json": b'{"version": "1.0"}',
    "tokenizer_config.json": b"{}",
    "odd name #1?.txt": "é".encode(),
}
IN_LFS = (".safetensors", ".model")


def listed(path, data):
    entry = {"type": "file", "path": path, "size": len(data), "oid": hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()}
    if path.endswith(IN_LFS):
        entry["oid"] = "0" * 40  # of the pointer
        entry["lfs"] = {"oid": hashlib.sha256(data).hexdigest(), "size": len(data), "pointerSize": 134}
    return entry


class Hub(http.server.ThreadingHTTPServer):
    """Serves FILES as repository `org/small`, listed three a page."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.api, self.files_at = "/api/models/org/small/tree/main", "/org/small/resolve/main/"
        self.files = dict(FILES)
        self.listing = [{"type": "directory", "path": "original", "oid": "1" * 40, "size": 0}]
        self.listing += [listed(*item) for item in FILES.items()]
        self.requests = []  # (path, Range or "")
        self.tokens = []
        self.refusals = []  # statuses and headers to answer with first
        self.cut_after = []  # bytes of a file's body after which to cut the connection, a request each
        self.ignore_range = False
        self.needs_token = None
        self.storage = None  # another hub's address to redirect files to
        self.address = f"http://127.0.0.1:{self.server_address[1]}"
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    def stop(self):
        self.shutdown()
        self.server_close()


class Handler(http.server.BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def answer(self, status, data=b"", **headers):
        self.send_response(status)
        for name, value in {"Content-Length": len(data), **headers}.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self):
        hub = self.server
        url = urllib.parse.urlsplit(self.path)
        path = urllib.parse.unquote(url.path)
        hub.requests.append((path, self.headers.get("Range", "")))
        hub.tokens.append(self.headers.get("Authorization"))
        if hub.refusals:
            status, headers = hub.refusals.pop(0)
            return self.answer(status, **headers)
        if hub.needs_token and hub.tokens[-1] != f"Bearer {hub.needs_token}":
            return self.answer(401, X_Error_Code="GatedRepo")
        if path == hub.api:
            return self.list_files(int(urllib.parse.parse_qs(url.query).get("from", ["0"])[0]))
        name = path.partition(hub.files_at)[2]
        if name not in hub.files:
            return self.answer(404, X_Error_Code="RepoNotFound")
        if hub.storage:
            return self.answer(302, Location=hub.storage + self.path)
        return self.send_file(hub.files[name])

    def list_files(self, begin):
        entries = self.server.listing[begin : begin + 3]
        link = {}
        if begin + 3 < len(self.server.listing):
            link = {"Link": f'<{self.server.address}{self.server.api}?recursive=true&from={begin + 3}>; rel="next"'}
        self.answer(200, json.dumps(entries).encode(), **link)

    def send_file(self, data):
        begin = 0
        if self.headers.get("Range") and not self.server.ignore_range:
            begin = int(self.headers["Range"].removeprefix("bytes=").removesuffix("-"))
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {begin}-{len(data) - 1}/{len(data)}")
        else:
            self.send_response(200)
        self.send_header("Content-Length", str(len(data) - begin))
        self.end_headers()
        if self.server.cut_after:
            self.wfile.write(data[begin : begin + self.server.cut_after.pop(0)])
            self.wfile.flush()
            self.connection.shutdown(socket.SHUT_RDWR)
        else:
            self.wfile.write(data[begin:])


class WithHub(unittest.TestCase):
    def setUp(self):
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.folder = Path(temporary.name)
        self.target = self.folder / "assets/small"
        self.hub = self.new_hub()

    def new_hub(self):
        hub = Hub()
        self.addCleanup(hub.stop)
        return hub

    def download(self, *arguments, repo="org/small", endpoint=None, preexec_fn=None, **environment):
        # No proxy of the machine stands between the test and its hub.
        kept = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy") and not name.startswith("HF_")}
        return subprocess.run(
            [sys.executable, SCRIPT, "--repo_id", repo, "--local_dir", self.folder / "assets", "--pause", "0.01", *arguments],
            cwd=self.folder, env={**kept, "HF_ENDPOINT": endpoint or self.hub.address, **environment}, preexec_fn=preexec_fn,
            capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=120, check=False)

    def downloaded(self, *arguments, **environment):
        result = self.download(*arguments, **environment)
        self.assertEqual(result.returncode, 0, result.stderr)
        return result

    def refused(self, message, *arguments, **environment):
        result = self.download(*arguments, **environment)
        self.assertEqual(result.returncode, 1, result.stderr)
        self.assertRegex(result.stderr.splitlines()[-1], f"^download_hf_assets: .*{message}")
        self.assertNotIn("Traceback", result.stderr)
        return result

    def there(self):
        return {str(path.relative_to(self.target)): path.read_bytes() for path in self.target.rglob("*") if path.is_file()}

    def ranges_asked(self, name):
        return [range_ for path, range_ in self.hub.requests if path.endswith(f"/resolve/main/{name}")]


class Selection(WithHub):
    def test_all(self):
        result = self.downloaded("--all")
        self.assertEqual(self.there(), FILES)
        self.assertRegex(result.stdout.splitlines()[-1], r"small: 10 files, 1\.025 MB downloaded in .*, 0 there already; all checked$")

    def test_kinds(self):
        for kinds, names in [
            (["tokenizer"], ["original/tokenizer.model", "tokenizer.json", "tokenizer_config.json"]),
            (["safetensors"], ["model-00001-of-00001.safetensors", "model.safetensors.index.json"]),
            (["index", "config"], ["config.json", "generation_config.json", "model.safetensors.index.json"]),
        ]:
            with self.subTest(kinds=kinds):
                self.downloaded("--assets", *kinds, "--local_dir", self.folder / kinds[0])
                self.target = self.folder / kinds[0] / "small"
                self.assertEqual(sorted(self.there()), names)

    def test_further_patterns(self):
        self.downloaded("--additional_patterns", "readme.md", "*.TXT")
        self.assertEqual(sorted(self.there()), ["README.md", "empty.txt", "odd name #1?.txt"])

    def test_a_kind_that_is_not_there(self):
        self.hub.listing = [listed("README.md", FILES["README.md"])]
        result = self.downloaded("--assets", "tokenizer", "--additional_patterns", "*.md")
        self.assertIn("warning: org/small has no file of the kind tokenizer", result.stderr)
        self.refused("has no file of those asked for, but: README.md", "--assets", "config")

    def test_arguments(self):
        for arguments, message in [((), "at least one of"), (("--assets", "weights"), "invalid choice: 'weights'")]:
            result = self.download(*arguments)
            self.assertEqual(result.returncode, 2)
            self.assertIn(message, result.stderr)
        for repo in ("small", "../small", "org/..", "org/a/b", "org/a?b"):
            result = self.download("--all", repo=repo)
            self.assertEqual(result.returncode, 2)
            self.assertIn("Invalid repo_id format", result.stderr)


class Resumption(WithHub):
    SAFETENSORS = "model-00001-of-00001.safetensors"

    def test_what_is_there_is_not_fetched_again_and_what_is_damaged_is(self):
        self.downloaded("--all")
        (self.target / "config.json").write_bytes(b'{"hidden_size": 9}\n')
        self.hub.requests.clear()
        result = self.downloaded("--all")
        self.assertEqual(self.there(), FILES)
        self.assertEqual([path for path, _ in self.hub.requests if "/resolve/" in path], ["/org/small/resolve/main/config.json"])
        self.assertIn("1 files, 19 bytes downloaded", result.stdout)

    def test_cut_connections_are_gone_on_from(self):
        self.hub.cut_after = [300_000, 1, 0, 400_000]
        result = self.downloaded("--additional_patterns", "*00001.safetensors")
        self.assertEqual(self.there(), {self.SAFETENSORS: WEIGHTS})
        self.assertEqual(self.ranges_asked(self.SAFETENSORS),
                         ["", "bytes=300000-", "bytes=300001-", "bytes=300001-", "bytes=700001-"])
        self.assertIn("again in", result.stderr)

    def test_the_next_call_goes_on_too(self):
        self.hub.cut_after = [500_000, 0, 0, 0, 0, 0]
        self.refused("given up after 5 attempts", "--assets", "safetensors")
        self.assertNotIn(self.SAFETENSORS, self.there())
        self.hub.cut_after = []
        self.hub.requests.clear()
        self.downloaded("--assets", "safetensors")
        self.assertEqual(self.there()[self.SAFETENSORS], WEIGHTS)
        self.assertEqual(self.ranges_asked(self.SAFETENSORS), ["bytes=500000-"])
        self.assertFalse(list(self.target.glob(".*.part")))

    def test_a_hub_that_knows_no_ranges(self):
        self.hub.cut_after = [500_000]
        self.hub.ignore_range = True
        self.downloaded("--assets", "safetensors")
        self.assertEqual(self.there()[self.SAFETENSORS], WEIGHTS)

    def test_a_damaged_part_is_not_believed(self):
        self.hub.cut_after = [500_000, 0, 0, 0, 0, 0]
        self.refused("given up", "--assets", "safetensors")
        (part,) = self.target.glob(".*.part")
        with open(part, "r+b") as stream:
            stream.write(b"damage")
        self.hub.cut_after = []
        self.refused("should have [0-9a-f]{64}: it was discarded", "--assets", "safetensors")
        self.assertNotIn(self.SAFETENSORS, self.there())
        self.downloaded("--assets", "safetensors")
        self.assertEqual(self.there()[self.SAFETENSORS], WEIGHTS)

    def test_a_refused_range_begins_anew(self):
        self.hub.cut_after = [500_000, 0, 0, 0, 0, 0]
        self.refused("given up", "--assets", "safetensors")
        self.hub.cut_after = []
        original = Handler.send_file

        def refuse_ranges(handler, data):
            return handler.answer(416) if handler.headers.get("Range") else original(handler, data)

        Handler.send_file = refuse_ranges
        self.addCleanup(setattr, Handler, "send_file", original)
        self.downloaded("--assets", "safetensors")
        self.assertEqual(self.there()[self.SAFETENSORS], WEIGHTS)


class Refusal(WithHub):
    def test_wrong_content_of_either_kind_is_refused(self):
        for name in ("config.json", "original/tokenizer.model"):
            with self.subTest(name):
                self.hub.files[name] = FILES[name][:-1] + b"?"
                self.refused(f"{name} has the hash .* it was discarded", "--additional_patterns", name.rpartition("/")[2])
                self.assertEqual(self.there(), {})

    def test_more_than_listed_is_refused(self):
        self.hub.files["config.json"] += b" "
        self.refused("config.json is longer than the 19 bytes", "--assets", "config")

    def test_hostile_names_are_refused_before_anything_is_written(self):
        data = b"evil"
        (self.folder / "elsewhere").mkdir()
        self.target.mkdir(parents=True)
        (self.target / "link").symlink_to(self.folder / "elsewhere")
        before = sorted(self.folder.rglob("*"))
        for name in ("../x", "a/../../x", "/tmp/x", "..", "a//x", "./x", "a\\..\\x", "a\nx", "", "link/x", 7, None):
            with self.subTest(name):
                self.hub.listing = [listed("config.json", FILES["config.json"]), {**listed("x", data), "path": name}]
                self.hub.files["x"] = data
                self.refused("nothing was downloaded", "--all")
                self.assertEqual(sorted(self.folder.rglob("*")), before)

    def test_a_listing_that_makes_no_sense_is_refused(self):
        for entry in [{"type": "file"}, {**listed("x", b""), "size": -1}, {**listed("x", b""), "oid": "../../x"}, "x", 3]:
            with self.subTest(entry):
                self.hub.listing = [entry]
                self.refused("does not answer as the hub does", "--all")

    def test_gated(self):
        self.hub.needs_token = "hf_secret"
        result = self.refused(f"401: org/small is gated or private: accept its licence at {self.hub.address}/org/small", "--all")
        self.assertNotIn("hf_secret", result.stderr)
        self.refused("accept its licence", "--all", "--hf_token", "hf_other")
        self.downloaded("--assets", "config", "--hf_token", "hf_secret")
        self.downloaded("--assets", "tokenizer", HF_TOKEN="hf_secret")
        self.hub.refusals = [(403, {"X_Error_Code": "GatedRepo"})]
        self.refused("403: org/small is gated", "--all", HF_TOKEN="hf_secret")

    def test_no_such_repository(self):
        self.refused("404: .* has no repository org/none", "--all", repo="org/none")
        self.hub.refusals = [(401, {"X_Error_Code": "RepoNotFound"})]
        self.refused("has no repository org/small, or it is private", "--all")
        self.refused(r"revision v9", "--all", "--revision", "v9")

    def test_a_file_that_is_listed_but_gone(self):
        del self.hub.files["tokenizer.json"]
        self.refused(r"404: .* has no main/tokenizer.json", "--assets", "tokenizer")

    def test_a_busy_hub_is_asked_again(self):
        self.hub.refusals = [(429, {"Retry_After": "0"}), (503, {}), (500, {"Retry_After": "soon"})]
        result = self.downloaded("--assets", "config")
        self.assertIn("the hub answers 429 Too Many Requests; again in 0 s", result.stderr)
        self.assertEqual(sorted(self.there()), ["config.json", "generation_config.json"])
        self.hub.refusals = [(503, {"Retry_After": "0"})] * 5
        self.refused("given up after 5 attempts: the hub answers 503", "--assets", "tokenizer")

    def test_a_silent_hub_is_given_up(self):
        with socket.create_server(("127.0.0.1", 0)) as silent:
            address = f"http://127.0.0.1:{silent.getsockname()[1]}"
            self.refused("given up after 5 attempts: TimeoutError", "--all", "--timeout", "0.1", endpoint=address)

    def test_offline(self):
        with socket.create_server(("127.0.0.1", 0)) as closed:
            address = f"http://127.0.0.1:{closed.getsockname()[1]}"
        result = self.refused(f"cannot reach {address}: .*refused. Is there a network\\? HF_ENDPOINT", "--all", endpoint=address)
        self.assertEqual(len(result.stderr.splitlines()), 1)
        self.refused("no http", "--all", endpoint="ftp://x")

    def test_another_host_does_not_see_the_token(self):
        storage = self.new_hub()
        self.hub.needs_token = "hf_secret"
        self.hub.storage = storage.address
        self.downloaded("--assets", "config", "--hf_token", "hf_secret")
        self.assertEqual(set(self.hub.tokens), {"Bearer hf_secret"})
        self.assertEqual(storage.tokens, [None, None])
        self.refused("the token would go unencrypted", "--all", "--hf_token", "hf_secret", endpoint="http://hub.example")

    def test_a_full_disk(self):
        limit = (100_000, 100_000)
        self.refused("File too large", "--assets", "safetensors", preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, limit))
        self.assertNotIn("model-00001-of-00001.safetensors", self.there())
        self.hub.listing = [{**listed("a.safetensors", b"x"), "lfs": {"oid": "0" * 64, "size": 1 << 60}}]
        self.refused("GB free, and .* are to be downloaded", "--all")


if __name__ == "__main__":
    unittest.main()
