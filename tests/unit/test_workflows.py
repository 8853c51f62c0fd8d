"""Workflows: what `chain`, `group` and `chord` are that Celery's differential does not see."""

from __future__ import annotations

import itertools
import json
import pickle
from collections.abc import Iterator
from typing import Any, ClassVar

import pytest

from litequeue import Ignore, Task
from litequeue.canvas import Signature, chain, chord, chunks, group, signature, xmap, xstarmap
from litequeue.canvas.lazily import REMEMBERED, Lazily
from litequeue.canvas.plan import COLLECT, plan
from litequeue.flow import Edge, FanIn, Plan
from litequeue.job import Job
from litequeue.result.group_result import GroupResult
from tests.unit.bench import Bench


@pytest.fixture
def add(bench: Bench) -> Task[..., Any]:
    """A task that adds numbers, and the numbers of lists."""

    def total(*values: Any) -> int:
        return sum(total(*value) if isinstance(value, list) else value for value in values)

    return bench.task(total)


def planned(sig: Any, **options: Any) -> Plan:
    """Return the plan of a workflow whose jobs have the ids "1", "2" and so on."""
    ids = map(str, itertools.count(1))
    made = plan(
        sig, lambda sig, id, kin: Job(id, sig.task, repr(sig), "q"), ids.__next__, **options
    )
    return Plan([*made.steps], [*made.edges], made.fanins, made.result, made.group)


def seen(made: Plan) -> list[Any]:
    """Return (id, call, waits, group) of every step."""
    return [(step.job.id, step.job.body, step.waits, step.group) for step in made.steps]


class TestPlan:
    def test_one_call(self, add: Task[..., Any]) -> None:
        made = planned(add.s(1), args=(5,), task_id="mine")
        assert seen(made) == [("mine", "t(5, 1)", False, None)]
        assert (made.result, made.group, made.edges, made.fanins) == ("mine", None, [], [])

    def test_a_chain(self, add: Task[..., Any]) -> None:
        made = planned(chain(add.s(1), add.si(2), add.s(3)))
        assert [step.job.id for step in made.steps] == ["2", "3", "1"]
        assert [step.waits for step in made.steps] == [False, True, True]
        assert made.edges == [Edge("2", "3", "si"), Edge("3", "1", "next")]
        assert made.result == "1"

    def test_a_group(self, add: Task[..., Any]) -> None:
        made = planned(group(add.s(1), group(add.s(2))))
        assert (made.result, made.group) == ("1", "1")
        assert made.fanins == [FanIn("1")]
        assert seen(made) == [("2", "t(1)", False, "1"), ("3", "t(2)", False, "1")]

    def test_a_chord(self, add: Task[..., Any]) -> None:
        made = planned(group(add.s(1), add.s(2)) | add.s(3) | add.s(4))
        assert made.fanins == [FanIn("2", "3")]
        assert made.edges == [Edge("3", "1")]
        assert [step.group for step in made.steps] == ["2", "2", None, None]
        assert [step.waits for step in made.steps] == [False, False, True, True]

    def test_every_member_gets_what_comes_before_a_group(self, add: Task[..., Any]) -> None:
        made = planned(add.s(1) | group(add.s(2), add.s(3)))
        first, *members = (step.job.id for step in made.steps)
        assert made.edges == [Edge(first, each) for each in members]
        assert made.fanins == [FanIn(made.result)]

    def test_a_job_takes_the_list_that_no_job_can(self, add: Task[..., Any]) -> None:
        made = planned(group(add.s(1), add.s(2)) | group(add.s(3), add.s(4)))
        collects = next(step.job for step in made.steps if step.job.task == COLLECT)
        assert made.fanins[0].target == collects.id
        assert {edge.source for edge in made.edges} == {collects.id}
        assert {edge.kind for edge in made.edges} == {"next"}

    def test_an_immutable_body_needs_no_other_job(self, add: Task[..., Any]) -> None:
        made = planned(group(add.s(1), add.s(2)) | add.si(5))
        assert made.fanins == [FanIn("2", "1")]
        assert made.edges == []
        assert [step.job.id for step in made.steps] == ["3", "4", "1"]

    def test_a_list_within_a_list(self, add: Task[..., Any]) -> None:
        made = planned(group(add.s(1) | group(add.s(2), add.s(3)), add.s(4)))
        outer, inner = made.fanins
        assert inner.target in {step.job.id for step in made.steps if step.group == outer.group}

    def test_links(self, add: Task[..., Any]) -> None:
        sig = add.s(1)
        sig.link(add.s(2))
        sig.link_error(add.s(3))
        made = planned(sig)
        assert made.edges == [Edge("1", "2", "next"), Edge("1", "3", "error")]
        assert made.result == "1"

    def test_frozen_ids_stay(self, add: Task[..., Any]) -> None:
        sig: Any = add.s(1) | group(add.s(2), add.s(3)) | add.s(4)
        result = sig.freeze()
        header = result.parent
        made = planned(sig)
        ids = [header.parent.id, *(member.id for member in header), result.id]
        assert [step.job.id for step in made.steps] == ids
        assert made.result == result.id
        assert made.fanins == [FanIn(header.id, result.id)]

    def test_members_are_made_as_they_are_stored(self, add: Task[..., Any]) -> None:
        made: list[int] = []

        def members() -> Iterator[Any]:
            for number in range(100):
                made.append(number)
                yield add.s(number)

        ids = map(str, itertools.count())
        sig: Any = add.s() | group(members()) | add.s()
        lazy = plan(
            sig,
            lambda sig, id, kin: Job(id, sig.task, "", "q"),
            ids.__next__,
        )
        steps = iter(lazy.steps)
        for _ in range(11):
            next(steps)
        assert len(made) <= 12
        assert sum(1 for _ in steps) == 91
        assert sum(1 for _ in lazy.edges) == 100

    def test_nothing(self, add: Task[..., Any]) -> None:
        with pytest.raises(ValueError, match="chain of nothing"):
            planned(chain())
        with pytest.raises(ValueError, match="chord without a body"):
            planned(chord([add.s()]))


def skip() -> None:
    """Raise what is no failure, and leaves no result."""
    raise Ignore


class TestPolicies:
    @pytest.fixture
    def fail(self, bench: Bench) -> Task[..., Any]:
        return bench.app.task(name="fail")(lambda: 1 / 0)

    def test_what_makes_no_sense_is_refused_where_it_is_said(self, add: Task[..., Any]) -> None:
        for act in (
            lambda: chord([add.s()], add.s(), policy="forgive"),
            lambda: group(add.s(), policy="forgive"),
            lambda: group(add.s()).set(policy="forgive"),
        ):
            with pytest.raises(
                ValueError, match="one of fail, placeholders, ignore, not 'forgive'"
            ):
                act()
        for sig in (add.s(), add.s() | add.s()):
            with pytest.raises(ValueError, match="give it to a group or to a chord"):
                sig.set(policy="ignore")

    def test_a_group_brings_it_into_the_chord(self, add: Task[..., Any]) -> None:
        header = group(add.s(1), add.s(2)).set(policy="ignore")
        for sig in (
            header | add.s(),
            chain(header, add.s()),
            chord(header, add.s()),
            chord(json.loads(json.dumps(header)), add.s()),
            (header | add.s()).clone(),
            signature(json.loads(json.dumps(header | add.s()))),
        ):
            assert sig.options == {"policy": "ignore"}
            assert planned(sig).fanins[0].policy == "ignore"
        own = chord(header, add.s(), policy="placeholders")
        assert planned(own).fanins[0].policy == "placeholders"
        later = planned(add.s() | header | add.s()).fanins
        assert [each.policy for each in later] == ["ignore"]

    def test_so_it_does_its_other_options_but_not_its_ids(self, add: Task[..., Any]) -> None:
        header: Any = group(add.s(1), add.s(2)).set(queue="wide")
        header.freeze()
        assert chord(header, add.s()).options == {"queue": "wide"}

    def test_here_and_now(self, bench: Bench, add: Task[..., Any], fail: Task[..., Any]) -> None:
        header = [add.s(1), fail.s() | add.s(5), group(fail.s()), add.s(2)]
        body = bench.app.task(name="body")(lambda values: values)
        header.append(bench.app.task(name="skip")(skip).s())
        values = {
            policy: chord(header, body.s(), policy=policy).apply().get()
            for policy in ("ignore", "placeholders")
        }
        assert values == {"ignore": [1, 2], "placeholders": [1, None, None, 2, None]}
        with pytest.raises(ZeroDivisionError):
            chord(header, body.s(), policy="fail").apply()
        assert group(add.s(1), add.s(2), policy="ignore").apply().get() == [1, 2]


class TestWrongArguments:
    """The commonest mistakes: a task without ``.s()``, a call instead of it, a result."""

    WAYS: ClassVar[dict[str, Any]] = {
        "s | t": (lambda t, s: s | t, "a chain"),
        "t | s": (lambda t, s: t | s, "a chain"),
        "chain(t)": (lambda t, s: chain(t), "a chain"),
        "chain(s, t)": (lambda t, s: chain(s, t), "a chain"),
        "chain([s, t])": (lambda t, s: chain([s, t]), "a chain"),
        "group(t)": (lambda t, s: group(t), "a group"),
        "group(s, t)": (lambda t, s: group(s, t), "a group"),
        "group([t])": (lambda t, s: group([t]), "a group"),
        "group of a generator": (lambda t, s: group(each for each in [t]).tasks[0], "a group"),
        "chord([t], s)": (lambda t, s: chord([s, t], s), "the header of a chord"),
        "chord(t, s)": (chord, "the header of a chord"),
        "chord of a generator": (lambda t, s: chord(iter([t])).tasks[0], "the header of a chord"),
        "chord([s], t)": (lambda t, s: chord([s], t), "the body of a chord"),
        "chord([s])(t)": (lambda t, s: chord([s])(t), "the body of a chord"),
        "link": (lambda t, s: s.link(t), "what is linked"),
        "on_error": (lambda t, s: s.on_error(t), "what is linked"),
    }

    @pytest.mark.parametrize("way", WAYS)
    def test_what_is_no_signature(self, bench: Bench, add: Task[..., Any], way: str) -> None:
        make, what = self.WAYS[way]
        with pytest.raises(TypeError, match=rf"^{what} is .* t is a task, not .* t\.s\(…\)$"):
            make(add, add.s(1))
        for value in (5, None, "t", add.s(1).freeze(), print):
            if value is None and what == "the body of a chord":
                continue  # it may come later
            with pytest.raises(TypeError, match=rf"^{what} is .* is none; write task\.s\(…\)"):
                make(value, add.s(1))

    def test_a_list_beside_a_bar_is_no_group(self, add: Task[..., Any]) -> None:
        for join in (lambda: add.s() | [add.s()], lambda: [add.s()] | add.s()):
            with pytest.raises(TypeError, match=r"is none; write group\(\[…\]\)"):
                join()

    def test_what_is_no_task(self, add: Task[..., Any]) -> None:
        for make in (signature, lambda value: add.apply_async(link=value)):
            with pytest.raises(TypeError, match="a task or of the name of one, not of <built-in"):
                make(print)

    def test_chunks_of_nothing(self, add: Task[..., Any]) -> None:
        for size in (0, -1, "2", 1.5):
            with pytest.raises(ValueError, match=f"1 or more, not {size!r}"):
                add.chunks([(1, 2)], size)  # type: ignore[arg-type]  # that is the mistake

    def test_the_body_of_a_chord_may_come_last(self, bench: Bench, add: Task[..., Any]) -> None:
        sig = chord([add.s(1), add.s(2)])
        for send in (
            lambda: sig(add.s(5)),
            lambda: sig.apply_async(kwargs={"body": add.s(5)}),
            lambda: sig.delay(body=add.s(5)),
        ):
            send()
            (made,) = bench.outbox.plans[-1:]
            assert [json.loads(step.job.body)[0] for step in made.steps] == [[1], [2], [5]]
        assert sig.body is None

    def test_a_policy_of_a_call(self, bench: Bench, add: Task[..., Any]) -> None:
        chord([add.s(1)], add.s()).apply_async(policy="ignore")
        assert bench.outbox.plans[-1].fanins[0].policy == "ignore"
        for sig in (chord([add.s(1)], add.s()), group(add.s(1))):
            with pytest.raises(ValueError, match="one of fail"):
                sig.apply_async(policy="forgive")


class TestLazily:
    def test_it_makes_no_more_than_is_looked_at(self) -> None:
        source = iter(range(100))
        items = Lazily(source)
        assert bool(items)
        assert items[3] == 3
        assert next(source) == 4

    def test_it_is_a_list(self) -> None:
        items = Lazily(iter("abc"))
        assert json.dumps(items) == '["a", "b", "c"]'
        assert items == [*"abc"] == [*items]
        assert (len(items), items[-1], items[1:], "b" in items) == (3, "c", [*"bc"], True)
        assert type(pickle.loads(pickle.dumps(items))) is list

    def test_what_is_small_may_be_sent_twice(self) -> None:
        items = Lazily(iter(range(REMEMBERED)))
        assert [*items.stream()] == [*items.stream()]

    def test_what_is_large_may_not(self) -> None:
        items = Lazily(iter(range(REMEMBERED + 2)))
        assert sum(1 for _ in items.stream()) == REMEMBERED + 2
        with pytest.raises(RuntimeError, match="make the group of a list"):
            len(items)
        with pytest.raises(RuntimeError, match="make the group of a list"):
            [*items.stream()]


class TestEager:
    def test_the_result_of_a_group_is_a_list(self, add: Task[..., Any]) -> None:
        result = group(add.s(1), group(add.s(2)) | group(add.s(3), add.s(4))).apply()
        assert isinstance(result, GroupResult)
        assert result.get() == [1, [5, 6]]
        assert (result.ready(), result.successful()) == (True, True)

    def test_results_have_parents(self, add: Task[..., Any]) -> None:
        result = chain(add.s(1), add.s(2)).apply()
        assert (result.get(), result.parent.get(), result.parent.parent) == (3, 1, None)

    def test_maps(self, bench: Bench, add: Task[..., Any]) -> None:
        assert repr(xmap(add.s(), [1, 2])) == "[t(x) for x in [1, 2]]"
        assert repr(xstarmap(add.s(), [(1, 2)])) == "[t(*x) for x in [(1, 2)]]"
        parts = chunks(add.s(), ((n, n) for n in range(5)), 2).group()
        assert [part.kwargs["it"] for part in parts.tasks] == [
            [(0, 0), (1, 1)], [(2, 2), (3, 3)], [(4, 4)],
        ]  # fmt: skip

    def test_a_group_has_no_callbacks(self, add: Task[..., Any]) -> None:
        for name in ("link", "link_error"):
            with pytest.raises(TypeError, match=name):
                group(add.s()).apply_async(None, None, None, **{name: add.s()})

    def test_kinds(self, add: Task[..., Any]) -> None:
        sig = add.s(1) | add.s(2)
        assert type(sig) is type(chain(add.s(), add.s())) is chain
        assert isinstance(group(add.s()) | add.s(), chord)
        assert isinstance(signature(json.loads(json.dumps(sig))), chain)
        assert isinstance(sig, Signature)
