"""A home for handles that is nothing but a store."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from litequeue.clock import Clock
from litequeue.result import AsyncResult
from litequeue.serialization import Codec
from litequeue.store import Store


@dataclass(frozen=True, slots=True)
class StoreHome:
    store: Store
    codec: Codec = field(default_factory=Codec)

    @property
    def clock(self) -> Clock:
        return self.store.clock


def handle(store: Store, id: str) -> AsyncResult[Any]:
    return AsyncResult(id, app=StoreHome(store))
