"""Weights that a job has saved in Hugging Face's format."""
import array
import json
import os
import struct


def safetensors(folder):
    """The fp32 tensors of a folder by name."""
    result = {}
    for name in os.listdir(folder):
        if not name.endswith(".safetensors"):
            continue
        with open(os.path.join(folder, name), "rb") as file:
            header = json.loads(file.read(struct.unpack("<Q", file.read(8))[0]))
            start = file.tell()
            for tensor, entry in header.items():
                if tensor == "__metadata__":
                    continue
                assert entry["dtype"] == "F32", entry
                file.seek(start + entry["data_offsets"][0])
                result[tensor] = array.array("f")
                result[tensor].fromfile(file, (entry["data_offsets"][1] - entry["data_offsets"][0]) // 4)
    return result


def largest_difference(tensor, other):
    """Relative to the largest entry of `other`."""
    return max(abs(a - b) for a, b in zip(tensor, other)) / max(map(abs, other))
