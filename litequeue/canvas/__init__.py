"""Canvas: calls as data, which are made now and sent later, here or in another process.

A `Signature` is one call.  `chain`, `group` and `chord` join several of them, as ``|`` does.  A
name is loaded at its first use: who sends single jobs never loads workflows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from litequeue.canvas.chains import chain
    from litequeue.canvas.chords import chord
    from litequeue.canvas.groups import group
    from litequeue.canvas.making import maybe_signature, signature, subtask
    from litequeue.canvas.maps import chunks, xmap, xstarmap
    from litequeue.canvas.signatures import Signature
    from litequeue.canvas.stamping import StampingVisitor

__all__ = [
    "Signature",
    "StampingVisitor",
    "chain",
    "chord",
    "chunks",
    "group",
    "maybe_signature",
    "signature",
    "subtask",
    "xmap",
    "xstarmap",
]

_HOMES: Final = {
    "Signature": "signatures",
    "StampingVisitor": "stamping",
    "chain": "chains",
    "chord": "chords",
    "chunks": "maps",
    "group": "groups",
    "maybe_signature": "making",
    "signature": "making",
    "subtask": "making",
    "xmap": "maps",
    "xstarmap": "maps",
}


def __getattr__(name: str) -> Any:
    """Load a public name at its first use."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    module = importlib.import_module(f"litequeue.canvas.{_HOMES[name]}")
    value = globals()[name] = getattr(module, name)
    return value


def __dir__() -> list[str]:
    """List the public names, loaded or not."""
    return sorted(__all__)
