#!/usr/bin/env python3
"""Downloads shards of C4's English part (allenai/c4, 1,024 of about 320 MB for training, 8 for validation) into LOCAL_DIR/en.

The first shards of each kind are taken, as many as asked for. Every file is checked against the size and hash that the hub lists;
what an interrupted call has got so far is gone on from, and shards already there are only checked.

  scripts/download_c4.py --train 4 --validation 1
  ./run_train.sh --training.dataset=c4 --training.dataset_path=assets/c4

HF_ENDPOINT names another hub.
"""

import argparse
import os
import re
from pathlib import Path

from download_hf_assets import Failure, Hub, add_arguments, download, run

SHARD = re.compile(r"en/c4-(train|validation)\.\d{5}-of-\d{5}\.json\.gz")


def download_shards(endpoint, given):
    hub = Hub(endpoint, given, kind="datasets", folder="/en")
    shards = {"train": [], "validation": []}
    for file in sorted(hub.listing(), key=lambda file: str(file.path)):
        if match := SHARD.fullmatch(str(file.path)):
            shards[match[1]].append(file)
    files = []
    for split, wanted in (("train", given.train), ("validation", given.validation)):
        if wanted > len(shards[split]):
            raise Failure(f"{given.repo_id} has {len(shards[split])} shards for {split}, and {wanted} are asked for")
        files += shards[split][:wanted]
    download(hub, files, Path(given.local_dir))


def count(text):
    if not re.fullmatch(r"\d{1,4}", text, re.ASCII):
        raise argparse.ArgumentTypeError(f"{text!r} is no number of shards")
    return int(text)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--train", type=count, default=1, metavar="N", help="shards for training (default: %(default)s)")
    parser.add_argument("--validation", type=count, default=1, metavar="N", help="shards for validation (default: %(default)s)")
    parser.add_argument("--local_dir", type=os.path.expanduser, default="assets/c4",
                        help="the folder to name as dataset_path (default: %(default)s)")
    parser.add_argument("--repo_id", default="allenai/c4", help="where the shards are (default: %(default)s)")
    add_arguments(parser)
    given = parser.parse_args()
    if not re.fullmatch(r"\w[\w.-]*/\w[\w.-]*", given.repo_id, re.ASCII):
        parser.error(f"Invalid repo_id format: {given.repo_id!r}; it is ORGANISATION/NAME")
    if given.train + given.validation == 0:
        parser.error("no shard is asked for")
    return given


if __name__ == "__main__":
    run("download_c4", download_shards, arguments())
