"""Results of workflows, from a real worker: families, groups, and how far they are."""

from __future__ import annotations

import asyncio
import io
import json
import threading
from typing import Any

import pytest
from rich.console import Console

from litequeue import chain, chord, group
from litequeue.exceptions import ChordError
from litequeue.progress import watch
from litequeue.result import GroupResult, Progress, ResultSet
from tests.conftest import wait_until
from tests.integration.apps.workflows import add, app, echo, fail, hold, sender, total
from tests.integration.flows import WITHIN, alone, shared, work
from tests.integration.processes import Site

__all__ = ["alone", "shared", "work"]  # fixtures

ELSEWHERE = """
import json, sys
from tests.integration.apps.workflows import app
from litequeue.result import GroupResult
kind, id = sys.argv[1:]
if kind == "group":
    group = app.GroupResult(id)
    restored = GroupResult.restore(id, app=app)
    print(json.dumps([group.get(timeout=20), len(group), [each.id for each in group],
                      group.as_tuple(), restored == group, group.root.id, group.successful(),
                      group.completed_count(), group.progress().fraction]))
else:
    job = app.AsyncResult(id)
    print(json.dumps([job.get(timeout=20), job.as_tuple(), job.root.id, job.progress().total,
                      [[str(each), value] for each, value in job.root.collect(timeout=20)]]))
"""


def elsewhere(place: Site, kind: str, id: str) -> Any:
    """Ask another process, which has the id and nothing else."""
    done = place.run("-c", ELSEWHERE, kind, id, LITEQUEUE_URL=str(place.path))
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_another_process_knows_a_group_by_its_id(work: Site) -> None:
    first = add.s(1, 1).set(task_id="first-of-all")
    sent = chain(first, group(add.s(each) for each in range(3))).delay()
    assert isinstance(sent, GroupResult)
    assert sent.get(timeout=WITHIN) == [2, 3, 4]
    ids = [each.id for each in sent]
    tree = [[sent.id, [["first-of-all", None], None]], [[[id, None], None] for id in ids]]
    assert elsewhere(work, "group", sent.id) == [
        [2, 3, 4], 3, ids, tree, True, "first-of-all", True, 3, 1.0,
    ]  # fmt: skip


def test_another_process_knows_a_family_by_the_last_id(work: Site) -> None:
    sent = chain(echo.s(1), add.s(1), add.s(1)).delay()
    one, two, three = sent.parent.parent.id, sent.parent.id, sent.id
    tree = [[three, [[two, [[one, None], None]], None]], None]
    found = elsewhere(work, "job", sent.id)
    assert found == [3, tree, one, 3, [[one, 1], [two, 2], [three, 3]]]


def test_a_group_made_by_hand_is_restored_elsewhere(work: Site) -> None:
    jobs = [echo.delay(each) for each in range(3)]
    mine = GroupResult[Any]("made-by-hand", jobs, app=app)
    mine.save()
    ids = [each.id for each in jobs]
    tree = [["made-by-hand", None], [[[id, None], None] for id in ids]]
    assert elsewhere(work, "group", "made-by-hand") == [
        [0, 1, 2], 3, ids, tree, True, "made-by-hand", True, 3, 1.0,
    ]  # fmt: skip
    mine.delete()
    assert GroupResult.restore("made-by-hand", app=app) is None


def test_what_a_task_sent_is_collected(work: Site) -> None:
    result = sender.delay()
    result.get(timeout=WITHIN)
    line, some = result.children
    assert some.get(timeout=WITHIN) == [6, 8]
    assert line.children[0].get(timeout=WITHIN) == 4
    values = [value for each, value in result.collect(timeout=WITHIN) if each != result]
    assert values == [2, [6, 8], 4, 6, 8]
    assert result.get_leaf() == 8
    assert line.parent == some.parent == line.root == result


def test_results_stream_as_they_come(work: Site) -> None:
    sent = group(hold.s("stream"), echo.s(1), echo.s(2)).delay()
    streamed = sent.as_completed(timeout=WITHIN)
    assert sorted(each.get() for each in (next(streamed), next(streamed))) == [1, 2]
    assert (sent.ready(), sent.waiting(), sent.completed_count()) == (False, True, 2)
    wait_until(lambda: sent.progress().running == 1)
    assert sent.progress() == Progress(3, 2, 2, 0, 1, 0, 2 / 3)
    work.open_gate("stream")
    assert [each.get() for each in streamed] == ["stream"]
    assert sent.get(timeout=WITHIN) == ["stream", 1, 2]
    assert sorted(str(told["result"]) for _, told in sent.iter_native(timeout=WITHIN)) == [
        "1", "2", "stream",
    ]  # fmt: skip


def test_all_of_them_can_be_awaited(work: Site) -> None:
    async def main() -> list[Any]:
        some = group(echo.s(each) for each in range(3)).delay()
        lone = chord([echo.s(1), echo.s(2)], total.s()).delay()
        seen = [await each async for each in some]
        return [await some, await lone, sorted(seen), await some.aget(timeout=WITHIN)]

    assert asyncio.run(main()) == [[0, 1, 2], 3, [0, 1, 2], [0, 1, 2]]


def test_then_hears_of_the_last_one(work: Site) -> None:
    told = threading.Event()
    group(echo.s(each) for each in range(3)).delay().then(lambda result: told.set())
    assert told.wait(WITHIN)


def test_a_chord_names_the_member_that_failed(work: Site) -> None:
    bad = fail.s().set(task_id="the-culprit")
    sent = chord([echo.s(1), bad], total.s()).delay()
    with pytest.raises(ChordError, match=r"the-culprit raised ValueError\('as asked'\)") as caught:
        sent.get(timeout=WITHIN)
    assert caught.value.member == "the-culprit"
    assert (sent.parent.failed(), sent.parent.completed_count()) == (True, 1)
    assert sent.progress() == Progress(3, 3, 1, 2, 0, 0, 1.0)


def test_a_step_behind_a_failure_raises_it(work: Site) -> None:
    sent = chain(fail.s(), add.s(1), add.s(1)).delay()
    with pytest.raises(ValueError, match="as asked"):
        sent.get(timeout=WITHIN)
    with pytest.raises(ValueError, match="as asked"):
        ResultSet([sent.parent]).get(timeout=WITHIN)


def test_progress_is_shown_while_it_is_awaited(work: Site) -> None:
    on = Console(file=io.StringIO(), force_terminal=False, width=100)
    sent = (group(hold.s("shown"), echo.s(1)) | echo.s()).delay()
    values: list[Any] = []
    waiter = threading.Thread(
        target=lambda: values.append(watch(sent, "both", timeout=WITHIN, console=on, every=0.01))
    )
    waiter.start()
    assert isinstance(on.file, io.StringIO)
    text = on.file.getvalue
    wait_until(lambda: "both: 1/3 (33%), 1 running" in text())
    work.open_gate("shown")
    waiter.join(WITHIN)
    assert values == [["shown", 1]]
    assert text().splitlines()[-1] == "both: 3/3 (100%)"


def test_a_group_is_revoked_as_a_whole(alone: Site) -> None:
    sent = (group(echo.s(1), echo.s(2)) | total.s()).delay()
    sent.parent.revoke(workflow=True)
    assert [sent.state, *(each.state for each in sent.parent)] == ["REVOKED"] * 3
