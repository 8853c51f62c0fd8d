"""What a step is given by those before it, as the executor reads it from the file."""

from __future__ import annotations

import json
from typing import Any

import pytest

from litequeue.job import Outcome, result_of
from tests.unit.bench import Bench


def given(
    bench: Bench, function: Any, *, body: Any = ..., args: Any = (), **options: Any
) -> Outcome:
    return bench.run(function, body=body, args=args, lease_options=options)


def shown(*args: Any) -> list[Any]:
    return list(args)


def value(outcome: Outcome) -> Any:
    assert outcome.failure is None, outcome.failure
    return json.loads(outcome.result or "null")


def test_a_result_comes_before_the_own_arguments(bench: Bench) -> None:
    assert value(given(bench, shown, args=[1, 2], given="[0]")) == [[0], 1, 2]
    assert value(given(bench, shown, given=None)) == [None], "null is a result, too"


def test_the_list_of_a_group_is_one_argument(bench: Bench) -> None:
    assert value(given(bench, shown, given=["1", None, '"x"'])) == [[1, None, "x"]]
    assert value(given(bench, shown, given=[])) == [[]]


def test_it_is_fitted_as_any_argument_is(bench: Bench) -> None:
    def total(numbers: list[int], more: int) -> int:
        return sum(numbers) + more

    assert value(given(bench, total, args=[5], given=["1", "2"])) == 8


def test_a_signed_result_is_read_as_that_of_its_job(bench: Bench) -> None:
    bench.app.conf.update(
        task_serializer="signed",
        result_serializer="signed",
        security_key="k" * 32,
        accept_content=["signed"],
    )
    codec = bench.app.codec
    text = codec.dumps({"a": 1}, context=result_of("one"))
    body = codec.dumps_arguments((), {}, limit=10_000, context="1:t:the-id")
    assert text.startswith("!")
    assert value_signed(bench, given(bench, shown, body=body, given=text, given_by="one")) == [
        {"a": 1}
    ]
    swapped = given(bench, shown, body=body, given=text, given_by="another")
    assert swapped.state == "FAILURE"
    listed = given(bench, shown, body=body, given=[text, None], given_by=["one", "two"])
    assert value_signed(bench, listed) == [[{"a": 1}, None]]


def value_signed(bench: Bench, outcome: Outcome) -> Any:
    assert outcome.failure is None, outcome.failure
    return bench.app.codec.loads(outcome.result or "", context=result_of("the-id"))


FAILED = {"id": "j", "task": "shop.pay", "type": "ValueError", "message": "no", "args": '["no"]',
          "traceback": "Traceback ..."}  # fmt: skip


def test_an_errback_is_told_of_request_exception_and_traceback(bench: Bench) -> None:
    def errback(request: Any, error: Any, traceback: Any, more: int) -> list[Any]:
        return [request.id, request.task, repr(error), traceback, more]

    assert value(given(bench, errback, args=[7], failed=FAILED)) == [
        "j", "shop.pay", "ValueError('no')", "Traceback ...", 7,
    ]  # fmt: skip


def test_an_errback_of_one_parameter_gets_the_id(bench: Bench) -> None:
    assert value(given(bench, lambda id: id, failed=FAILED)) == "j"


def test_an_immutable_errback_gets_nothing(bench: Bench) -> None:
    assert value(given(bench, shown, args=[1], failed=FAILED, immutable=True)) == [1]


@pytest.mark.parametrize(
    "options",
    [{"given": 5}, {"given": "[1"}, {"given": ["1", 2]}, {"failed": 5}, {"failed": {"id": 5}}],
)
def test_what_no_store_writes_fails_the_job_alone(bench: Bench, options: dict[str, Any]) -> None:
    outcome = given(bench, shown, **options)
    assert outcome.state == "FAILURE"
    assert outcome.failure is not None
    assert "cannot be read" in outcome.failure.message


def test_a_replaced_job_has_not_ended(bench: Bench) -> None:
    from litequeue import Ignore
    from litequeue.context import current_request
    from litequeue.flow import Plan, from_text

    def replace() -> None:
        request = current_request.get()
        assert request is not None
        request.plans.append(Plan((), (), (), "the-id"))
        request.is_replaced = True
        raise Ignore("replaced")

    outcome = bench.run(replace)
    assert (outcome.state, outcome.counted) == ("RETRY", False)
    assert from_text(outcome.sequel or "").takes


def test_a_state_of_retry_is_no_way_to_run_again(bench: Bench) -> None:
    from litequeue import Ignore

    def task() -> None:
        bench.app.tasks["t"].update_state(state="RETRY")
        raise Ignore

    assert bench.run(task).state == "IGNORED"
