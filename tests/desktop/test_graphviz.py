"""What we write as DOT, as the real Graphviz reads it."""

from __future__ import annotations

import html
import json
import subprocess

from litequeue.drawing import dot
from litequeue.flow import Drawing, DrawnGroup, Edge, Node
from tests.unit.test_drawing import SPECIAL, read_dot


def test_graphviz_reads_what_was_meant() -> None:
    nodes = tuple(
        Node(f"{at} {text}", f"a.{text}", "PENDING", "ready") for at, text in enumerate(SPECIAL)
    )
    names = tuple(node.id for node in nodes)
    drawn = Drawing(
        nodes,
        tuple(Edge(names[0], name) for name in names[1:]),
        (DrawnGroup('"}&amp;\\', 9, 1, 1, "ignore", names[0], names[5:], 3),),
    )  # fmt: skip
    command = ["dot", "-Tjson0"]
    done = subprocess.run(command, input=dot(drawn), capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    objects = json.loads(done.stdout)["objects"]
    labels = {each["name"]: html.unescape(each["label"]) for each in objects}
    for name, lines in read_dot(dot(drawn)).boxes.items():
        assert labels[name] == "\\n".join(line.replace("\\", "\\\\") for line in lines)
