"""Pictures of workflows: what is drawn, and that no name or id can be anything but a label."""

from __future__ import annotations

import re
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as some

from litequeue.drawing import LONGEST, dot, mermaid
from litequeue.flow import ERROR, KINDS, NEXT, POLICIES, SI, Drawing, DrawnGroup, Edge, Node

SPECIAL = (
    "end", '"', "`", "#", "#34;", "&lt;", "&amp;", "<b>", "%%", "%%{init: {}}%%", "style a:#b;",
    "direction LR", "a, direction TB", "subgraph", "-->", ";", "|", "]", ")", "}", "\\", "\\N",
    "\n", "\r\n", "\0", "\x1b[31m", "\u202e", "\u2028", "\ud800", "é", "日本", "😀", "---", "- a",
    "1. a", "1) a", "_a_", "**a**", "$$a$$", "@{shape: cyl}", ":::a", "fa:fa-car", "a.b.c", " ", "",
)  # fmt: skip


def node(
    id: str, state: str = "PENDING", phase: str | None = None, task: str = "tasks.run"
) -> Node:
    if phase is None:
        phase = {"PENDING": "waiting", "STARTED": "leased", "RECEIVED": "leased"}.get(state, "done")
    return Node(id, task, state, phase)


def group(name: str, members: str, target: str | None = None, **more: object) -> DrawnGroup:
    ids = tuple(members.split())
    values = {
        "size": len(ids), "ended": 0, "failed": 0, "policy": "fail", "target": target,
        "members": ids, "more": 0,
    }  # fmt: skip
    return DrawnGroup(name, **(values | more))  # type: ignore[arg-type]  # by name


def drawing(jobs: str, edges: str = "", *groups: DrawnGroup, **more: bool) -> Drawing:
    """Make one of ids: "a b", and "a>b a!c b.c" for results, errbacks and their own arguments."""
    kinds = {">": NEXT, "!": ERROR, ".": SI}
    pairs = [re.fullmatch(r"(\w+)([>!.])(\w+)", pair) for pair in edges.split()]
    found = tuple(Edge(pair[1], pair[3], kinds[pair[2]]) for pair in pairs if pair)
    return Drawing(tuple(node(id) for id in jobs.split()), found, groups, **more)


# Reading them again, by grammars that know nothing but what we write.


@dataclass
class Read:
    """What is in a picture: the lines of boxes, their looks, titles of frames, who is in which."""

    boxes: dict[str, list[str]]
    looks: dict[str, str]
    titles: dict[str, str]
    inside: dict[str, str | None]
    arrows: list[tuple[str, str, str]]

    def by_label(self) -> tuple[set[tuple[str, str | None]], set[tuple[str, str, str]]]:
        """Return boxes and frames with what they are in, and arrows; by ids and titles."""
        names = {name: lines[min(1, len(lines) - 1)] for name, lines in self.boxes.items()}
        names |= {name: title.split(",")[0] for name, title in self.titles.items()}
        found = {(names[name], frame and names[frame]) for name, frame in self.inside.items()}
        arrows = {(names[source], kind, names[target]) for source, kind, target in self.arrows}
        return found, arrows


_WORDS = r'"((?:[^\W_]|\#\d+;|<br/>|(?<=[^\W_])(?:[,._-]|,?[ ])(?=[^\W_]))*)"'
_MERMAID = re.compile(
    rf"""\ *(?:(?P<box>j\d+|mg\d+|more)\({_WORDS}\):::(?P<look>[a-z]+)
    |subgraph\ (?P<frame>g\d+)\[{_WORDS}\] |(?P<within>direction\ LR) |(?P<end>end)
    |(?P<source>[jg]\d+)\ (?P<kind>-->|-\.\ fails\ \.->)\ (?P<target>[jg]\d+)
    |class\ g\d+(?:,g\d+)*\ frame |classDef\ (?P<name>[a-z]+)\ [a-z:\#0-9, -]+)""",
    re.VERBOSE,
)


def read_mermaid(text: str) -> Read:
    read, open_frames, defined = Read({}, {}, {}, {}, []), [], set[str]()
    first, *lines = text.split("\n")
    assert first == "flowchart LR"
    for line in lines:
        assert not re.search(r"direction\s+(TB|BT|RL)", line)
        found = _MERMAID.fullmatch(line)
        assert found, line
        name = found["box"] or found["frame"]
        if name:
            assert name not in read.inside
            read.inside[name] = open_frames[-1] if open_frames else None
        if found["box"]:
            read.boxes[name], read.looks[name] = _from_mermaid(found[2]).split("\n"), found["look"]
        elif found["frame"]:
            read.titles[name] = _from_mermaid(found[5])
            open_frames.append(name)
        elif found["end"]:
            open_frames.pop()
        elif found["source"]:
            kind = "!" if "fails" in found["kind"] else ">"
            read.arrows.append((found["source"], kind, found["target"]))
        elif found["name"]:
            defined.add(found["name"])
    assert open_frames == []
    assert {*read.looks.values()} == defined - {"frame"}
    return read


def _from_mermaid(words: str) -> str:
    assert not re.search(r"direction\s+LR", words)
    lines = words.replace("<br/>", "\n")
    return re.sub(r"#(\d+);", lambda number: chr(int(number[1])), lines)


_QUOTED = r'"((?:[^"\\\n]|\\[\\"n])*)"'
_DOT = re.compile(
    rf"""\ +(?:(?P<box>j\d+|mgs?\d+|more)\ \[label={_QUOTED},\ tooltip={_QUOTED},
        \ style="rounded,filled(?P<dashed>,dashed)?",\ fillcolor="(?P<look>\#[0-9a-f]{{6}})",
        \ color="\#[0-9a-f]{{6}}",\ fontcolor="\#[0-9a-f]{{6}}"\]
    |subgraph\ cluster_(?P<frame>g\d+)\ {{
    |graph\ \[label={_QUOTED},\ style=rounded,\ color="\#[0-9a-f]{{6}}"\] |(?P<end>}})
    |(?P<source>j\d+|mg\d+)\ ->\ (?P<target>j\d+|mg\d+)(?:\ \[(?P<more>[a-z0-9_="\ ,]+)\])?)""",
    re.VERBOSE,
)
_HEAD = re.compile(r' +(graph|node|edge) \[[a-zA-Z0-9=," #-]+\]')


def read_dot(text: str) -> Read:
    read, open_frames = Read({}, {}, {}, {}, []), []
    first, *lines, last = text.split("\n")
    assert (first, last) == ("digraph workflow {", "}")
    assert all(_HEAD.fullmatch(line) for line in lines[:3])
    for line in lines[3:]:
        found = _DOT.fullmatch(line)
        assert found, line
        name = found["box"] or found["frame"]
        if name:
            assert name not in read.inside
            read.inside[name] = open_frames[-1] if open_frames else None
        if found["box"]:
            read.boxes[name], read.looks[name] = _from_dot(found[2]), found["look"]
        elif found["frame"]:
            open_frames.append(name)
        elif found["end"]:
            open_frames.pop()
        elif found["source"]:
            options = dict(re.findall(r'(\w+)="?(\w+)', found["more"] or ""))
            ends = [
                options.get(cut, f"cluster_{found[end]}").removeprefix("cluster_")
                for cut, end in (("ltail", "source"), ("lhead", "target"))
            ]
            read.arrows.append((ends[0], "!" if "style" in options else ">", ends[1]))
        else:
            read.titles[open_frames[-1]] = _from_dot(found[7])[0]
    assert open_frames == []
    return read


def _from_dot(words: str) -> list[str]:
    lines = re.sub(r"\\(.)", lambda found: "\0" if found[1] == "n" else found[1], words).split("\0")
    assert all("&" not in line.replace("&amp;", "") for line in lines)
    return [line.replace("&amp;", "&") for line in lines]


def printable(text: str) -> str:
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


@given(some.data())
def test_hostile_names_are_labels_and_nothing_else(data: some.DataObject) -> None:
    word = some.one_of(some.sampled_from(SPECIAL), some.text(max_size=8))
    text = some.lists(word, max_size=4).map("".join)
    ids = data.draw(some.lists(text, min_size=1, max_size=5, unique=True))
    nodes = [
        Node(id, data.draw(text), data.draw(text), data.draw(some.sampled_from(["done", "leased"])))
        for id in ids
    ]
    any_id = some.sampled_from([*ids, "gone"])
    edge = some.builds(Edge, any_id, any_id, some.sampled_from(KINDS))
    rest = [*ids]
    groups = []
    for name in data.draw(some.lists(text, max_size=2, unique=True)):
        members = tuple(rest.pop() for _ in range(data.draw(some.integers(0, len(rest)))))
        groups.append(
            DrawnGroup(
                name,
                data.draw(some.one_of(some.none(), some.integers(0, 10**7))),
                ended=1,
                failed=data.draw(some.integers(0, 1)),
                members=members,
                policy=data.draw(some.sampled_from(POLICIES)),
                target=data.draw(some.one_of(some.none(), any_id)),
                more=data.draw(some.sampled_from([0, 997])),
            )
        )
    drawn = Drawing(tuple(nodes), tuple(data.draw(some.lists(edge, max_size=6))), tuple(groups))
    pictures = [read_mermaid(mermaid(drawn)), read_dot(dot(drawn))]
    assert pictures[0].by_label() == pictures[1].by_label()
    for picture in pictures:
        boxes = [picture.boxes[f"j{at}"] for at in range(len(nodes))]
        assert [box[1] for box in boxes] == [printable(cut(id)) for id in ids]
        assert [box[2] for box in boxes] == [printable(cut(node.state)) for node in nodes]
        for box, job in zip(boxes, nodes, strict=True):
            assert box[0] == printable(cut(job.task.rpartition(".")[2] or job.task))
        for at, each in enumerate(groups):
            assert picture.titles[f"g{at}"].startswith(f"group {printable(cut(each.name))}, 1")
            assert any(frame == f"g{at}" for frame in picture.inside.values())


def cut(text: str) -> str:
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


# What is drawn


def test_a_chord_as_people_see_it() -> None:
    """Fetched, three of a thousand shown, collected; one errback for all."""
    uuid = "019a0000-0000-7000-8000-00000000000"
    states = ("SUCCESS", "FAILURE", "STARTED")
    members = [node(f"{uuid}{at}", state, task="shop.render") for at, state in enumerate(states)]
    jobs = [node("start", "SUCCESS", task="shop.fetch"), *members, node("sum"), node("alert")]
    edges = [Edge("start", each.id) for each in members]
    edges += [Edge(each.id, "alert", ERROR) for each in (*members, jobs[4])]
    ids = " ".join(each.id for each in members)
    whole = group("all", ids, "sum", size=1000, ended=2, failed=1, more=997)
    drawn = Drawing(tuple(jobs), tuple(edges), (whole,))
    assert (
        mermaid(drawn)
        == """\
flowchart LR
    subgraph g0["group all, 2 of 1,000 ended, 1 failed"]
        direction LR
        j1("render<br/>00000000<br/>SUCCESS"):::success
        j2("render<br/>00000001<br/>FAILURE"):::failure
        j3("render<br/>00000002<br/>STARTED"):::running
        mg0("997 more"):::hidden
    end
    j0("fetch<br/>start<br/>SUCCESS"):::success
    j4("run<br/>sum<br/>waiting"):::waiting
    j5("run<br/>alert<br/>waiting"):::waiting
    j0 --> g0
    g0 -. fails .-> j5
    j4 -. fails .-> j5
    g0 --> j4
    class g0 frame
    classDef frame fill:none,stroke:#868e96
    classDef failure fill:#ffe3e3,stroke:#e03131,color:#6e1212
    classDef hidden fill:#ffffff,stroke:#adb5bd,color:#868e96,stroke-dasharray:4 3
    classDef running fill:#d0ebff,stroke:#1971c2,color:#0b3d66
    classDef success fill:#d3f9d8,stroke:#2f9e44,color:#14451f
    classDef waiting fill:#ffffff,stroke:#868e96,color:#495057,stroke-dasharray:4 3"""
    )
    assert read_dot(dot(drawn)).by_label() == read_mermaid(mermaid(drawn)).by_label()
    assert 'j2 -> j5 [style=dotted, label="fails", ltail=cluster_g0]' in dot(drawn)
    assert f'tooltip="shop.render {uuid}1"' in dot(drawn)


@pytest.mark.parametrize(
    ("state", "phase", "look", "said"),
    [
        ("PENDING", "waiting", "waiting", "waiting"),
        ("PENDING", "scheduled", "ready", "scheduled"),
        ("PENDING", "ready", "ready", "ready"),
        ("PENDING", "parked", "ready", "parked"),
        ("RETRY", "scheduled", "retry", "RETRY"),
        ("RECEIVED", "leased", "running", "RECEIVED"),
        ("PROGRESS", "leased", "running", "PROGRESS"),
        ("SUCCESS", "done", "success", "SUCCESS"),
        ("FAILURE", "done", "failure", "FAILURE"),
        ("REVOKED", "done", "revoked", "REVOKED"),
        ("REJECTED", "done", "revoked", "REJECTED"),
        ("IGNORED", "done", "ignored", "IGNORED"),
        ("MINE", "done", "ignored", "MINE"),
    ],
)
def test_a_job_is_coloured_by_its_state(state: str, phase: str, look: str, said: str) -> None:
    read = read_mermaid(mermaid(Drawing((Node("a", "t", state, phase),), (), ())))
    assert (read.looks["j0"], read.boxes["j0"]) == (look, ["t", "a", said])
    colour = re.search(rf"classDef {look} fill:(#\w+)", mermaid(drawing("a")))
    drawn = read_dot(dot(Drawing((Node("a", "t", state, phase),), (), ())))
    if colour:
        assert drawn.looks["j0"] == colour[1]


@pytest.mark.parametrize(
    ("more", "title"),
    [
        ({}, "group g, 0 of 2 ended"),
        ({"ended": 2, "failed": 1}, "group g, 2 of 2 ended, 1 failed"),
        ({"size": None}, "group g, 0 ended, incomplete"),
        ({"size": 1_000_000, "ended": 1234}, "group g, 1,234 of 1,000,000 ended"),
        ({"policy": "placeholders"}, "group g, 0 of 2 ended, null for who fails"),
        ({"policy": "ignore"}, "group g, 0 of 2 ended, without who fails"),
    ],
)
def test_a_group_says_how_far_it_is(more: dict[str, object], title: str) -> None:
    drawn = drawing("a b", "", group("g", "a b", **more))
    for read in (read_mermaid(mermaid(drawn)), read_dot(dot(drawn))):
        assert read.titles == {"g0": title}
        assert read.by_label() == ({("a", "group g"), ("b", "group g"), ("group g", None)}, set())


def shown(drawn: Drawing) -> tuple[set[tuple[str, str | None]], set[tuple[str, str, str]]]:
    found = read_mermaid(mermaid(drawn)).by_label()
    assert read_dot(dot(drawn)).by_label() == found
    return found


def test_a_group_without_members_is_there() -> None:
    boxes, arrows = shown(drawing("a", "", group("g", "", "a", size=0)))
    assert boxes == {("no members", "group g"), ("group g", None), ("a", None)}
    assert arrows == {("group g", ">", "a")}


def test_what_is_too_large_says_so() -> None:
    assert "too large" in mermaid(drawing("a", is_all=False))
    assert "too large" in dot(drawing("a", is_all=False))
    assert "too large" not in mermaid(drawing("a"))


def test_a_member_that_is_a_workflow_is_drawn_within_its_group() -> None:
    drawn = drawing(
        "s x a b c d e end", "s>x s>d x>a x>b d>e s.end",
        group("outer", "c e", "end"), group("inner", "a b", "c"),
    )  # fmt: skip
    boxes, arrows = shown(drawn)
    assert boxes == {
        ("s", None), ("x", "group outer"), ("a", "group inner"), ("b", "group inner"),
        ("c", "group outer"), ("d", "group outer"), ("e", "group outer"), ("end", None),
        ("group outer", None), ("group inner", "group outer"),
    }  # fmt: skip
    assert arrows == {
        ("s", ">", "group outer"), ("x", ">", "group inner"), ("group inner", ">", "c"),
        ("d", ">", "e"), ("group outer", ">", "end"), ("s", ">", "end"),
    }  # fmt: skip


def test_an_arrow_to_some_of_a_group_goes_to_those() -> None:
    _, arrows = shown(drawing("s a b c", "s>a s>b a!c", group("g", "a b c")))
    assert arrows == {("s", ">", "a"), ("s", ">", "b"), ("a", "!", "c")}
    _, arrows = shown(drawing("s a", "s>a", group("g", "a")))
    assert arrows == {("s", ">", "a")}


def test_what_no_workflow_is_can_be_drawn() -> None:
    """Anybody may write to the file."""
    around = drawing("a b c", "a>b b>a a>a c>a a>gone", group("g", "a b gone", "a"))
    boxes, arrows = shown(around)
    assert ("a", "group g") in boxes
    assert arrows == {("a", ">", "b"), ("b", ">", "a"), ("c", ">", "a")}
    boxes, arrows = shown(drawing("a b c", "a!c b!c c>a", group("g", "a b")))
    assert ("c", "group g") in boxes
    assert arrows == {("a", "!", "c"), ("b", "!", "c"), ("c", ">", "a")}


def test_depth_has_no_end() -> None:
    count = 1200
    jobs = " ".join(f"j{at}" for at in range(count + 1))
    chain = " ".join(f"j{at}>j{at + 1}" for at in range(count))
    assert len(read_mermaid(mermaid(drawing(jobs, chain))).arrows) == count
    groups = [group(f"g{at}", f"j{at}", f"j{at + 1}") for at in range(count)]
    assert len(read_mermaid(mermaid(drawing(jobs, "", *groups))).titles) == count
