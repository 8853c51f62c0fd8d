"""What kind of signature something is, by its ``subtask_type``."""

from __future__ import annotations

from typing import Any

from litequeue.canvas.lazily import Lazily
from litequeue.canvas.signatures import Signature


def is_chain(sig: object) -> bool:
    """Tell whether it is a chain."""
    return isinstance(sig, Signature) and sig.subtask_type == "chain"


def is_group(sig: object) -> bool:
    """Tell whether it is a group."""
    return isinstance(sig, Signature) and sig.subtask_type == "group"


def is_chord(sig: object) -> bool:
    """Tell whether it is a chord."""
    return isinstance(sig, Signature) and sig.subtask_type == "chord"


def is_empty_group(sig: Any) -> bool:
    """Tell whether it is a group of no members; a generator is asked for the first."""
    return is_group(sig) and not sig.tasks


def is_empty_chain(sig: Any) -> bool:
    """Tell whether it is a chain of no steps, or of such chains only."""
    return is_chain(sig) and all(map(is_empty_chain, sig.tasks))


def unrolled(sig: Any) -> Any:
    """Return the only member of a group, or else ``sig`` itself."""
    if not is_group(sig):
        return sig
    tasks = sig.tasks
    alone = tasks.is_one() if isinstance(tasks, Lazily) else len(tasks) == 1
    return tasks[0] if alone else sig


def first_app(tasks: Any) -> Any:
    """Return the app of the first of the signatures, None where it has none."""
    try:
        return tasks[0].app
    except (LookupError, AttributeError):
        return None
