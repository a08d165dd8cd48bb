#!/usr/bin/env python3
"""Downloads tokenizer, config or weights of a model from the Hugging Face hub into LOCAL_DIR/NAME.

Every file is checked against the size and hash that the hub lists, and appears under its name only when they are right. What an
interrupted call has got so far lies in .part files, from where the next call goes on; files already there are only checked.

  scripts/download_hf_assets.py --repo_id meta-llama/Llama-3.1-8B --assets tokenizer --hf_token=...

HF_ENDPOINT names another hub, HF_TOKEN a token.
"""

import argparse
import errno
import fcntl
import fnmatch
import hashlib
import http.client
import json
import os
import re
import shutil
import socket
import ssl
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass
from pathlib import Path

PUBLIC_HUB = "https://huggingface.co"
ASSETS = {
    "tokenizer": ["tokenizer.json", "tokenizer_config.json", "tokenizer.model", "vocab.txt", "vocab.json", "merges.txt",
                  "special_tokens_map.json"],
    "safetensors": ["*.safetensors", "*model.safetensors.index.json"],
    "index": ["*model.safetensors.index.json"],
    "config": ["config.json", "generation_config.json"],
}
ATTEMPTS = 5  # without a byte of progress
LONGEST_PAUSE = 60
LARGEST_LISTING = 64 << 20
PIECE = 1 << 20


class Failure(Exception):
    """What to tell the user."""


class Interrupted(Exception):
    """Something that may be better next time."""

    def __init__(self, reason, pause=None):
        super().__init__(reason)
        self.pause = pause


class RangeRefused(Interrupted):
    """There is nothing to go on from where we stopped."""


@dataclass(frozen=True)
class RemoteFile:
    path: str
    size: int
    digest: str
    is_lfs: bool  # then `digest` is a SHA-256 of the content, else a SHA-1 of the git blob

    def hasher(self):
        return hashlib.sha256() if self.is_lfs else hashlib.sha1(b"blob %d\0" % self.size)


class Redirects(urllib.request.HTTPRedirectHandler):
    """The hub redirects large files to other hosts, which must not see the token."""

    def redirect_request(self, request, response, code, message, headers, url):
        following = super().redirect_request(request, response, code, message, headers, url)
        old, new = urllib.parse.urlsplit(request.full_url), urllib.parse.urlsplit(url)
        if following is not None and (old.scheme, old.netloc) != (new.scheme, new.netloc):
            following.remove_header("Authorization")
        if old.scheme == "https" and new.scheme != "https":
            raise Failure(f"{old.netloc} redirects to {url}, which is not encrypted")
        return following


class Hub:
    """A repository of the hub: a model, or one of the `datasets`; of its files those in `folder`."""

    def __init__(self, endpoint, given, kind="models", folder=""):
        self.endpoint, self.repo, self.revision = endpoint.rstrip("/"), given.repo_id, given.revision
        self.kind, self.folder = kind, folder
        self.timeout, self.first_pause = given.timeout, given.pause
        token = given.hf_token
        parts = urllib.parse.urlsplit(self.endpoint)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise Failure(f"HF_ENDPOINT is {endpoint!r}, which is no http(s) address")
        if token and parts.scheme == "http" and parts.hostname not in ("localhost", "127.0.0.1", "::1"):
            raise Failure(f"the token would go unencrypted to {self.endpoint}: give an https HF_ENDPOINT")
        if token and not re.fullmatch(r"[!-~]+", token):
            raise Failure("the token has characters that no token has")
        self.headers = {"User-Agent": "titan_train", "Accept-Encoding": "identity"}
        if token:
            self.headers["Authorization"] = f"Bearer {token}"
        self.opener = urllib.request.build_opener(Redirects)
        self.answered = False

    def open(self, url, **headers):
        """Raises Failure for what no second attempt changes, Interrupted for the rest."""
        try:
            response = self.opener.open(urllib.request.Request(url, headers={**self.headers, **headers}), timeout=self.timeout)
            self.answered = True
            return response
        except urllib.error.HTTPError as error:
            self.answered = True
            with error:
                raise self.refusal(error, url) from error
        except (http.client.HTTPException, OSError) as error:
            reason = getattr(error, "reason", error)
            if not self.answered and isinstance(reason, (ConnectionRefusedError, socket.gaierror, ssl.SSLCertVerificationError)):
                raise Failure(f"cannot reach {self.endpoint}: {reason}. Is there a network? HF_ENDPOINT names another hub") from error
            raise Interrupted(f"{type(reason).__name__}: {reason}") from error

    def refusal(self, error, url):
        what = error.headers.get("X-Error-Code", "")
        if error.code == 429 or error.code >= 500:
            pause = error.headers.get("Retry-After", "")
            return Interrupted(f"the hub answers {error.code} {error.reason}", int(pause) if pause.isdecimal() else None)
        if error.code == 404:
            name = urllib.parse.unquote(urllib.parse.urlsplit(url).path)
            missing = f"repository {self.repo}" if f"/api/{self.kind}/" in name else name.partition("/resolve/")[2]
            return Failure(f"404: {self.endpoint} has no {missing} (revision {self.revision})")
        if error.code in (401, 403):
            if what == "RepoNotFound":
                return Failure(f"{error.code}: {self.endpoint} has no repository {self.repo}, or it is private: "
                               "then give a token that may read it (--hf_token or HF_TOKEN)")
            return Failure(f"{error.code}: {self.repo} is gated or private: accept its licence at {self.endpoint}/{self.repo}, "
                           "then give a token of that account (--hf_token or HF_TOKEN)")
        if error.code == 416:
            return RangeRefused("the hub answers 416")
        return Failure(f"{error.code} {error.reason}: {url}")

    def listing(self):
        """All files of the repository."""
        url = f"{self.endpoint}/api/{self.kind}/{self.repo}/tree/{urllib.parse.quote(self.revision, safe='')}{self.folder}?recursive=true"
        files = []
        while url:
            data, links = self.persist(lambda url=url: self.read(url))
            try:
                files += [remote_file(entry) for entry in json.loads(data) if entry["type"] == "file"]
            except (ValueError, KeyError, TypeError, RecursionError) as error:
                raise Failure(f"{url} does not answer as the hub does: {error!r}") from error
            following = re.search(r'<([^<>]*)>;\s*rel="next"', links)
            following = following and urllib.parse.urljoin(url, following[1])
            if following and (not following.startswith(self.endpoint + "/") or len(files) > 1_000_000):
                raise Failure(f"{url} continues at {following}, which is not the hub")
            url = following
        return files

    def persist(self, attempt, has_progressed=lambda: False):
        """Calls `attempt` until it succeeds, pausing longer and longer; progress starts the count anew."""
        failures = 0
        while True:
            try:
                return attempt()
            except Interrupted as interruption:
                failures = 1 if has_progressed() else failures + 1
                if failures == ATTEMPTS:
                    raise Failure(f"given up after {ATTEMPTS} attempts: {interruption}") from interruption
                pause = self.first_pause * 2 ** (failures - 1) if interruption.pause is None else interruption.pause
                pause = min(LONGEST_PAUSE, pause)
                print(f"{interruption}; again in {pause:g} s", file=sys.stderr)
                time.sleep(pause)

    def read(self, url):
        with self.open(url) as response:
            try:
                data = response.read(LARGEST_LISTING + 1)
            except (http.client.HTTPException, OSError) as error:
                raise Interrupted(repr(error)) from error
            if len(data) > LARGEST_LISTING:
                raise Failure(f"{url} answers with more than {LARGEST_LISTING >> 20} MiB")
            return data, response.headers.get("Link", "")

    def file_url(self, file):
        kind = "" if self.kind == "models" else self.kind + "/"
        return f"{self.endpoint}/{kind}{self.repo}/resolve/{urllib.parse.quote(self.revision, safe='')}/{urllib.parse.quote(file.path)}"


def remote_file(entry):
    lfs = entry.get("lfs")
    digest, size = (lfs["oid"].removeprefix("sha256:"), lfs["size"]) if lfs else (entry["oid"], entry["size"])
    if not isinstance(size, int) or size < 0 or not re.fullmatch("[0-9a-f]{64}" if lfs else "[0-9a-f]{40}", digest):
        raise ValueError(f"size or hash of {entry['path']!r}")
    return RemoteFile(entry["path"], size, digest, bool(lfs))


def place(folder, path):
    """Where a file of the listing goes. The listing is not trusted with that."""
    parts = path.split("/") if isinstance(path, str) else []
    is_plain = parts and all(part not in ("", ".", "..") and re.fullmatch(r"[^\\\x00-\x1f\x7f]+", part) for part in parts)
    if not is_plain or not (folder / path).resolve().is_relative_to(folder.resolve()):
        raise Failure(f"the hub lists a file named {path!r}, which would not go into {folder}: nothing was downloaded")
    return folder / path


def matches(path, patterns):
    """Whether the last part of the path is one of the patterns, in which only * and ? are special."""
    name = path.rpartition("/")[2].lower()
    return any(fnmatch.fnmatchcase(name, pattern.lower().replace("[", "[[]")) for pattern in patterns)


def chosen(files, given):
    if given.all:
        return files
    patterns = list(given.additional_patterns)
    for asset in given.assets:
        patterns += ASSETS[asset]
        if not any(matches(file.path, ASSETS[asset]) for file in files):
            print(f"warning: {given.repo_id} has no file of the kind {asset}", file=sys.stderr)
    return [file for file in files if matches(file.path, patterns)]


class Progress:
    """One line on a terminal, rewritten; nothing elsewhere."""

    def __init__(self, file):
        self.file, self.begin, self.shown = file, time.monotonic(), 0.0

    def show(self, size, last=False):
        now = time.monotonic()
        if not sys.stderr.isatty() or (now - self.shown < 0.1 and not last):
            return
        self.shown = now
        share = 100 * size // max(1, self.file.size)
        sys.stderr.write(f"\r\033[K{self.file.path}: {share}% of {readable(self.file.size)}" + ("\r\033[K" if last else ""))
        sys.stderr.flush()


class Download:
    """One file on its way through its .part file, whose name holds the hash so that no other version is gone on from."""

    def __init__(self, hub, file, path):
        self.hub, self.file, self.path = hub, file, path
        self.part = path.with_name(f".{path.name[:200]}.{file.digest[:12]}.part")
        self.hasher = file.hasher()
        self.size = 0  # of the part
        self.size_before = 0  # at the last interruption

    def run(self):
        self.part.parent.mkdir(parents=True, exist_ok=True)
        with open(self.part, "a+b") as stream:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise Failure(f"another download writes {self.part}") from error
            self.go_on_from(stream)
            progress = Progress(self.file)
            while self.size < self.file.size:
                self.hub.persist(lambda: self.receive(stream, progress), self.has_progressed)
            progress.show(self.size, last=True)
            stream.flush()
            os.fsync(stream.fileno())
            if self.hasher.hexdigest() != self.file.digest:
                self.part.unlink()
                raise Failure(f"{self.file.path} has the hash {self.hasher.hexdigest()}, and should have {self.file.digest}: "
                              "it was discarded. Try again")
            os.replace(self.part, self.path)

    def has_progressed(self):
        progressed, self.size_before = self.size > self.size_before, self.size
        return progressed

    def go_on_from(self, stream):
        stream.seek(0)
        while piece := stream.read(PIECE):
            self.hasher.update(piece)
            self.size += len(piece)
        if self.size > self.file.size:
            self.begin_anew(stream)
        self.size_before = self.size

    def begin_anew(self, stream):
        stream.truncate(0)
        self.hasher = self.file.hasher()
        self.size = self.size_before = 0

    def receive(self, stream, progress):
        """Appends what one response brings."""
        with self.response(stream) as response:
            while piece := self.piece_of(response):
                if self.size + len(piece) > self.file.size:
                    self.begin_anew(stream)
                    raise Failure(f"{self.file.path} is longer than the {self.file.size} bytes that the hub lists")
                stream.write(piece)
                self.hasher.update(piece)
                self.size += len(piece)
                progress.show(self.size)
        if self.size < self.file.size:
            raise Interrupted(f"{self.file.path}: the connection ended at byte {self.size} of {self.file.size}")

    def response(self, stream):
        """The file from where the part ends; from its start if the hub sends nothing else, and then the part is emptied."""
        headers = {"Range": f"bytes={self.size}-"} if self.size else {}
        try:
            response = self.hub.open(self.hub.file_url(self.file), **headers)
        except RangeRefused:
            self.begin_anew(stream)
            raise
        if self.size and response.status != 206:
            self.begin_anew(stream)
        elif self.size and not response.headers.get("Content-Range", "").startswith(f"bytes {self.size}-"):
            response.close()
            raise Failure(f"{self.file.path}: asked to go on at byte {self.size}, "
                          f"the hub sends the range {response.headers.get('Content-Range')}")
        return response

    def piece_of(self, response):
        try:
            return response.read1(PIECE)
        except (http.client.HTTPException, OSError) as error:
            raise Interrupted(f"{self.file.path}: {error!r}") from error


def is_there(file, path):
    if not path.is_file() or path.stat().st_size != file.size:
        return False
    hasher = file.hasher()
    with open(path, "rb") as stream:
        while piece := stream.read(PIECE):
            hasher.update(piece)
    return hasher.hexdigest() == file.digest


def readable(size):
    unit = max(unit for unit in (0, 1, 2, 3) if size >= 1000**unit or unit == 0)
    return f"{size / 1000**unit:.4g} {('bytes', 'KB', 'MB', 'GB')[unit]}"


def check_space(folder, wanted):
    existing = next(parent for parent in [folder, *folder.resolve().parents] if parent.exists())
    needed, free = sum(file.size for file, _ in wanted), shutil.disk_usage(existing).free
    if needed > free:
        raise Failure(f"{folder} has {readable(free)} free, and {readable(needed)} are to be downloaded")


def download(hub, files, folder):
    places = [(file, place(folder, file.path)) for file in files]
    begin = time.monotonic()
    missing = [(file, path) for file, path in places if not is_there(file, path)]
    check_space(folder, missing)
    for file, path in missing:
        Download(hub, file, path).run()
        print(f"{path}: {readable(file.size)}")
    fetched = sum(file.size for file, _ in missing)
    print(f"{folder}: {len(missing)} files, {readable(fetched)} downloaded in {time.monotonic() - begin:.1f} s, "
          f"{len(places) - len(missing)} there already; all checked")


def add_arguments(parser):
    """Those of every download."""
    parser.add_argument("--hf_token", default=os.environ.get("HF_TOKEN"),
                        help="for private and gated repositories (default: HF_TOKEN)")
    parser.add_argument("--revision", default="main", help="branch, tag or commit (default: %(default)s)")
    parser.add_argument("--timeout", type=float, default=30, help="seconds to wait for an answer (default: %(default)s)")
    parser.add_argument("--pause", type=float, default=0.5,
                        help="seconds before a second attempt, doubled after each (default: %(default)s)")


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repo_id", required=True, help="the repository, as ORGANISATION/NAME")
    parser.add_argument("--local_dir", type=os.path.expanduser, default="assets/hf/",
                        help="where the folder NAME goes (default: %(default)s)")
    parser.add_argument("--assets", nargs="+", default=[], choices=ASSETS, help="kinds of files")
    parser.add_argument("--additional_patterns", nargs="+", default=[], help="further files, by name, * and ?")
    parser.add_argument("--all", action="store_true", help="every file of the repository")
    add_arguments(parser)
    given = parser.parse_args()
    if not (given.all or given.assets or given.additional_patterns):
        parser.error("at least one of --all, --assets and --additional_patterns is needed")
    if not re.fullmatch(r"\w[\w.-]*/\w[\w.-]*", given.repo_id, re.ASCII):
        parser.error(f"Invalid repo_id format: {given.repo_id!r}; it is ORGANISATION/NAME")
    return given


def download_assets(endpoint, given):
    hub = Hub(endpoint, given)
    listing = hub.listing()
    files = chosen(listing, given)
    if not files:
        raise Failure(f"{given.repo_id} has no file of those asked for, but: {', '.join(file.path for file in listing[:50])}")
    download(hub, files, Path(given.local_dir) / given.repo_id.partition("/")[2])


def run(name, action, given):
    """Calls `action(endpoint, given)`; the script `name` ends with one line that says what failed."""
    try:
        action(os.environ.get("HF_ENDPOINT") or PUBLIC_HUB, given)
    except Failure as failure:
        sys.exit(f"{name}: {failure}")
    except OSError as error:
        hint = ". What came so far is kept: free some space and try again" if error.errno in (errno.ENOSPC, errno.EDQUOT) else ""
        sys.exit(f"{name}: {error.filename or given.local_dir}: {error.strerror or error}{hint}")
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    run("download_hf_assets", download_assets, arguments())
