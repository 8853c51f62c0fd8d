"""What SQLite refused, in our words."""

from __future__ import annotations

from litequeue.exceptions import QueueBusy, QueueFull, StoreError
from litequeue.store.driver import sqlite3


def is_busy(error: BaseException | None) -> bool:
    """Tell whether SQLite only asked to try again."""
    code = getattr(error, "sqlite_errorcode", None)
    return code is not None and code & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def sqlite_error(error: BaseException) -> sqlite3.Error | None:
    """Return SQLite's own error, also from the wrapper that peewee puts around it."""
    cause = getattr(error, "orig", error)
    return cause if isinstance(cause, sqlite3.Error) else None


def raise_translated(error: BaseException, path: str) -> None:
    """Raise our error for one of SQLite's, wrapped by peewee or not; do nothing for others."""
    cause = sqlite_error(error)
    if cause is not None:
        raise translate(cause, path) from error


def translate(error: sqlite3.Error, path: str) -> StoreError:
    """Say in our words what SQLite refused."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code == sqlite3.SQLITE_FULL:
        return QueueFull(
            f"no space left for {path}; nothing was accepted: free some space, then send again"
        )
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return QueueBusy(f"{path} is locked by another process; nothing was accepted, send again")
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return NotReadable(f"{path} is damaged, or no SQLite file ({error}); restore a backup")
    if code == sqlite3.SQLITE_READONLY:
        return StoreError(f"{path} cannot be written by this user ({error})")
    failure = IOFailure if code == sqlite3.SQLITE_IOERR else StoreError
    return failure(f"SQLite could not use {path}: {error}")


class IOFailure(StoreError):
    """A read or a write of the file failed; whether a commit happened is not known."""


class NotReadable(StoreError):
    """The file is damaged, or is no SQLite database."""
