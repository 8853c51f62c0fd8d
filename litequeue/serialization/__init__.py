"""Arguments and results to text and back: `Codec`, the `Types` it knows, and `register`.

The functions here are for plain JSON.  Everything that is stored is text: JSON where that will
do, with kombu's tags for what JSON lacks; any other form begins with ``!``.
"""

from __future__ import annotations

from litequeue.serialization.codec import Codec
from litequeue.serialization.plain import MAX_DEPTH, dumps, loads
from litequeue.serialization.serializers import register, unregister
from litequeue.serialization.types import Types

__all__ = [
    "MAX_DEPTH",
    "Codec",
    "Types",
    "dumps",
    "loads",
    "register",
    "unregister",
]
