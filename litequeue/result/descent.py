"""What came of a result, all the way down: its children, theirs, and so on."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any

from litequeue.exceptions import IncompleteStream
from litequeue.result.graph import DependencyGraph, GraphFormatter
from litequeue.result.result_set import ResultSet


def descend(result: Any, *, intermediate: bool) -> Iterator[tuple[Any, Any]]:
    """Yield (parent, result) of ``result`` and all that came of it, the nearest first.

    Members of a group are its children.  Raises `IncompleteStream` at one that has not ended,
    unless ``intermediate``.
    """
    families: deque[tuple[Any, Iterable[Any]]] = deque([(None, (result,))])
    while families:
        parent, members = families.popleft()
        for each in members:
            yield parent, each
            if each.ready():
                # A set's members come one by one: there may be a million of them.
                families.append((each, each if isinstance(each, ResultSet) else each.children))
            elif not intermediate:
                raise IncompleteStream(
                    f"{each} has not ended, so what came of it is not all there yet; "
                    "wait for it, or ask with intermediate=True"
                )


def graph_of(
    result: Any, *, intermediate: bool, formatter: GraphFormatter | None
) -> DependencyGraph:
    """Return a result and all that came of it, each with what came of it at once."""
    graph = DependencyGraph(formatter=formatter or GraphFormatter(root=result.id, shape="oval"))
    for parent, each in descend(result, intermediate=intermediate):
        graph.add_arc(each)
        if parent is not None:
            graph.add_edge(parent, each)
    return graph
