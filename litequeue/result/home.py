"""What a handle needs of the app it belongs to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from litequeue.clock import Clock
from litequeue.serialization import Codec

if TYPE_CHECKING:
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
