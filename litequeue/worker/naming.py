"""Names of workers: ``-n mail@%h``."""

from __future__ import annotations

import re
import socket
from typing import Final

from litequeue.exceptions import ImproperlyConfigured

_PLACE: Final = re.compile(r"%(.?)")


def expand(name: str, host: str | None = None) -> str:
    """Return ``name`` with %h (the host's name), %n (its first part), %d (the rest), %% filled in.

    The letters are Celery's.  Raises `ImproperlyConfigured` for any other.
    """
    host = socket.gethostname() if host is None else host
    first, _, domain = host.partition(".")
    known = {"h": host, "n": first, "d": domain, "%": "%"}

    def fill(found: re.Match[str]) -> str:
        letter = found[1]
        if letter not in known:
            raise ImproperlyConfigured(
                f"the worker's name {name!r} holds {found[0]!r}; %h is the host, %n its first "
                "part, %d its domain, and %% a percent sign"
            )
        return known[letter]

    return _PLACE.sub(fill, name)
