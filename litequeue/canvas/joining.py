"""The rules of ``|`` and of ``chain(...)``: which workflow two signatures make."""

from __future__ import annotations

import operator
from collections import deque
from collections.abc import Iterable
from functools import reduce
from typing import Any

from litequeue.canvas.chains import chain_of, unchained
from litequeue.canvas.chords import chord
from litequeue.canvas.kinds import is_chain, is_chord, is_empty_group, is_group, unrolled
from litequeue.canvas.lazily import Lazily
from litequeue.canvas.making import signature
from litequeue.canvas.members import checked
from litequeue.canvas.nesting import bounded
from litequeue.canvas.signatures import Signature


def joined(left: Any, right: Any) -> Any:
    """Return what ``left | right`` is; raises TypeError where one is no signature.

    - A group before something is the header of a chord.
    - What comes after a chord comes after its body.
    - A group of one is its member; an empty one changes nothing after a chain or group.
    """
    if not isinstance(checked(left, "a chain is made of signatures"), Signature):
        left = signature(left)
    if not isinstance(checked(right, "a chain is made of signatures"), Signature):
        right = signature(right)
    with bounded(left, right):
        return _joined(left, right)


def _joined(left: Any, right: Any, *, is_ours: bool = False) -> Any:
    """Return what both make; of a ``left`` that ``is_ours`` no copy is needed."""
    if is_chain(left):
        return _after_chain(left, right, is_ours=is_ours)
    if is_group(left):
        nothing = is_empty_group(right) and not isinstance(right.tasks, Lazily)
        return left if nothing else chord(left, body=right, app=left._app)
    if is_chord(left):
        alone = unrolled(right)
        if alone is not right or not (is_group(right) or is_chain(right)):
            return _after_body(left if is_ours else left.clone(), alone)
    if is_chain(right):
        return chain_of([left, *right.unchain_tasks()], app=left._app)
    if is_group(right):
        return chain_of((left, unrolled(right)), app=left.app)
    return chain_of((left, right), app=left._app)


def _after_chain(left: Any, right: Any, *, is_ours: bool = False) -> Any:
    if is_empty_group(right):
        return left
    if is_chain(right):
        return reduce(operator.or_, right.unchain_tasks(), left)
    if is_group(right):
        alone = unrolled(right)
        if is_group(alone):
            return _group_after_chain(left, alone, is_ours=is_ours)
        return _after_chain(left, alone, is_ours=is_ours)
    last = left.tasks[-1] if left.tasks else None
    if is_group(last):
        made = _to_change(left, is_ours=is_ours)
        made.tasks[-1] = chord(made.tasks[-1], right, app=left._app)
        if len(made.tasks) > 1 and is_chord(made.tasks[-2]):
            second = made.tasks.pop()
            _after_body(made.tasks[-1], second)
        return made
    if is_chord(last) and not is_chord(right):
        made = _to_change(left, is_ours=is_ours)
        _after_body(made.tasks[-1], right)
        return made
    steps = unchained(left, clone=not is_ours)
    return chain_of([*steps, right], app=left._app, kind=type(left))


def _to_change(chain: Any, *, is_ours: bool) -> Any:
    made = chain if is_ours else chain.clone()
    made.tasks = [*made.tasks]  # it may have been made of a tuple
    return made


def _group_after_chain(left: Any, right: Any, *, is_ours: bool) -> Any:
    steps = unchained(left, clone=not is_ours)
    if not steps:
        return right
    if is_chord(steps[-1]):
        _after_body(steps[-1], right)
        return chain_of(steps, app=left.app, kind=type(left))
    return chain_of([*steps, right], app=left._app, kind=type(left))


def _after_body(made: Any, right: Any) -> Any:
    made.body = _joined(made.body, right, is_ours=True)
    return made


def folded(sigs: Iterable[Any]) -> Any:
    """Return ``chain() | a | b | ...`` in one pass: ``|`` alone copies all steps at every one.

    Raises TypeError for what is no signature.
    """
    steps: list[Any] = []
    left: deque[Any] = deque(sigs)
    while left:
        sig = checked(left.popleft(), "a chain is made of signatures")
        if is_empty_group(sig):
            continue
        if is_chain(sig):
            left.extendleft(reversed(sig.unchain_tasks()))
            continue
        alone = unrolled(sig)
        if alone is not sig and not is_group(alone):
            left.appendleft(alone)
            continue
        sig = alone
        if is_group(sig) and not steps:
            return reduce(operator.or_, left, sig)
        last = steps[-1] if steps else None
        if is_chord(last) and not is_chord(sig):
            _after_body(last, sig)
            continue
        own = sig.clone() if left else sig
        if is_group(last) and not is_group(sig):
            steps[-1] = chord(last, own)
        else:
            steps.append(own)
    return chain_of(steps)
