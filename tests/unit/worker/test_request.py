from __future__ import annotations

from typing import Any

import pytest

from litequeue.worker.request import RetryPlan
from tests.unit.bench import NOW, Bench


def test_the_request_says_what_runs(bench: Bench) -> None:
    seen: list[Any] = []
    bench.run(
        lambda self, *args, **kwargs: seen.append(self.request), bind=True, args=[1],
        kwargs={"y": 2}, retries=1, claim=3, eta=NOW, lease_expires=NOW + 1.5,
    )  # fmt: skip
    (request,) = seen
    assert (request.id, request.task, request.args, request.kwargs) == (
        *("the-id", "t", [1]),
        {"y": 2},
    )
    assert (request.retries, request.claim, request.hostname) == (1, 3, "host")
    assert (request.parent_id, request.root_id, request.correlation_id) == (
        *("parent", "the-id"),
        "the-id",
    )
    assert (request.called_directly, request.is_eager, request.utc) == (False, False, True)
    assert request.eta == "2023-11-14T22:13:20+00:00"
    assert request.expires == "2023-11-14T22:13:21.500000+00:00"
    assert request.delivery_info == {
        "exchange": "",
        "routing_key": "mail",
        "priority": 5,
        "redelivered": False,
    }
    assert request.properties == {"correlation_id": "the-id", "priority": 5}


def test_without_times_there_are_none(bench: Bench) -> None:
    with bench.running() as request:
        assert (request.eta, request.expires, request.timelimit) == (None, None, (None, None))
        assert (request.headers, request.shadow, request.origin) == ({}, None, None)


@pytest.mark.parametrize(
    ("claim", "deaths", "redelivered"), [(1, 0, False), (3, 0, False), (2, 1, True)]
)
def test_what_a_worker_was_lost_with_was_delivered_again(
    bench: Bench, claim: int, deaths: int, redelivered: bool
) -> None:
    with bench.running(claim=claim, deaths=deaths) as request:
        assert request.delivery_info["redelivered"] is redelivered


@pytest.mark.parametrize(
    "name", ["callbacks", "chain", "chord", "errbacks", "group", "reply_to", "stamps", "logfile"]
)
def test_what_this_job_has_not_is_none(bench: Bench, name: str) -> None:
    with bench.running() as request:
        assert getattr(request, name) is None


def test_time_limits_are_those_that_its_worker_found(bench: Bench) -> None:
    with bench.running(soft=1.5, hard=3) as request:
        assert (request.soft_time_limit, request.time_limit) == (1.5, 3)
        assert request.timelimit == (3, 1.5), "the hard one first, as Celery has it"


def test_stamps_are_there_by_their_headers(bench: Bench) -> None:
    stamps = {"monitoring_id": "m-1", "customers": ["a", "b"]}
    with bench.running(lease_options={"stamps": stamps}) as request:
        assert request.stamps == stamps
        assert request.stamped_headers == ["monitoring_id", "customers"]


def test_stamps_that_are_none_are_refused(bench: Bench) -> None:
    outcome = bench.run(lambda: None, lease_options={"stamps": ["no", "names"]})
    assert outcome.failure is not None
    assert outcome.failure.message == "the options cannot be read: 'stamps' is no dict"


def test_headers_are_attributes_but_never_hide_a_fact(bench: Bench) -> None:
    headers = {"trace": 5, "id": "forged", "group": "g"}
    with bench.running(lease_options={"headers": headers}) as request:
        assert (request.trace, request.id, request.group) == (5, "the-id", None)
        assert request.headers["id"] == "forged"


def test_what_nobody_has_is_an_attribute_error(bench: Bench) -> None:
    with bench.running() as request:
        with pytest.raises(AttributeError, match="the request has no 'nosuch'"):
            request.nosuch  # noqa: B018 - it raises
        with pytest.raises(AttributeError):
            request._private  # noqa: B018 - it raises
        assert request.get("nosuch") is None
        assert request.get("id") == "the-id"


def test_celerys_fields_are_there(bench: Bench) -> None:
    """Those of Celery's `Context`, as its guide lists them."""
    listed = (
        "id group chord correlation_id args kwargs origin retries is_eager eta expires hostname "
        "delivery_info reply_to called_directly timelimit callbacks errbacks utc headers root_id "
        "parent_id chain properties replaced_task_nesting shadow ignore_result task logfile "
        "loglevel stamps stamped_headers"
    )
    with bench.running() as request:
        missing = [name for name in listed.split() if not hasattr(request, name)]
    assert missing == []


def test_a_plan_moves_only_what_is_named() -> None:
    assert RetryPlan(when=1.0).moves is None
    assert RetryPlan(when=1.0, args=(1,)).moves is None
    assert RetryPlan(when=1.0, priority=0).moves == (None, 0, None)
