"""Workflows in workflows in workflows: what goes, and the one error for what does not."""

from __future__ import annotations

import json
import traceback
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from litequeue import chain, chord, group, signature, workflows
from litequeue.canvas import Signature
from litequeue.canvas.nesting import depth_of
from litequeue.exceptions import NotSerializable
from tests.unit.bench import Bench

SAID = """
this workflow is nested {} levels deep, and Python's stack has no room for that (100 levels are
always possible); put its parts side by side in one chain or group, or have a task hand on the inner
ones with self.replace()
""".strip().replace("\n", " ")


def step(number: int = 1) -> Any:
    return signature("add", (number, 1), immutable=True)


def total() -> Any:
    return signature("total", ([],), immutable=True)


def in_headers(inner: Any) -> Any:
    return chord([inner, step()], total())


def in_bodies(inner: Any) -> Any:
    return chord([step()], inner)


def in_groups(inner: Any) -> Any:
    return group([inner, step()])


def in_chains(inner: Any) -> Any:
    return chain(inner, step(), task_id=None)


def in_links(inner: Any) -> Any:
    return _linked("link", inner)


def in_errbacks(inner: Any) -> Any:
    return _linked("link_error", inner)


def _linked(key: str, inner: Any) -> Any:
    return signature("add", (1, 1), options={key: [inner]}, immutable=True)


FORMS = [in_headers, in_bodies, in_groups, in_chains, in_links, in_errbacks]


def nested(form: Callable[[Any], Any], levels: int) -> Any:
    made = step()
    for _ in range(levels - 1):
        made = form(made)
    return made


@pytest.fixture(autouse=True)
def tasks(bench: Bench) -> None:
    """Have the tasks that the steps name."""
    bench.app.task(name="add")(lambda x, y=0: x)
    bench.app.task(name="total")(sum)
    bench.app.set_current()


@pytest.mark.parametrize("form", FORMS)
def test_a_hundred_levels_are_sent_joined_and_read_back(bench: Bench, form: Any) -> None:
    made = nested(form, 100)
    assert depth_of(made) == 100
    back = signature(json.loads(json.dumps(made)))
    (step() | back).apply_async()
    assert len(bench.outbox.jobs) >= 100


@pytest.mark.parametrize("form", [in_groups, in_chains, in_links])
def test_what_the_stack_has_no_room_for_is_one_error_that_counts(bench: Bench, form: Any) -> None:
    with pytest.raises(ValueError, match="501 levels") as raised:
        nested(form, 501).apply_async()
    assert str(raised.value) == SAID.format("501")
    assert len(traceback.format_exception(raised.value)) < 100
    assert bench.outbox.jobs == []


@pytest.mark.parametrize(
    "join", [lambda deep: deep | step(), lambda deep: step() | deep], ids=["before", "after"]
)
def test_so_it_is_for_what_is_joined(join: Any) -> None:
    with pytest.raises(ValueError, match=r"nested 501 levels deep.*side by side"):
        join(nested(in_chains, 501))


def test_so_it_is_for_what_is_linked_to_a_call(bench: Bench) -> None:
    with pytest.raises(ValueError, match="502 levels"):
        bench.app.tasks["add"].apply_async((1,), link=nested(in_links, 501))


def test_so_it_is_for_what_is_handed_on(bench: Bench) -> None:
    deep = nested(in_chains, 501)

    def hands_on(self: Any) -> None:
        self.replace(deep)

    bench.task(hands_on, bind=True)
    outcome = bench.execute()
    assert outcome.state == "FAILURE"
    assert outcome.failure is not None
    assert outcome.failure.type == "ValueError"
    assert outcome.failure.message == SAID.format("501")
    assert len((outcome.failure.traceback or "").splitlines()) < 100
    with pytest.raises(ValueError, match="501 levels"):
        workflows.plan_for(bench.app, deep)


def test_so_it_is_for_what_is_read_back() -> None:
    plain: dict[str, Any] = json.loads(json.dumps(step()))
    for _ in range(500):
        kwargs = {"tasks": [plain], "kwargs": {}}
        plain = {**plain, "task": "celery.chain", "subtask_type": "chain", "kwargs": kwargs}
    with pytest.raises(ValueError, match=r"nested too deep.*self\.replace\(\)"):
        signature(plain)


def test_an_argument_nested_too_deep_is_refused_where_it_is_sent(bench: Bench) -> None:
    with pytest.raises(NotSerializable, match="nested deeper than 100 levels"):
        bench.app.tasks["add"].delay(nested(in_groups, 100))


def test_one_that_holds_itself_is_another_error() -> None:
    own = step()
    own.options["link"] = [own]
    with pytest.raises(ValueError, match="holds itself"):
        own.apply_async()


def test_somebody_elses_recursion_is_not_taken_for_it(bench: Bench) -> None:
    def members(number: int) -> Iterator[Any]:
        yield from members(number + 1)

    with pytest.raises(RecursionError):
        group(members(0)).apply_async()


def test_a_value_that_no_serializer_takes_stays_that_error(bench: Bench) -> None:
    with pytest.raises(NotSerializable, match="cannot be stored"):
        group([signature("add", (object(),))]).apply_async()


def test_a_generator_is_not_asked_for_its_depth() -> None:
    def members() -> Iterator[Any]:
        yield pytest.fail("it was asked")

    assert depth_of(group(members())) == 1


def clones(build: Callable[[], Any], monkeypatch: pytest.MonkeyPatch) -> int:
    """Return how many signatures are copied by ``build``."""
    count = 0
    real = Signature.clone

    def counting(self: Any, *args: Any, **kwargs: Any) -> Any:
        nonlocal count
        count += 1
        return real(self, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(Signature, "clone", counting)
        build()
    return count


def by_pipes(pairs: int) -> Any:
    made: Any = step()
    for _ in range(pairs):
        made = made | group([step(), step()]) | total()
    return made


def at_once(pairs: int) -> Any:
    parts = [part for _ in range(pairs) for part in (group([step(), step()]), total())]
    return chain(*parts)


@pytest.mark.parametrize("build", [by_pipes, at_once])
def test_twice_as_many_groups_in_a_row_are_no_eight_times_the_work(
    build: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    few, many = (clones(lambda n=n: build(n), monkeypatch) for n in (8, 16))
    assert many < 5 * few


def test_joining_leaves_both_sides_as_they_were() -> None:
    left, right = at_once(3), at_once(2)
    before = json.dumps([left, right])
    left | right
    left | group([step(), step()]) | step()
    assert json.dumps([left, right]) == before
