"""Where the file of an app is: from what names it to its absolute path.

Nothing is opened or looked at here; whether SQLite can work there, the store says.
"""

from __future__ import annotations

import os
from typing import Final

from litequeue.exceptions import ImproperlyConfigured

URL_VARIABLE: Final = "LITEQUEUE_URL"


def locate(path: str | os.PathLike[str] | None, directory: str) -> str:
    """Return the absolute path of the file; relative ones count from ``directory``.

    ``path`` None means the environment's ``LITEQUEUE_URL``.  Raises `ImproperlyConfigured`, or
    NotImplementedError for the URL of something that is no file.
    """
    given = os.environ.get(URL_VARIABLE) if path is None else path
    if given is None:
        raise ImproperlyConfigured(
            f'LiteQueue() needs the path of its file: LiteQueue("jobs.sqlite"), or {URL_VARIABLE}'
        )
    if not isinstance(given, str | os.PathLike):
        raise NotImplementedError(f"LiteQueue({type(given).__name__}); give the path of a file")
    location = os.fspath(given)
    scheme, separator, _ = location.partition("://")
    if separator:
        raise NotImplementedError(f"a queue at {scheme}://; give the path of a file")
    if location and not location.startswith((":", "file:")):
        location = os.path.join(directory, location)  # noqa: PTH118 - pathlib takes 5 ms to import
    return normalise(location)


def normalise(path: str | os.PathLike[str]) -> str:
    """Return the absolute path with no symbolic link in it: SQLite names the WAL by that.

    Raises `ImproperlyConfigured` for what is not a file's path.
    """
    text = os.fspath(path)
    if not text:
        raise ImproperlyConfigured(
            'the path of the queue file is empty; give one, as "jobs.sqlite"'
        )
    if text == ":memory:":
        raise ImproperlyConfigured(
            "a queue in :memory: would be seen by one process only; give a file, as jobs.sqlite"
        )
    if text.startswith("file:"):
        raise ImproperlyConfigured(f"give the path itself, not the URI {text!r}")
    if "\0" in text:
        raise ImproperlyConfigured("the path of the queue file holds a NUL character")
    return os.path.realpath(text)
