"""What a handle needs of the app it belongs to."""

from __future__ import annotations

from typing import Final, Protocol

from litequeue.clock import Clock
from litequeue.serialization import Codec
from litequeue.store import Store


class Home(Protocol):
    """The app: its file, its codec, its clock."""

    @property
    def store(self) -> Store:
        """The file."""

    @property
    def codec(self) -> Codec:
        """What reads results and arguments."""

    @property
    def clock(self) -> Clock:
        """What time it is."""


class StoreHome:
    """Stands for an app where only its store is known."""

    codec: Final = Codec()

    def __init__(self, store: Store) -> None:
        self.store = store

    @property
    def clock(self) -> Clock:
        """The clock of the store."""
        return self.store.clock
