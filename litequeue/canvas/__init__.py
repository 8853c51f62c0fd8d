"""Canvas: calls as data, which are made now and sent later, here or in another process.

A `Signature` is one call.  `chain`, `group` and `chord` join several of them, as ``|`` does.
"""

from __future__ import annotations

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
