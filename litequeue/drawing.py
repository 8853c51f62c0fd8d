"""A workflow as a picture: Mermaid for Markdown pages, DOT for Graphviz.

Both draw the same: jobs as boxes, coloured by state, and groups as frames around them.  Names and
ids come from whoever may write to the file, so every text is escaped: whatever it holds, it is
shown, and never read as a part of the drawing.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

from litequeue import flow, states

if TYPE_CHECKING:
    from litequeue.flow import Drawing, DrawnGroup, Node

LONGEST: Final = 40
"""Characters of the longest line in a box."""
_UUID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class _Look:
    """The colours of a box, and whether its border is dashed."""

    fill: str
    border: str
    text: str
    dashed: bool = False


_LOOKS: Final[Mapping[str, _Look]] = {
    "waiting": _Look("#ffffff", "#868e96", "#495057", dashed=True),
    "ready": _Look("#f1f3f5", "#495057", "#212529"),
    "running": _Look("#d0ebff", "#1971c2", "#0b3d66"),
    "retry": _Look("#fff3bf", "#e67700", "#5c3c00"),
    "success": _Look("#d3f9d8", "#2f9e44", "#14451f"),
    "failure": _Look("#ffe3e3", "#e03131", "#6e1212"),
    "revoked": _Look("#f3d9fa", "#9c36b5", "#4a1458"),
    "ignored": _Look("#f8f9fa", "#adb5bd", "#868e96"),
    "hidden": _Look("#ffffff", "#adb5bd", "#868e96", dashed=True),
}
_OF_STATE: Final = {
    states.SUCCESS: "success", states.FAILURE: "failure", states.REVOKED: "revoked",
    states.REJECTED: "revoked", states.RETRY: "retry",
}  # fmt: skip
_FRAME: Final = "#868e96"


@dataclass(frozen=True, slots=True)
class _Box:
    """A job, or those of a group that are not shown; ``tip`` says in full what ``lines`` cut."""

    lines: tuple[str, ...]
    look: str
    tip: str


def mermaid(drawing: Drawing) -> str:
    """Return the text of a Mermaid flowchart; it has no newline at its end."""
    picture = _Picture(drawing)
    lines = ["flowchart LR"]
    for name, depth, is_end in picture.parts():
        indent = "    " * depth
        if name in picture.boxes:
            box = picture.boxes[name]
            words = "<br/>".join(map(_for_mermaid, box.lines))
            lines.append(f'{indent}{name}("{words}"):::{box.look}')
        elif is_end:
            lines.append(f"{indent}end")
        else:
            lines.append(f'{indent}subgraph {name}["{_for_mermaid(picture.titles[name])}"]')
            lines.append(f"{indent}    direction LR")
    for source, target, kind in picture.arrows:
        lines.append(f"    {source} {'-. fails .->' if kind == flow.ERROR else '-->'} {target}")
    if picture.titles:
        lines.append(f"    class {','.join(picture.titles)} frame")
        lines.append(f"    classDef frame fill:none,stroke:{_FRAME}")
    for name in sorted({box.look for box in picture.boxes.values()}):
        look = _LOOKS[name]
        dash = ",stroke-dasharray:4 3" if look.dashed else ""
        lines.append(
            f"    classDef {name} fill:{look.fill},stroke:{look.border},color:{look.text}{dash}"
        )
    return "\n".join(lines)


_DOT_HEAD: Final = """\
digraph workflow {
    graph [rankdir=LR, compound=true, fontname="sans-serif", fontsize=10]
    node [shape=box, fontname="sans-serif", fontsize=10]
    edge [fontname="sans-serif", fontsize=9, color="#495057", fontcolor="#495057"]"""


def dot(drawing: Drawing) -> str:
    """Return the text of a DOT digraph; it has no newline at its end."""
    picture = _Picture(drawing)
    lines = [_DOT_HEAD]
    for name, depth, is_end in picture.parts():
        indent = "    " * depth
        if name in picture.boxes:
            lines.append(f"{indent}{name} [{_dot_box(picture.boxes[name])}]")
        elif is_end:
            lines.append(f"{indent}}}")
        else:
            lines.append(f"{indent}subgraph cluster_{name} {{")
            title = _for_dot(picture.titles[name])
            lines.append(f'{indent}    graph [label="{title}", style=rounded, color="{_FRAME}"]')
    for source, target, kind in picture.arrows:
        # Graphviz has arrows between boxes only, and cuts them where a frame begins.
        tail, head = picture.last(source), picture.first(target)
        says = ["style=dotted", 'label="fails"'] if kind == flow.ERROR else []
        says += [f"ltail=cluster_{source}"] if tail != source else []
        says += [f"lhead=cluster_{target}"] if head != target else []
        lines.append(f"    {tail} -> {head}" + (f" [{', '.join(says)}]" if says else ""))
    return "\n".join([*lines, "}"])


def _dot_box(box: _Box) -> str:
    look = _LOOKS[box.look]
    style = "rounded,filled,dashed" if look.dashed else "rounded,filled"
    words = "\\n".join(map(_for_dot, box.lines))
    return (
        f'label="{words}", tooltip="{_for_dot(box.tip)}", style="{style}", '
        f'fillcolor="{look.fill}", color="{look.border}", fontcolor="{look.text}"'
    )


# What is drawn

_Arrow: TypeAlias = tuple[str, str, str]
"""From where to where, by the names of boxes and frames, and the kind of the edge."""


class _Picture:
    """A drawing under names of its own: boxes, the frames that they stand in, and arrows."""

    def __init__(self, drawing: Drawing) -> None:
        jobs = {node.id: f"j{at}" for at, node in enumerate(drawing.nodes)}
        groups = {f"g{at}": group for at, group in enumerate(drawing.groups)}
        edges = [
            (jobs[edge.source], jobs[edge.target], edge.kind)
            for edge in drawing.edges
            if edge.source in jobs and edge.target in jobs and edge.source != edge.target
        ]
        self.boxes: dict[str, _Box] = {jobs[node.id]: _job(node) for node in drawing.nodes}
        self.titles: dict[str, str] = {name: _title(group) for name, group in groups.items()}
        self._members = {
            name: [jobs[id] for id in group.members if id in jobs] for name, group in groups.items()
        }
        self._targets = {
            name: jobs[group.target] for name, group in groups.items() if group.target in jobs
        }
        self._frames: dict[str, str | None] = self._nested(edges)
        for name, group in groups.items():
            if group.more or not self._members[name]:
                words = f"{group.more:,} more" if group.more else "no members"
                self.boxes[f"m{name}"] = _Box((words,), "hidden", words)
                self._frames[f"m{name}"] = name
        if not drawing.is_all:
            self.boxes["more"] = _Box(("too large", "to show it all"), "hidden", "")
        self._within: dict[str, list[str]] = {name: [] for name in groups}
        for name in (*self.boxes, *groups):
            for frame in self._around(name):
                self._within[frame].append(name)
        self._jobs = {*jobs.values()}
        self._starts: dict[str, list[str]] = {}
        self.arrows: list[_Arrow] = [*dict.fromkeys(self._merged(edges))]

    def parts(self) -> Iterator[tuple[str, int, bool]]:
        """Yield boxes and frames as they stand in each other: (name, depth, is its end)."""
        inside: dict[str | None, list[str]] = defaultdict(list)
        for name in (*self.titles, *self.boxes):
            inside[self._frames.get(name)].append(name)
        rest = [(name, 1, False) for name in reversed(inside[None])]
        while rest:
            name, depth, is_end = rest.pop()
            yield name, depth, is_end
            if name in self.titles and not is_end:
                rest.append((name, depth, True))
                rest += [(each, depth + 1, False) for each in reversed(inside[name])]

    def first(self, name: str) -> str:
        """Return the box, or of a frame one of those that begin."""
        return name if name in self.boxes else self._middle(name, self._starts[name])

    def last(self, name: str) -> str:
        """Return the box, or of a frame one of those whose results it has."""
        return name if name in self.boxes else self._middle(name, self._members[name])

    def _middle(self, frame: str, some: Sequence[str]) -> str:
        boxes = some or [each for each in self._within[frame] if each in self.boxes]
        return boxes[len(boxes) // 2]

    def _around(self, name: str) -> Iterator[str]:
        """Yield the frames that something stands in, the innermost first."""
        frame = self._frames.get(name)
        while frame is not None:
            yield frame
            frame = self._frames.get(frame)

    def _nested(self, edges: Iterable[_Arrow]) -> dict[str, str | None]:
        """Return the frame of each box and frame: what leads to one member alone is with it."""
        from graphlib import CycleError, TopologicalSorter

        of = {job: frame for frame, jobs in self._members.items() for job in jobs}
        after: dict[str, set[str]] = {name: set() for name in self.boxes}
        for source, target, kind in edges:
            if kind != flow.ERROR:
                after[source].add(target)
        waits = {job: after[job] | {of[job]} if job in of else after[job] for job in after}
        waits |= {frame: {target} for frame, target in self._targets.items()}
        frames: dict[str, str | None] = {**dict.fromkeys(self.titles), **of}
        try:
            order = [*TopologicalSorter(waits).static_order()]
        except CycleError:  # no workflow is like that, but anybody may write to a file
            return frames
        for name in order:
            if name in self._targets:
                frames[name] = frames.get(self._targets[name])
            elif name not in of and (later := after.get(name)):
                # What begins several members stands before their frame.
                nearest = {frames.get(each) for each in later}
                frame = nearest.pop() if len(nearest) == 1 else None
                frames[name] = frames.get(frame) if frame and len(later) > 1 else frame
        return frames

    def _merged(self, arrows: list[_Arrow]) -> list[_Arrow]:
        """Return the arrows, with one for those that a whole frame has in common."""
        for frame in sorted(self.titles, key=lambda name: len([*self._around(name)])):
            inner = {frame, *self._within[frame]}
            led = {end for start, end, kind in arrows if start in inner and kind != flow.ERROR}
            led |= {self._targets[name] for name in inner if name in self._targets}
            begin = self._jobs - led
            starts = self._starts[frame] = [n for n in self._within[frame] if n in begin]
            arrows = _bundled(arrows, frame, inner, {*starts}, end=1)
            arrows = _bundled(arrows, frame, inner, {*self._members[frame]}, end=0)
            target = self._targets.get(frame)
            if target is not None and target not in inner:
                arrows.append((frame, target, flow.NEXT))
        return arrows


def _bundled(
    arrows: list[_Arrow], frame: str, inner: set[str], wanted: set[str], *, end: int
) -> list[_Arrow]:
    """Return the arrows, with one where somebody outside has one to (or from) all ``wanted``.

    ``end`` is 1 for arrows that lead into the frame, 0 for those out of it.
    """
    found: dict[tuple[str, str], set[str]] = defaultdict(set)
    for arrow in arrows:
        if arrow[end] in inner and arrow[1 - end] not in inner:
            found[arrow[1 - end], arrow[2]].add(arrow[end])
    whole = {outer for outer, ends in found.items() if len(wanted) > 1 and wanted <= ends}
    return [
        ((frame, arrow[1], arrow[2]) if end == 0 else (arrow[0], frame, arrow[2]))
        if arrow[end] in inner and (arrow[1 - end], arrow[2]) in whole
        else arrow
        for arrow in arrows
    ]


# What is said of a job and a group


def _job(node: Node) -> _Box:
    task = node.task.rpartition(".")[2] or node.task
    is_early = node.state == states.PENDING and node.phase != states.LEASED
    words = (_cut(task), _short(node.id), _cut(node.phase if is_early else node.state))
    return _Box(words, _look(node), f"{node.task} {node.id}")


def _look(node: Node) -> str:
    if node.phase == states.DONE:
        return _OF_STATE.get(node.state, "ignored")
    if node.phase == states.LEASED:
        return "running"
    if node.state == states.RETRY:
        return "retry"
    return "waiting" if node.phase == states.WAITING else "ready"


_POLICIES: Final = {
    flow.PLACEHOLDERS: "null for who fails", flow.IGNORE: "without who fails",
}  # fmt: skip


def _title(group: DrawnGroup) -> str:
    of = f" of {group.size:,}" if group.size is not None else ""
    facts = [f"group {_short(group.name)}", f"{group.ended:,}{of} ended"]
    facts += [f"{group.failed:,} failed"] if group.failed else []
    facts += ["incomplete"] if group.size is None else []
    facts += [_POLICIES[group.policy]] if group.policy in _POLICIES else []
    return ", ".join(facts)


def _short(id: str) -> str:
    """Return what tells an id from others: their ends do, for ids that were made together."""
    return id[-8:] if _UUID.fullmatch(id) else _cut(id)


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


# Text

# Mermaid reads "direction LR" as an order wherever it stands.
_PLAIN: Final = re.compile(
    r"([^\W_]+|(?<=[^\W_])(?:[,._-]|,? (?!TB|BT|RL|LR|TD))(?=[^\W_]))|(.)", re.DOTALL
)


def _for_mermaid(text: str) -> str:
    """Return the text for a place in quotes: words as they are, all else by number.

    What looks like a directive, Markdown or HTML would be read as that even there.
    """
    return _PLAIN.sub(lambda found: found[1] or f"#{ord(found[2])};", _printable(text))


def _for_dot(text: str) -> str:
    """Return the text for a place in quotes, where backslashes and HTML's entities count."""
    plain = _printable(text).replace("&", "&amp;")
    return plain.replace("\\", "\\\\").replace('"', '\\"')


def _printable(text: str) -> str:
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text
    )
