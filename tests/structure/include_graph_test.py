"""Who needs whom among the files: the graph of #includes, where a header and its source are one node, has no circle.

`include/titan/a/x.h`, `src/a/x.h` and `src/a/x.cpp` are the node `a/x`: whoever includes the header is linked to the source.
Prints every circle with the #includes that close it. Planted violations prove that the rules can fail.
"""

import re
import sys
import tempfile
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

INCLUDE = re.compile(r'^\s*#\s*include\s*"([^"]+)"')
SUFFIXES = (".h", ".cpp", ".cu", ".cuh")


class IncludeGraph:
    """The nodes of a source tree; of each, the nodes it includes and where it does."""

    def __init__(self, root):
        self.root = root
        self.edges = {}  # a node to the nodes it includes, each to "path:line" of the first #include
        self.files = [path.relative_to(root) for top in ("include/titan", "src")
                      for path in sorted((root / top).rglob("*")) if path.suffix in SUFFIXES]
        for path in self.files:
            self.read(path)

    def read(self, path):
        node = node_of(path)
        self.edges.setdefault(node, {})
        for number, line in enumerate((self.root / path).read_text(encoding="utf-8").splitlines(), 1):
            if match := INCLUDE.match(line):
                target = node_of(Path("include" if match[1].startswith("titan/") else "src") / match[1])
                if target != node:
                    self.edges[node].setdefault(target, f"{path}:{number}")

    def circles(self):
        """The sets of nodes that all reach each other: of an acyclic graph, none."""
        reachable = {node: self.reach(node) for node in self.edges}
        circles = {frozenset(b for b in reachable[a] if a in reachable.get(b, ())) for a in self.edges}
        return sorted((sorted(circle) for circle in circles if circle), key=str)

    def reach(self, node):
        """All nodes that `node` includes, directly or not; itself only when it lies on a circle."""
        found, ahead = set(), list(self.edges[node])
        while ahead:
            target = ahead.pop()
            if target not in found:
                found.add(target)
                ahead.extend(self.edges.get(target, ()))
        return found

    def describe(self, circle):
        """The #includes among the nodes of a circle, one a line."""
        lines = [f"{place}: {node} includes {target}" for node in circle
                 for target, place in self.edges[node].items() if target in circle]
        return "\n".join(["a circle of " + ", ".join(circle), *lines])

    def strays(self):
        """Doors whose source lies in another folder of the room, so that they would count as two nodes."""
        sources = {}
        for path in self.files:
            if path.parts[0] == "src" and path.suffix != ".h":
                sources.setdefault((path.parts[1], path.stem), []).append(path)
        for path in self.files:
            if path.parts[0] == "include":
                found = sources.get((path.parts[2], path.stem), [])
                if found and all(node_of(source) != node_of(path) for source in found):
                    yield f"{path}: its source is {found[0]}"


def node_of(path):
    """`base/errors` of a header or a source below include/titan or src."""
    return str(path.relative_to("include/titan" if path.parts[0] == "include" else "src").with_suffix(""))


class IncludeGraphTest(unittest.TestCase):
    def setUp(self):
        self.graph = IncludeGraph(ROOT)

    def test_there_is_no_circle(self):
        circles = [self.graph.describe(circle) for circle in self.graph.circles()]
        self.assertFalse(circles, "\n" + "\n".join(circles))

    def test_headers_mirror_sources(self):
        strays = list(self.graph.strays())
        self.assertFalse(strays, "\n" + "\n".join(strays))


class PlantedViolationsTest(unittest.TestCase):
    """Each rule is broken once in a tree of its own."""

    def graph(self, files):
        with tempfile.TemporaryDirectory() as folder:
            for name, includes in files.items():
                path = Path(folder) / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text("// first line\n" + "".join(f'#include "{name}"\n' for name in includes), encoding="utf-8")
            return IncludeGraph(Path(folder))

    def circles(self, files):
        return self.graph(files).circles()

    def test_headers_in_a_circle(self):
        self.assertEqual(self.circles({"src/a/x.h": ["a/y.h"], "src/a/y.h": ["a/x.h"]}), [["a/x", "a/y"]])

    def test_a_source_counts_for_its_header(self):
        files = {"src/a/x.h": [], "src/a/x.cpp": ["a/x.h", "a/y.h"], "src/a/y.h": ["a/x.h"]}
        self.assertEqual(self.circles(files), [["a/x", "a/y"]])

    def test_a_door_and_its_source_are_one(self):
        files = {"include/titan/a/b/x.h": [], "src/a/b/x.cpp": ["titan/a/b/x.h", "a/b/y.h"], "src/a/b/y.h": ["titan/a/b/x.h"]}
        self.assertEqual(self.circles(files), [["a/b/x", "a/b/y"]])

    def test_a_long_way_round(self):
        files = {"src/a/x.h": ["titan/b/y.h"], "include/titan/b/y.h": [], "src/b/y.cpp": ["b/z.h"], "src/b/z.h": ["a/x.h"]}
        self.assertEqual(self.circles(files), [["a/x", "b/y", "b/z"]])

    def test_two_circles(self):
        files = {f"src/{room}/{a}.h": [f"{room}/{b}.h"] for room in "ab" for a, b in ("xy", "yx")}
        self.assertEqual(self.circles(files), [["a/x", "a/y"], ["b/x", "b/y"]])

    def test_what_is_no_circle(self):
        files = {"src/a/x.h": [], "src/a/x.cpp": ["a/x.h", "a/y.h"], "src/a/y.h": ["a/z.h"], "src/a/z.h": [],
                 "src/a/main.cpp": ["a/x.h", "a/y.h", "titan/none.h"]}
        self.assertEqual(self.circles(files), [])

    def test_the_places_are_told(self):
        graph = self.graph({"src/a/x.h": ["a/y.h"], "src/a/y.h": ["a/x.h"]})
        self.assertIn("src/a/y.h:2: a/y includes a/x", graph.describe(["a/x", "a/y"]))

    def test_a_door_apart_from_its_source(self):
        files = {"include/titan/a/x.h": [], "src/a/b/x.cpp": [], "include/titan/a/y.h": [], "src/a/y.cpp": []}
        self.assertEqual(list(self.graph(files).strays()), ["include/titan/a/x.h: its source is src/a/b/x.cpp"])


if __name__ == "__main__":
    sys.exit(unittest.main())
