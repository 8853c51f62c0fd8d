"""Canvas: calls as data, which are made now and sent later, here or in another process.

A `Signature` is one call.  What joins several of them (chains, groups, chords) is still to come:
its names raise NotImplementedError.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from litequeue.canvas.making import maybe_signature, signature, subtask
from litequeue.canvas.signatures import Signature
from litequeue.canvas.stamping import StampingVisitor

__all__ = ["Signature", "StampingVisitor", "maybe_signature", "signature", "subtask"]

_UNBUILT: Final = frozenset(("chain", "chord", "chunks", "group", "xmap", "xstarmap"))

if not TYPE_CHECKING:  # a type checker would take every name for one that is there

    def __getattr__(name: str) -> Any:
        """Name what Celery has and we have not yet."""
        if name in _UNBUILT:
            raise NotImplementedError(f"litequeue.canvas.{name}: workflows of several signatures")
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}", name=name)
