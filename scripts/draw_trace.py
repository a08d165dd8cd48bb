#!/usr/bin/env python3
"""Draws the lanes of one training step of a trace as SVG: phases, compute, waits, and collectives behind them.

  draw_trace.py rank0_trace.json picture.svg

The trace is what profiling.enable_profiling writes. Standard library only.
"""
import json
import sys
from html import escape

LANES = ["phase", "compute", "waiting", "collectives"]
COLORS = {"forward": "#4c78a8", "backward": "#f58518", "optimizer": "#54a24b", "data": "#b279a2", "compute": "#9ecae9",
          "waiting": "#e45756", "send": "#72b7b2", "recv": "#eeca3b"}
WIDTH, LEFT, LANE = 1200, 110, 34


def events_of(path):
    with open(path) as file:
        events = [e for e in json.load(file)["traceEvents"] if e.get("ph") == "X"]
    phases = [e for e in events if e["name"] in ("data", "forward", "backward", "optimizer")]
    if not phases:
        sys.exit(f"{path}: no training step in this trace")
    return events, phases


def lanes_of(events, phases):
    """{lane: [(kind, start, end, name)]} in microseconds of the trace."""
    main = phases[0]["tid"]
    lanes = {lane: [] for lane in LANES}
    for e in events:
        span = (e["ts"], e["ts"] + e["dur"], e["name"])
        if e in phases:
            lanes["phase"].append((e["name"], *span))
        elif e["name"].startswith(("gloo:", "nccl:")):
            lanes["collectives"].append((e["name"].split(":")[1], *span))
        elif e["name"].startswith("wait "):
            lanes["waiting"].append(("waiting", *span))
        elif e["tid"] == main and e["name"].startswith("aten::"):
            lanes["compute"].append(("compute", *span))
    return lanes


def union_length(spans):
    total, end = 0.0, float("-inf")
    for a, b in sorted(spans):
        total += max(0.0, b - max(a, end))
        end = max(end, b)
    return total


def draw(lanes, begin, end):
    scale = (WIDTH - LEFT - 10) / (end - begin)
    height = LANE * len(LANES) + 70
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" font-size="13">',
           f'<rect width="{WIDTH}" height="{height}" fill="white"/>']
    for row, lane in enumerate(LANES):
        y = 10 + row * LANE
        out.append(f'<text x="8" y="{y + 18}">{lane}</text>')
        for kind, a, b, name in lanes[lane]:
            a, b = max(a, begin), min(b, end)
            if b <= a or (lane == "compute" and (b - a) * scale < 0.2):
                continue
            out.append(f'<rect x="{LEFT + (a - begin) * scale:.2f}" y="{y}" width="{max((b - a) * scale, 0.5):.2f}" height="{LANE - 8}" '
                       f'fill="{COLORS.get(kind, "#bab0ac")}"><title>{escape(name)} {(b - a) / 1000:.2f} ms</title></rect>')
    busy = union_length((a, b) for _, a, b, _ in lanes["collectives"])
    waited = union_length((a, b) for _, a, b, _ in lanes["waiting"])
    y = 10 + LANE * len(LANES) + 18
    out.append(f'<text x="{LEFT}" y="{y}">one step: {(end - begin) / 1000:.0f} ms; collectives under way {busy / 1000:.0f} ms, '
               f'waited for {waited / 1000:.0f} ms</text>')
    legend = ["forward", "backward", "optimizer", "compute", "waiting", "send", "recv"]
    for i, kind in enumerate(legend):
        x = LEFT + i * 130
        out.append(f'<rect x="{x}" y="{y + 14}" width="12" height="12" fill="{COLORS[kind]}"/>'
                   f'<text x="{x + 18}" y="{y + 24}">{kind}</text>')
    return "\n".join(out + ["</svg>"]) + "\n"


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    events, phases = events_of(sys.argv[1])
    begin = min(e["ts"] for e in phases)
    end = max(e["ts"] + e["dur"] for e in phases)
    with open(sys.argv[2], "w") as file:
        file.write(draw(lanes_of(events, phases), begin, end))


if __name__ == "__main__":
    main()
