"""`chain`: calls one after the other, each with the result of the one before it."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from litequeue import states
from litequeue.canvas.chords import chord
from litequeue.canvas.kinds import (
    first_app,
    is_chain,
    is_chord,
    is_empty_chain,
    is_empty_group,
    is_group,
    unrolled,
)
from litequeue.canvas.lazily import sequence
from litequeue.canvas.linking import many, without
from litequeue.canvas.making import maybe_signature
from litequeue.canvas.members import Item, checked
from litequeue.canvas.signatures import Signature
from litequeue.canvas.stamping import StampingVisitor, stamps
from litequeue.context import current_app
from litequeue.result.group_result import parent_here, value_here


class _Folding(type):
    """Makes ``chain(a, b)`` what ``a | b`` is, which need not be a chain."""

    def __call__(cls, *tasks: Any, **options: Any) -> Any:
        several = len(tasks) > 1 or (len(tasks) == 1 and _is_many(tasks[0]))
        if options or not several:
            return super().__call__(*tasks, **options)
        from litequeue.canvas.joining import folded

        made = folded(tasks[0] if len(tasks) == 1 else tasks)
        if is_chain(made) and not isinstance(made, cls):
            return super().__call__(made.tasks)
        return made


@Signature.register_type()
class chain(Signature[Any], metaclass=_Folding):
    """Calls that follow each other: Celery's `chain`.

    Several signatures, or an iterable of them, are joined as ``|`` joins them, unless options
    are given, too.
    """

    tasks: Item[Any] = Item("tasks", "kwargs")

    def __init__(self, *tasks: Any, **options: Any) -> None:
        steps = sequence(tasks[0]) if len(tasks) == 1 and _is_many(tasks[0]) else tasks
        for step in steps:
            checked(step, "a chain is made of signatures")
        super().__init__("celery.chain", (), {"tasks": steps}, **options)
        self.subtask_type = "chain"

    @classmethod
    def from_dict(cls, d: Mapping[str, Any], app: Any = None) -> Any:
        """Return the chain that a mapping describes."""
        steps = [maybe_signature(step, app=app) for step in d["kwargs"]["tasks"]]
        made = chain_of(steps, app=app, kind=cls, **d["options"])
        made.args = tuple(d.get("args") or ())  # for the first step; Celery drops them here
        return made

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Enqueue it; nothing for an empty one."""
        return self.apply_async(args, kwargs) if self.tasks else None

    def clone(self, *args: Any, **kwargs: Any) -> Any:
        """Return a copy whose steps are copies, too."""
        made: Any = super().clone(*args, **kwargs)
        made.tasks = [maybe_signature(step, app=self._app, clone=True) for step in made.tasks]
        return made

    def unchain_tasks(self) -> list[Any]:
        """Return copies of the steps; they have the chain's own callbacks."""
        return unchained(self)

    def freeze(
        self,
        _id: str | None = None,
        group_id: str | None = None,
        chord: Any = None,
        root_id: str | None = None,
        parent_id: str | None = None,
        group_index: int | None = None,
    ) -> Any:
        """Decide the ids of all steps; return the result of the last, whose parents are theirs.

        The last one has ``_id`` and belongs to the group.  Raises IndexError for an empty chain.
        """
        end: Any = None
        after: Any = None
        for step in reversed(_paired(self.tasks, self.app)):
            if end is None:
                result = step.freeze(
                    _id, root_id=root_id, group_id=group_id, chord=chord, group_index=group_index
                )
                end = result
            else:
                result = step.freeze(root_id=root_id)
                after.parent = result
            after = _first(result) if is_chord(step) else result
        if end is None:
            raise IndexError("an empty chain has no result")
        self.id = end.id
        return end

    _freeze = freeze

    def apply(
        self,
        args: Iterable[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> Any:
        """Run the steps here and now; return the result of the last, whose parents are theirs.

        Raises what a step raised that is not the last one.  A chain of nothing has no result.
        """
        how = {**self.options, **options}
        callbacks = how.pop("link", None)
        how = without(how, "task_id")
        steps = _that_count(self.tasks)
        last: Any = None
        for place, step in enumerate(steps, 1):
            own = step.clone()
            if callbacks and place == len(steps):
                target = own.body if is_chord(own) else own
                target.extend_list_option("link", callbacks)
            given = args if last is None else (value_here(last),)
            result: Any = own.apply(given, kwargs if last is None else None, **how)
            result.parent, last = last, result
            if getattr(result, "state", None) in (states.IGNORED, states.REJECTED):
                break
        return last

    def stamp(
        self, visitor: StampingVisitor | None = None, append_stamps: bool = False, **headers: Any
    ) -> Any:
        """Stamp all steps."""
        visited = None if visitor is None else visitor.on_chain_start(self, **headers) or {}
        given = stamps(headers, visited, self.options, append=append_stamps)
        self.stamp_links(visitor, **given)
        for step in self.tasks:
            step.stamp(visitor, append_stamps, **given)
        if visitor is not None:
            visitor.on_chain_end(self, **given)

    @property
    def app(self) -> Any:
        """The app that it, or its first step, belongs to, else the current one."""
        return self._app or first_app(self.tasks) or current_app()

    def __repr__(self) -> str:
        """Show the steps."""
        if not self.tasks:
            return f"<{type(self).__name__}: empty>"
        return shorter(self.tasks[0]["task"], " | ".join(map(repr, self.tasks)))


def chain_of(
    steps: Iterable[Any], *, app: Any = None, kind: type[Any] = chain, **options: Any
) -> Any:
    """Return a chain of just these steps: none of them is joined to the one before it."""
    return kind(steps, **{"app": app, **options})


def unchained(of: Any, *, clone: bool = True) -> list[Any]:
    """Return the steps of a chain, with its callbacks; without ``clone`` no copies of them."""
    steps = [step.clone() if clone else step for step in of.tasks]
    for callback in many(of.options.get("link")):
        steps[-1].link(callback)
    for errback in many(of.options.get("link_error")):
        for step in steps:
            step.link_error(errback)
    return steps


def shorter(task: str, text: str) -> str:
    """Return ``text`` with the module of ``task`` in its first name only."""
    module = task.rpartition(".")[0]
    if not module:
        return text
    head, found, rest = text.partition(f"{module}.")
    return head + found + rest.replace(f"{module}.", "")


def _is_many(tasks: object) -> bool:
    return isinstance(tasks, Iterable) and not isinstance(tasks, Mapping | str)


def _that_count(steps: Sequence[Any]) -> list[Any]:
    """Return the steps without those that do nothing; one empty group stays where all are."""
    full = [step for step in steps if not is_empty_group(step) and not is_empty_chain(step)]
    return full or [step for step in steps if is_group(step)][-1:]


def _paired(tasks: Sequence[Any], app: Any) -> list[Any]:
    """Return the steps in one line: inner chains are spliced, a group and its successor a chord."""
    flat: list[Any] = []
    left = deque(tasks)
    while left:
        step = unrolled(maybe_signature(left.popleft(), app=None))
        if is_chain(step):
            left.extendleft(reversed(step.tasks))
        else:
            flat.append(step)
    steps: list[Any] = []
    for step in reversed(_that_count(flat)):
        if is_group(step) and steps:
            steps[-1] = chord(step, body=steps[-1], app=app)
        else:
            steps.append(step)
    return steps[::-1]


def _first(result: Any) -> Any:
    """Return the first of the results before ``result`` that this step itself has."""
    while parent_here(result) is not None:
        result = parent_here(result)
    return result
