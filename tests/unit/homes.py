"""A home for handles without a file: what is "stored" changes while somebody sleeps."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from litequeue.job import Failure
from litequeue.result import AsyncResult
from litequeue.serialization import dumps
from litequeue.store import Record
from tests.conftest import FakeClock


def failure(type: str, *args: object) -> Failure:
    return Failure(type, "its text", "its traceback", dumps(list(args)))


@dataclass
class Codec:
    asked: list[str] = field(default_factory=list)

    def loads(self, text: str, *, context: str) -> Any:
        self.asked.append(context)
        return json.loads(text)

    def loads_arguments(self, body: str, *, context: str) -> Any:
        self.asked.append(context)
        return json.loads(body)


class Store:
    """What handles ask.  ``later`` happens one by one, whenever somebody sleeps."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.records: dict[str, Record] = {}
        self.later: list[Callable[[], object]] = []
        self.slept: list[float] = []
        self.asked: list[str] = []
        self.registered = 0

    def fetch(self, id: str) -> Record | None:
        self.asked.append(id)
        return self.records.get(id)

    def fetch_ended(self, ids: Iterable[str]) -> dict[str, Record | None]:
        looked = list(ids)
        self.asked += looked
        records = {id: self.records.get(id) for id in looked}
        return {id: each for id, each in records.items() if each is None or each.is_done}

    def children_of(self, id: str) -> list[str]:
        return [f"child of {id}"]

    def before(self, id: str) -> tuple[list[str], str | None]:
        return [], None

    def details(self, id: str) -> None:
        return None

    def group(self, name: str) -> None:
        return None

    def wait_for(self, id: str) -> Store:
        self.registered += 1
        return self

    def wait(self, timeout: float) -> None:
        self.slept.append(timeout)
        if self.later:
            self.later.pop(0)()
        else:
            self.clock.advance(timeout)

    def close(self) -> None:
        self.registered -= 1


class Home:
    def __init__(self) -> None:
        self.clock = FakeClock()
        self.store: Any = Store(self.clock)
        self.codec = Codec()

    def put(self, id: str, state: str, result: object = None, **more: Any) -> None:
        ready = state in {"SUCCESS", "FAILURE", "REVOKED", "REJECTED", "IGNORED"}
        values: dict[str, Any] = {
            "phase": "done" if ready else "leased",
            "state": state,
            "result": None if result is None else json.dumps(result),
            "retries": 0,
            "finished": self.clock.now() if ready else None,
            "failure": None,
        }
        self.store.records[id] = Record(**(values | more))

    def later(self, id: str, state: str, result: object = None) -> None:
        self.store.later.append(lambda: self.put(id, state, result))

    def result(self, id: str) -> AsyncResult[Any]:
        return AsyncResult(id, app=self)
