"""From a canvas to the jobs that are stored: options, kin, checks, signals.  No file is opened."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from litequeue import ImproperlyConfigured, Task, chain, chord, group, signature
from litequeue.context import importing
from litequeue.exceptions import EnqueuedAtImport
from litequeue.flow import MOST_STEPS, Plan
from litequeue.job import Job
from litequeue.result import AsyncResult
from litequeue.result.group_result import GroupResult
from litequeue.signals import after_task_publish, before_task_publish
from tests.unit.bench import NOW, Bench, calling


@pytest.fixture
def add(bench: Bench) -> Any:
    return bench.app.task(name="add")(lambda x, y: x + y)


@pytest.fixture
def total(bench: Bench) -> Any:
    return bench.app.task(name="total")(sum)


def sent(bench: Bench) -> Plan:
    (plan,) = bench.outbox.plans
    return plan


def options(job: Job) -> dict[str, Any]:
    extras: dict[str, Any] = json.loads(job.options or "{}")
    return extras


def test_a_chain_is_jobs_and_edges(bench: Bench, add: Any) -> None:
    result = (add.s(1, 2) | add.s(3)).delay()
    first, second = bench.outbox.jobs
    assert isinstance(result, AsyncResult)
    assert result.id == second.id
    assert [(edge.source, edge.target) for edge in sent(bench).edges] == [(first.id, second.id)]
    assert [step.waits for step in sent(bench).steps] == [False, True]
    assert (first.body, second.body) == ("[[1,2],{}]", "[[3],{}]")


def test_each_step_knows_its_parent_and_the_root(bench: Bench, add: Any) -> None:
    (add.s(1, 2) | add.s(3) | group(add.s(4), add.s(5))).delay()
    first, second, *members = bench.outbox.jobs
    assert [job.parent for job in bench.outbox.jobs] == [None, first.id, second.id, second.id]
    assert "root" not in options(first)
    assert {options(job)["root"] for job in (second, *members)} == {first.id}


def test_what_a_task_sends_is_of_its_family(bench: Bench, add: Any) -> None:
    bench.task(calling((add.s(1, 2) | add.s(3)).delay))
    assert bench.execute(lease_options={"root": "the-root"}).state == "SUCCESS"
    first, second = bench.outbox.jobs
    assert (first.parent, second.parent) == ("the-id", first.id)
    assert options(first)["root"] == options(second)["root"] == "the-root"


def test_a_group_has_a_handle_of_its_own(bench: Bench, add: Any) -> None:
    result = group(add.s(i, i) for i in range(3)).delay()
    assert isinstance(result, GroupResult)
    assert {step.group for step in sent(bench).steps} == {result.id} == {sent(bench).group}


def test_members_are_made_while_they_are_stored(bench: Bench, add: Any, total: Any) -> None:
    made = 0

    def members() -> Iterator[Any]:
        nonlocal made
        for number in range(1_000):
            made += 1
            yield add.s(number, number)

    def store(plan: Plan, **_: Any) -> None:
        next(iter(plan.steps))
        assert made < 10

    bench.outbox.add_workflow = store  # type: ignore[method-assign]  # one that stops at once
    chord(members(), total.s()).delay()
    assert made < 10


class TestOptions:
    def test_each_step_has_its_own(self, bench: Bench, add: Any) -> None:
        steps = add.s(1, 2).set(queue="one", priority=3), add.s(3).set(queue="two", expires=50)
        chain(*steps).delay()
        first, second = bench.outbox.jobs
        assert (first.queue, first.priority, second.queue) == ("one", 3, "two")
        assert second.expires == NOW + 50

    def test_a_countdown_counts_from_where_a_step_could_begin(self, bench: Bench, add: Any) -> None:
        (add.s(1, 2).set(countdown=5) | add.s(3).set(countdown=7)).delay()
        first, second = bench.outbox.jobs
        assert (first.eta, second.eta) == (NOW + 5, None)
        assert options(second)["countdown"] == 7

    def test_those_of_the_call_are_for_what_begins(self, bench: Bench, add: Any) -> None:
        (add.s(1, 2).set(queue="own") | add.s(3)).apply_async(queue="call", countdown=9)
        assert [job.queue for job in bench.outbox.jobs] == ["call", "default"]
        assert bench.outbox.jobs[0].eta == NOW + 9

    def test_those_of_a_group_are_for_every_member(
        self, bench: Bench, add: Any, total: Any
    ) -> None:
        (group(add.s(1, 1), add.s(2, 2)).set(queue="wide") | total.s()).delay()
        assert [job.queue for job in bench.outbox.jobs] == ["wide", "wide", "default"]

    def test_the_task_id_is_that_of_the_result(self, bench: Bench, add: Any) -> None:
        result = (add.s(1, 2) | add.s(3)).apply_async(task_id="mine")
        assert result.id == "mine" == bench.outbox.jobs[-1].id

    def test_the_other_ids_are_made_of_it(self, bench: Bench, add: Any, total: Any) -> None:
        for _ in range(2):
            chord([add.s(1, 1), add.s(2, 2) | add.s(3)], total.s()).apply_async(task_id="mine")
        once, again = bench.outbox.plans
        assert once == again, "who sends it again sends the same jobs"
        assert len({step.job.id for step in once.steps}) == 4

    def test_a_result_that_others_wait_for_is_kept(self, bench: Bench, add: Any) -> None:
        quiet = bench.app.task(name="quiet", ignore_result=True)(lambda *_: 5)
        (quiet.s() | quiet.s()).delay()
        assert [options(job).get("ignore_result") for job in bench.outbox.jobs] == [False, None]

    def test_what_only_freezing_gives_is_not_asked_for(self, bench: Bench, add: Any) -> None:
        canvas = add.s(1, 2) | add.s(3)
        canvas.freeze("frozen", group_id="g", root_id="r", parent_id="p")
        canvas.delay()
        assert bench.outbox.jobs[-1].id == "frozen"

    @pytest.mark.parametrize("when", ["x", float("nan"), [5]])
    def test_a_countdown_that_is_none_is_refused(self, bench: Bench, add: Any, when: Any) -> None:
        with pytest.raises((TypeError, ImproperlyConfigured)):
            (add.s(1, 2) | add.s(3).set(countdown=when)).delay()

    def test_a_task_id_is_a_text(self, bench: Bench, add: Any) -> None:
        with pytest.raises(ImproperlyConfigured, match="task_id is a text"):
            (add.s(1, 2) | add.s(3)).apply_async(task_id=5)

    def test_a_task_id_leaves_room_for_numbers(self, bench: Bench, add: Any) -> None:
        (add.s(1, 2) | add.s(3)).apply_async(task_id="x" * 244)
        with pytest.raises(ImproperlyConfigured, match="at most 244 bytes"):
            (add.s(1, 2) | add.s(3)).apply_async(task_id="x" * 245)
        with pytest.raises(ImproperlyConfigured, match="at most 244 bytes"):
            add.apply_async((1, 2), task_id="x" * 245, link=add.s(3))

    def test_an_errback_of_several_has_its_frozen_id_once(self, bench: Bench, add: Any) -> None:
        errback = add.si(0, 0)
        errback.freeze("mine")
        (add.s(1, 2) | add.s(3) | add.s(4)).on_error(errback).delay()
        ids = [job.id for job in bench.outbox.jobs]
        assert (len(ids), len({*ids}), ids.count("mine")) == (6, 6, 1)

    def test_an_idempotency_key_is_for_one_job(self, bench: Bench, add: Any) -> None:
        with pytest.raises(ImproperlyConfigured, match="task_id"):
            (add.s(1, 2) | add.s(3)).apply_async(idempotency_key="k")

    @pytest.mark.parametrize("policy", ["placeholders", "ignore", "fail"])
    def test_the_policy_of_a_chord(self, bench: Bench, add: Any, total: Any, policy: str) -> None:
        chord([add.s(1, 1)], total.s(), policy=policy).delay()
        assert [fanin.policy for fanin in sent(bench).fanins] == [policy]
        assert not any("policy" in (job.options or "") for job in bench.outbox.jobs)


class TestArguments:
    def test_too_many_are_refused_at_the_call(self, bench: Bench, add: Any) -> None:
        with pytest.raises(TypeError, match=r"the result before it as the first, .* add\(3, 4\)"):
            (add.s(1, 2) | add.s(3, 4)).delay()
        assert bench.outbox.plans == []

    def test_a_chain_may_have_some_of_its_own(self, bench: Bench, add: Any) -> None:
        canvas = chain(add.s(), add.s(3))
        canvas["args"] = (2,)
        canvas.delay(1)
        assert bench.outbox.jobs[0].body == "[[1,2],{}]"

    def test_too_few_are_refused_at_the_call(self, bench: Bench, add: Any) -> None:
        with pytest.raises(TypeError):
            (add.s(1, 2) | add.s()).delay()

    @pytest.mark.parametrize("takes", [True, False])
    def test_the_file_knows_a_body_that_takes_no_list(self, bench: Bench, takes: bool) -> None:
        body = bench.app.task(name="body")(lambda *_: None)
        (group(body.s(), body.s()) | (body.s() if takes else body.si()) | body.si()).delay()
        *members, gets, last = bench.outbox.jobs
        assert options(gets).get("immutable") is (None if takes else True)
        assert not any("immutable" in options(each) for each in (*members, last))

    def test_an_immutable_step_has_its_own_alone(self, bench: Bench, add: Any) -> None:
        (add.s(1, 2) | add.si(3, 4)).delay()
        with pytest.raises(TypeError):
            (add.s(1, 2) | add.si(3)).delay()

    def test_an_errback_may_take_what_it_likes(self, bench: Bench, add: Any) -> None:
        add.s(1, 2).on_error(add.s()).delay()
        assert [edge.kind for edge in sent(bench).edges] == ["error"]

    def test_a_task_that_is_not_known_here(self, bench: Bench, add: Any) -> None:
        (add.s(1, 2) | signature("elsewhere", (1,), app=bench.app)).delay()
        assert bench.outbox.jobs[-1].task == "elsewhere"


class TestLinks:
    def test_link_is_a_workflow(self, bench: Bench, add: Any) -> None:
        result = add.apply_async((1, 2), link=[add.s(3), add.s(4)], link_error=add.si(5, 6))
        head, *linked = bench.outbox.jobs
        assert result.id == head.id
        assert [(edge.target, edge.kind) for edge in sent(bench).edges] == [
            (linked[0].id, "next"), (linked[1].id, "next"), (linked[2].id, "error"),
        ]  # fmt: skip
        assert options(linked[2])["immutable"] is True

    def test_the_options_of_the_call_are_those_of_the_job(self, bench: Bench, add: Any) -> None:
        add.apply_async(
            (1, 2), link=add.s(3), countdown=5, queue="q", task_id="mine", headers={"a": 1},
            retry=False,
        )  # fmt: skip
        head, linked = bench.outbox.jobs
        assert (head.id, head.eta, head.queue) == ("mine", NOW + 5, "q")
        assert options(head)["headers"] == {"a": 1}
        assert (linked.queue, linked.eta) == ("default", None)
        assert bench.outbox.waits == [0.0]

    def test_links_of_a_signature(self, bench: Bench, add: Any) -> None:
        sig = add.s(1, 2)
        sig.link(add.s(3))
        sig.delay()
        assert len(bench.outbox.jobs) == 2

    def test_links_of_the_call_of_a_chain(self, bench: Bench, add: Any) -> None:
        canvas = add.s(1, 2) | add.s(3)
        canvas.apply_async(link=add.s(9), link_error=add.si(0, 0))
        assert len(bench.outbox.jobs) == 5, "an errback for each step"
        assert "link" not in canvas.options, "the canvas itself is as it was"


class TestPeople:
    def test_a_task_with_an_apply_async_of_its_own(self, bench: Bench) -> None:
        class Tenant(Task[..., Any]):
            def apply_async(self, *args: Any, **options: Any) -> Any:
                return super().apply_async(*args, **{**options, "headers": {"tenant": 7}})

        task = bench.app.task(name="t", base=Tenant)(lambda *_: None)
        (task.s() | task.s()).delay()
        assert [options(job)["headers"] for job in bench.outbox.jobs] == [{"tenant": 7}] * 2

    def test_one_that_sends_nothing(self, bench: Bench) -> None:
        class Silent(Task[..., Any]):
            def apply_async(self, *args: Any, **options: Any) -> Any:
                return None

        task = bench.app.task(name="t", base=Silent)(lambda *_: None)
        with pytest.raises(ImproperlyConfigured, match="sends no job"):
            (task.s() | task.s()).delay()

    def test_the_signals_of_publishing(self, bench: Bench, add: Any) -> None:
        told: list[tuple[str, str]] = []

        def before(sender: str, headers: dict[str, Any], **_: Any) -> None:
            assert not bench.outbox.plans
            headers["seen"] = True

        def after(sender: str, headers: dict[str, Any], **_: Any) -> None:
            assert bench.outbox.plans
            told.append((sender, headers["id"]))

        before_task_publish.connect(before)
        after_task_publish.connect(after)
        try:
            (add.s(1, 2) | add.s(3)).delay()
        finally:
            before_task_publish.disconnect(before)
            after_task_publish.disconnect(after)
        assert told == [("add", job.id) for job in bench.outbox.jobs]
        assert all(options(job)["headers"]["seen"] for job in bench.outbox.jobs)

    def test_events(self, bench: Bench, add: Any) -> None:
        bench.app.conf.task_send_sent_event = True
        (add.s(1, 2) | add.s(3)).delay()
        assert len(bench.outbox.events) == 2

    def test_not_while_a_worker_imports(self, bench: Bench, add: Any) -> None:
        with importing("tasks:app"), pytest.raises(EnqueuedAtImport, match="apply_async"):
            (add.s(1, 2) | add.s(3)).delay()

    def test_here_and_now(self, bench: Bench, add: Any, total: Any) -> None:
        bench.app.conf.task_always_eager = True
        assert chord([add.s(1, 1), add.s(2, 2)], total.s()).delay().get() == 6
        assert add.apply_async((1, 2), link=add.s(5)).get() == 3
        assert bench.outbox.plans == []


@pytest.mark.parametrize("what", ["chain", "chord"])
def test_nothing_to_do_is_said(bench: Bench, add: Any, what: str) -> None:
    canvas = chain() if what == "chain" else chord([add.s(1, 1)])
    with pytest.raises(ValueError, match=what):
        canvas.apply_async()


def test_what_a_job_hands_on_has_a_limit(bench: Bench, add: Any) -> None:
    members = [add.s(1, 1)] * MOST_STEPS
    plan = bench.app.plan_workflow(group(members[1:]) | add.si(1, 1), task_id="mine")
    assert (len(tuple(plan.steps)), plan.result) == (MOST_STEPS, "mine")
    with pytest.raises(ValueError, match="10,000 jobs"):
        bench.app.plan_workflow(group(members) | add.si(1, 1))


def test_a_result_that_is_needed_is_kept(bench: Bench) -> None:
    quiet = bench.app.task(name="quiet", ignore_result=True)(lambda *_: 5)
    for is_needed in (False, True):
        plan = bench.app.plan_workflow(quiet.s() | quiet.s(), is_needed=is_needed)
        *_, last = plan.steps
        assert ("ignore_result" in options(last.job)) is is_needed


def test_a_plan_may_report_to_a_group(bench: Bench, add: Any) -> None:
    plan = bench.app.plan_workflow(add.s(1, 2) | add.s(3), member_of="g")
    assert [step.group for step in plan.steps] == [None, "g"]
