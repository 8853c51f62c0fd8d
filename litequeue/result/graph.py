"""A graph of results, as Celery's: what came of what, in the order to handle it, and for Graphviz.

`litequeue.drawing` draws workflows; this one holds any objects that can be hashed.
"""

from __future__ import annotations

from collections.abc import ItemsView, Iterable, Iterator
from typing import IO, Any


class GraphFormatter:
    """How a graph is written for Graphviz: what is inherited may be overridden part by part.

    ``id`` and ``type`` ("digraph" or "graph") name the graph, ``root`` is the node it hangs on,
    ``scheme`` has attributes of all nodes.
    """

    scheme: dict[str, Any] = {"shape": "box", "style": "filled"}  # noqa: RUF012 - as in Celery
    node_scheme: dict[str, Any] = {"fillcolor": "#d3f9d8"}  # noqa: RUF012 - as in Celery
    term_scheme: dict[str, Any] = {"fillcolor": "#ffffff"}  # noqa: RUF012 - as in Celery
    edge_scheme: dict[str, Any] = {"arrowhead": "vee"}  # noqa: RUF012 - as in Celery

    def __init__(
        self,
        root: Any = None,
        type: str = "digraph",
        id: str = "dependencies",
        indent: int = 0,
        inw: str = " " * 4,
        **scheme: Any,
    ) -> None:
        self.root = root
        self.type = type
        self.id = id
        self.scheme = {**self.scheme, **scheme}
        self._outer = inw * indent
        self._inner = inw * (indent + 1)

    def __call__(self, obj: Any) -> str:
        """Return what a node is called: its label."""
        return self.label(obj)

    def label(self, obj: Any) -> str:
        """Return what a node is called."""
        return str(obj)

    def head(self, **attributes: Any) -> str:
        """Return how the text begins."""
        root = {} if self.root is None else {"root": self.label(self.root)}
        return (
            f"{self._outer}{self.type} {_quoted(self.id)} {{\n"
            f"{self._inner}graph [{_attributes({**root, **attributes})}]"
        )

    def tail(self) -> str:
        """Return how it ends."""
        return f"{self._outer}}}"

    def node(self, obj: Any, **attributes: Any) -> str:
        """Return the line of a node that something came of."""
        return self._node(obj, {**self.node_scheme, **attributes})

    def terminal_node(self, obj: Any, **attributes: Any) -> str:
        """Return the line of a node that nothing came of."""
        return self._node(obj, {**self.term_scheme, **attributes})

    def edge(self, a: Any, b: Any, **attributes: Any) -> str:
        """Return the line between two nodes."""
        arrow = "--" if self.type == "graph" else "->"
        ends = f"{_quoted(self.label(a))} {arrow} {_quoted(self.label(b))}"
        return f"{self._inner}{ends} [{_attributes({**self.edge_scheme, **attributes})}]"

    def _node(self, obj: Any, attributes: dict[str, Any]) -> str:
        own = _attributes({**self.scheme, **attributes})
        return f"{self._inner}{_quoted(self.label(obj))} [{own}]"


def _quoted(text: object) -> str:
    escaped = str(text).replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def _attributes(given: dict[str, Any]) -> str:
    return ", ".join(f"{name}={_quoted(value)}" for name, value in given.items())


class DependencyGraph:
    """Objects, each with those that depend on it or came of it, in their order.

    ``it`` has (object, those) pairs.  Nothing keeps a circle out.
    """

    def __init__(
        self,
        it: Iterable[tuple[Any, Iterable[Any]]] | None = None,
        formatter: GraphFormatter | None = None,
    ) -> None:
        self.formatter: GraphFormatter = formatter or GraphFormatter()
        self.adjacent: dict[Any, list[Any]] = {}
        if it is not None:
            self.update(it)

    def add_arc(self, obj: Any) -> None:
        """Add an object, unless it is there."""
        self.adjacent.setdefault(obj, [])

    def add_edge(self, A: Any, B: Any) -> None:
        """Add an edge from ``A``, which is there, to ``B``.  Raises KeyError where it is not."""
        self.adjacent[A].append(B)

    def connect(self, graph: DependencyGraph) -> None:
        """Add the objects of another graph, with their edges."""
        self.adjacent.update(graph.adjacent)

    def update(self, it: Iterable[tuple[Any, Iterable[Any]]]) -> None:
        """Add (object, those it leads to) pairs."""
        pairs = [(obj, list(others)) for obj, others in it]
        for obj, _ in pairs:
            self.add_arc(obj)
        for obj, others in pairs:
            self.adjacent[obj].extend(others)

    def topsort(self) -> list[Any]:
        """Return all objects, each after those that it leads to; of a circle one comes first."""
        order: dict[Any, None] = {}
        for start in self.adjacent:
            entered = {start}
            path = [(start, iter(self.adjacent[start]))]
            while path:
                obj, others = path[-1]
                for other in others:
                    if other not in order and other not in entered:
                        entered.add(other)
                        path.append((other, iter(self.adjacent.get(other, ()))))
                        break
                else:
                    path.pop()
                    order.setdefault(obj)
        return [*order]

    def valency_of(self, obj: Any) -> int:
        """Return how many edges are below an object, each as often as there are ways to it."""
        known: dict[Any, int] = {}
        for each in self._below(obj):
            others = self.adjacent.get(each, ())
            known[each] = len(others) + sum(known.get(other, 0) for other in others)
        return known.get(obj, 0)

    def _below(self, obj: Any) -> list[Any]:
        """Return an object and all below it, each after those that it leads to."""
        below = DependencyGraph()
        stack = [obj]
        while stack:
            each = stack.pop()
            if each not in below:
                below.adjacent[each] = self.adjacent.get(each, [])
                stack.extend(below.adjacent[each])
        return below.topsort()

    def edges(self) -> Iterator[Any]:
        """Yield the objects that lead to others."""
        return (obj for obj, others in self.adjacent.items() if others)

    def items(self) -> ItemsView[Any, list[Any]]:
        """Return (object, those it leads to) pairs."""
        return self.adjacent.items()

    iteritems = items

    def format(self, obj: Any) -> Any:
        """Return what an object is called."""
        return self.formatter(obj)

    def to_dot(self, fh: IO[str], formatter: GraphFormatter | None = None) -> None:
        """Write the graph to a file, for Graphviz."""
        draw = formatter or self.formatter
        fh.write(f"{draw.head()}\n")
        for obj, others in self.adjacent.items():
            fh.write(f"{draw.node(obj) if others else draw.terminal_node(obj)}\n")
        for obj, others in self.adjacent.items():
            for other in others:
                fh.write(f"{draw.edge(obj, other)}\n")
        fh.write(f"{draw.tail()}\n")

    def __iter__(self) -> Iterator[Any]:
        return iter(self.adjacent)

    def __getitem__(self, obj: Any) -> list[Any]:
        return self.adjacent[obj]

    def __len__(self) -> int:
        return len(self.adjacent)

    def __contains__(self, obj: object) -> bool:
        return obj in self.adjacent

    def __repr__(self) -> str:
        """Show each object with its valency, and below it those it leads to."""
        return "\n".join(self.repr_node(obj) for obj in self.adjacent)

    def repr_node(self, obj: Any, level: int = 1, fmt: str = "{0}({1})") -> str:
        """Show an object with its valency, and below it those it leads to, all the way down."""
        lines = [fmt.format(obj, self.valency_of(obj))]
        for other in self.adjacent.get(obj, ()):
            first, *rest = self.repr_node(other, level + 1, fmt).split("\n")
            lines += [f"{'     ' * level}{first}", *rest]
        return "\n".join(lines)
