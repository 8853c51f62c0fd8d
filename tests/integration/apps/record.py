"""What an app under test tells of itself: one line of JSON per fact, in the order of writing."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from tests.conftest import wait_until


def record(fact: str, **fields: Any) -> None:
    """Append a fact, by one write that no kill can cut in half."""
    line = json.dumps({"fact": fact, "pid": os.getpid(), "ppid": os.getppid(), **fields})
    target = os.open(_path(), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(target, line.encode() + b"\n")
    os.close(target)


def _path() -> Path:
    return Path(os.environ["JOURNAL"]).with_name("record")


class Record:
    """The facts of a site, read from outside."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "record"

    def facts(self, name: str | None = None, /, **fields: Any) -> list[dict[str, Any]]:
        """Return the facts of this name that have all these fields."""
        if not self.path.exists():
            return []
        wanted = fields if name is None else {"fact": name, **fields}
        found = [json.loads(line) for line in self.path.read_text().splitlines()]
        return [fact for fact in found if wanted.items() <= fact.items()]

    def names(self, **fields: Any) -> list[str]:
        return [fact["fact"] for fact in self.facts(**fields)]

    def wait_for(
        self, name: str, /, number: int = 1, timeout: float = 20.0, **fields: Any
    ) -> list[dict[str, Any]]:
        """Wait until there are ``number`` such facts; return all of them."""
        wait_until(lambda: len(self.facts(name, **fields)) >= number, timeout)
        return self.facts(name, **fields)
