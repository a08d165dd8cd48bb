#!/usr/bin/env python3
"""Puts the traces of several ranks into one that Perfetto (ui.perfetto.dev) shows with one process per rank, in their order.

  scripts/merge_traces.py outputs/profile_trace/iteration_10            # writes merged_trace.json there
  scripts/merge_traces.py rank0_trace.json rank3_trace.json -o two.json.gz

Traces are read and written event by event, so that memory does not grow with them. Times stay those of each rank's clock: between machines they
are as good as NTP. Standard library only.
"""
import argparse
import gzip
import json
import os
import re
import sys

CHUNK = 1 << 20  # characters
# Arrows have ids of their own in each trace.
IDS_PER_RANK = 1 << 40
BETWEEN_EVENTS = re.compile(r"[\s:\[,]*")
OF_PROCESSES = ("process_name", "process_labels", "process_sort_index")


class Refused(Exception):
    pass


def opened(path, mode):
    return gzip.open(path, mode + "t") if path.endswith(".gz") else open(path, mode)


class Trace:
    """A file as Kineto writes it: some values, then `traceEvents`."""

    def __init__(self, path):
        self.path = path
        self.header = ""
        with opened(path, "r") as file:
            while '"traceEvents"' not in self.header:
                chunk = file.read(CHUNK)
                if not chunk or len(self.header) > 64 * CHUNK:
                    raise Refused(f"{path}: no trace: it has no traceEvents")
                self.header += chunk
        self.header = self.header[: self.header.index('"traceEvents"')]
        self.base_nanoseconds = int(self.value(r'"baseTimeNanoseconds":\s*(-?\d+)') or 0)
        rank = self.value(r'"distributedInfo":\s*\{[^}]*"rank":\s*(\d+)') or self.of_name(r"rank(\d+)_")
        if rank is None:
            raise Refused(f"{path}: does not say whose trace it is: no distributedInfo, and the name is not rankN_trace.json")
        self.rank = int(rank)

    def value(self, pattern):
        match = re.search(pattern, self.header)
        return match and match[1]

    def of_name(self, pattern):
        match = re.search(pattern, os.path.basename(self.path))
        return match and match[1]

    def events(self):
        decoder = json.JSONDecoder()
        with opened(self.path, "r") as file:
            skipped = len(self.header) + len('"traceEvents"')
            while skipped > 0:
                skipped -= len(file.read(min(skipped, CHUNK)))
            buffer, place = file.read(CHUNK), 0
            while True:
                place = BETWEEN_EVENTS.match(buffer, place).end()
                try:
                    if place == len(buffer):
                        raise ValueError("more is needed")
                    if buffer[place] == "]":
                        return
                    event, end = decoder.raw_decode(buffer, place)
                except ValueError:
                    more = file.read(CHUNK)
                    if not more:
                        raise Refused(f"{self.path}: ends within its events, or is no JSON") from None
                    buffer, place = buffer[place:] + more, 0
                    continue
                yield event
                place = end


class Lanes:
    """Threads of a rank, which all become threads of one process: also GPU streams, which Kineto shows as threads of another one."""

    def __init__(self):
        self.numbers = {}

    def of(self, pid, tid):
        """(number, whether it is new)"""
        is_new = (pid, tid) not in self.numbers
        if is_new:
            taken = set(self.numbers.values())
            number = tid if isinstance(tid, int) and tid not in taken else max((n for n in taken), default=0) + 1
            self.numbers[pid, tid] = number
        return self.numbers[pid, tid], is_new


def moved(trace, first_base):
    """The events of a rank as its process's, behind those that name it."""
    shift = (trace.base_nanoseconds - first_base) / 1000
    yield {"name": "process_name", "ph": "M", "pid": trace.rank, "tid": 0, "args": {"name": f"rank {trace.rank}"}}
    yield {"name": "process_sort_index", "ph": "M", "pid": trace.rank, "tid": 0, "args": {"sort_index": trace.rank}}
    lanes = Lanes()
    for event in trace.events():
        if event.get("ph") == "M" and event.get("name") in OF_PROCESSES:
            continue
        tid, is_new = lanes.of(event.get("pid"), event.get("tid"))
        if is_new and not isinstance(event.get("tid"), int):
            yield {"name": "thread_name", "ph": "M", "pid": trace.rank, "tid": tid, "args": {"name": str(event.get("tid"))}}
        event["pid"], event["tid"] = trace.rank, tid
        if "ts" in event and shift:
            event["ts"] += shift
        if isinstance(event.get("id"), int):
            event["id"] += trace.rank * IDS_PER_RANK
        yield event


def merge(traces, out):
    """Returns the number of events."""
    base = traces[0].base_nanoseconds
    out.write(f'{{"schemaVersion": 1, "displayTimeUnit": "ms", "baseTimeNanoseconds": {base}, "traceEvents": [')
    count = 0
    for trace in traces:
        for event in moved(trace, base):
            out.write((",\n" if count else "\n") + json.dumps(event))
            count += 1
    out.write("\n]}\n")
    return count


def found(paths):
    files = []
    for path in paths:
        if os.path.isdir(path):
            there = sorted(os.path.join(path, name) for name in os.listdir(path) if re.fullmatch(r"rank\d+_trace\.json(\.gz)?", name))
            if not there:
                raise Refused(f"{path}: has no rankN_trace.json")
            files += there
        else:
            files.append(path)
    traces = sorted((Trace(file) for file in files), key=lambda trace: trace.rank)
    for one, other in zip(traces, traces[1:]):
        if one.rank == other.rank:
            raise Refused(f"{one.path} and {other.path} are both of rank {one.rank}")
    return traces


def main():
    parser = argparse.ArgumentParser(prog="merge_traces.py", description="Merges the traces of several ranks into one.")
    parser.add_argument("traces", nargs="+", help="rankN_trace.json, or a folder of such")
    parser.add_argument("-o", "--output", help="merged_trace.json beside the first; with .gz it is compressed")
    options = parser.parse_args()
    traces = found(options.traces)
    output = options.output or os.path.join(os.path.dirname(traces[0].path), "merged_trace.json")
    unfinished = os.path.join(os.path.dirname(output), f".unfinished_{os.path.basename(output)}")
    try:
        with opened(unfinished, "w") as out:
            count = merge(traces, out)
        os.replace(unfinished, output)
    finally:
        if os.path.exists(unfinished):
            os.remove(unfinished)
    print(f"{output}: {count} events of {len(traces)} ranks")


if __name__ == "__main__":
    try:
        main()
    except (Refused, OSError) as error:
        sys.exit(f"merge_traces.py: {error}")
