from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from litequeue import LiteQueue, signals


@pytest.fixture
def app(queue_path: Path) -> Iterator[LiteQueue]:
    app = LiteQueue(queue_path)

    @app.task(name="pay")
    def pay(amount: int, *, to: str) -> None: ...

    yield app
    app.close()


@pytest.fixture
def heard() -> Iterator[list[dict[str, Any]]]:
    heard: list[dict[str, Any]] = []

    def listen(**facts: Any) -> None:
        heard.append(facts)

    signals.task_revoked.connect(listen)
    yield heard
    signals.task_revoked.disconnect(listen)


def test_a_revoked_job_is_told_of_where_it_was_revoked(
    app: LiteQueue, heard: list[dict[str, Any]]
) -> None:
    result = app.tasks["pay"].delay(5, to="me")
    assert result.revoke()
    (facts,) = heard
    request = facts["request"]
    assert facts["sender"] is app.tasks["pay"]
    assert (request.id, request.task) == (result.id, "pay")
    assert (request.args, request.kwargs) == ([5], {"to": "me"})
    assert (facts["terminated"], facts["signum"], facts["expired"]) == (False, None, False)
    assert not result.revoke()
    assert len(heard) == 1


def test_of_a_set_those_are_told_of_that_still_waited(
    app: LiteQueue, heard: list[dict[str, Any]]
) -> None:
    results = [app.tasks["pay"].delay(number, to="me") for number in range(3)]
    results[1].revoke()
    heard.clear()
    app.ResultSet(results).revoke()
    assert [facts["request"].id for facts in heard] == [results[0].id, results[2].id]


def test_a_job_of_a_stranger_is_told_of_without_its_task(
    app: LiteQueue, heard: list[dict[str, Any]]
) -> None:
    app.send_task("nobody.knows", [1]).revoke()
    assert [(facts["sender"], facts["request"].task) for facts in heard] == [(None, "nobody.knows")]
