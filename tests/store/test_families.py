"""Handles on workflows, as the file knows them: every handle here is made by its id alone."""

from __future__ import annotations

import asyncio
import json
import pickle
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import pytest

from litequeue import LiteQueue, chain, chord, group
from litequeue.exceptions import (
    ChordError,
    DuplicateJob,
    IncompleteStream,
    JobNotFound,
    TaskRevokedError,
    TimeoutError,
)
from litequeue.result import AsyncResult, GroupResult, Progress, ResultSet, result_from_tuple
from litequeue.result.by_id import Groups
from litequeue.result.waiting import Watched
from litequeue.store import Database
from tests.conftest import wait_until
from tests.store import steps
from tests.store.homes import StoreHome

TASKS = frozenset({"t", "celery.accumulate"})


class Place:
    """An app and its file, in which every job returns its id."""

    def __init__(self, path: Path) -> None:
        self.app = LiteQueue(path, task_default_queue="default")
        self._task = self.app.task(lambda *args: None, name="t")

    @property
    def database(self) -> Database:
        return self.app.store.database

    def call(self, id: str) -> Any:
        return self._task.s().set(task_id=id)

    def calls(self, ids: str) -> list[Any]:
        return [self.call(id) for id in ids]

    def claim(self, limit: int = 50) -> list[Any]:
        return steps.claim(self.database, limit, now=self.app.clock.now(), tasks=TASKS)

    def run(self, *, failing: Collection[str] = (), only: int = 0) -> None:
        while leases := self.claim(only or 50):
            outcomes = [
                steps.failure(lease, f"no {lease.id}")
                if lease.id in failing
                else steps.success(lease, json.dumps(lease.id))
                for lease in leases
            ]
            steps.step(self.database, *outcomes, now=self.app.clock.now())
            if only:
                return

    def job(self, id: str) -> AsyncResult[Any]:
        return self.app.AsyncResult(id)

    def group(self, sent: Any) -> GroupResult[Any]:
        assert isinstance(sent, GroupResult)
        return self.app.GroupResult(sent.id)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    place = Place(tmp_path / "q.sqlite")
    yield place
    place.app.close()


def names(*results: Any) -> list[Any]:
    """Show a job as its id, a group as the list of its members."""
    return [
        names(*each) if isinstance(each, GroupResult) else None if each is None else each.id
        for each in results
    ]


class TestFamily:
    """What Celery 5.7's handles say that made the workflow."""

    def test_a_chain(self, place: Place) -> None:
        sent = chain(place.calls("abc"))()
        assert sent.as_tuple() == (("c", (("b", (("a", None), None)), None)), None)
        assert sent.as_list() == ["c", "b", "a"]
        assert names(sent.root, place.job("a").root, place.job("a").parent) == ["a", "a", None]
        assert place.job("a").children == [], "nothing is sent yet"
        place.run()
        assert [names(*place.job(id).children) for id in "abc"] == [["b"], ["c"], []]

    def test_a_group_after_a_job(self, place: Place) -> None:
        sent = place.group(chain(place.call("a"), group(place.calls("bc")))())
        place.run()
        assert names(*place.job("a").children) == [["b", "c"]]
        assert names(sent.parent, sent.root) == ["a", "a"]
        own = sent.id, (("a", None), None)
        assert sent.as_tuple() == (own, [(("b", None), None), (("c", None), None)])
        assert sent.as_list() == [sent.id, "a"]

    def test_a_chord_in_a_chain(self, place: Place) -> None:
        sent = chain(place.call("a"), group(place.calls("bc")), place.call("d"))()
        place.run()
        assert names(sent, sent.parent, sent.parent.parent) == ["d", ["b", "c"], "a"]
        assert [names(*place.job(id).children) for id in "abcd"] == [[["b", "c"]], [], [], []]
        assert names(sent.root) == ["a"]
        header = (sent.parent.id, (("a", None), None)), [(("b", None), None), (("c", None), None)]
        assert sent.as_tuple() == (("d", header), None)
        assert sent.as_list() == ["d", sent.parent.id, "a"]

    def test_a_group_of_chains(self, place: Place) -> None:
        sent = place.group(group(chain(place.calls("ab")), place.call("c"))())
        place.run()
        assert names(sent, sent.parent, sent.root) == [["b", "c"], None, ["b", "c"]]
        assert names(*place.job("a").children) == ["b"]
        assert names(place.job("b").root) == ["a"]

    def test_a_group_of_chains_after_a_job(self, place: Place) -> None:
        inner = chain(place.calls("ab"))
        sent = place.group(chain(place.call("z"), group(inner, place.call("c")))())
        place.run()
        assert names(*place.job("z").children, sent.parent) == [["b", "c"], "z"]
        assert names(*place.job("a").children) == ["b"]
        members = [(("b", (("a", None), None)), None), (("c", None), None)]
        assert sent.as_tuple()[1] == members

    def test_a_group_of_chords_after_a_job(self, place: Place) -> None:
        inner = chord(place.calls("ab"), place.call("d"))
        sent = place.group(chain(place.call("z"), group(inner, place.call("c")))())
        place.run()
        assert names(*place.job("z").children, sent.parent) == [["d", "c"], "z"]
        assert names(place.job("d").parent, *place.job("a").children) == [["a", "b"]]
        header = (place.job("d").parent.id, None), [(("a", None), None), (("b", None), None)]
        assert sent.as_tuple()[1] == [(("d", header), None), (("c", None), None)]

    def test_a_chord_within_a_member(self, place: Place) -> None:
        inner = chain(place.call("x"), group(place.calls("ab")), place.call("d"))
        sent = place.group(group(inner, place.call("c"))())
        header = place.job("d").parent
        own = (header.id, (("x", None), None)), [(("a", None), None), (("b", None), None)]
        assert sent.as_tuple()[1] == [(("d", own), None), (("c", None), None)]

    def test_a_group_within_a_member(self, place: Place) -> None:
        inner = chain(place.call("a"), group(place.calls("bc")))
        group(inner, place.call("d"))()
        place.run()
        assert names(*place.job("a").children) == [["b", "c"]]

    def test_a_group_after_a_group(self, place: Place) -> None:
        sent = place.group(chain(group(place.calls("ab")), group(place.calls("cd")))())
        place.run()
        assert names(sent.parent, place.job("c").parent, place.job("c").root) == [["a", "b"]] * 3
        assert [*place.job("a").children, *place.job("c").children] == []

    def test_what_a_task_sends_is_its_child(self, place: Place) -> None:
        place.call("s").apply_async()
        steps.put(place.database, "x", "y", parent="s")
        assert names(*place.job("s").children) == ["x", "y"]
        assert names(place.job("y").parent, place.job("y").root) == ["s", "s"]

    def test_what_was_stopped_and_errbacks_are_nobodys_children(self, place: Place) -> None:
        sent = chain(place.call("a").on_error(place.call("e")), *place.calls("bc"))()
        place.run(failing="a")
        assert place.job("a").children == []
        assert names(place.job("e").parent, sent.root) == ["a", "a"]

    def test_an_errback_that_was_not_needed_is_nobodys_child(self, place: Place) -> None:
        chain(place.call("a").on_error(place.call("e")), place.call("b"))()
        place.run()
        assert place.job("a").children == ["b"]

    def test_the_body_of_a_chord_that_a_task_sends_is_nobodys_child(self, place: Place) -> None:
        place.call("s").apply_async()
        chord(place.calls("ab"), place.call("c"))()
        with place.database.write(durable=False) as connection:
            connection.execute("UPDATE litequeue_job SET parent = 's' WHERE id IN ('a', 'b', 'c')")
        assert names(*place.job("s").children) == [["a", "b"]]

    def test_a_lone_member_stands_for_itself(self, place: Place) -> None:
        group([chain(place.calls("ab"))])()
        place.run()
        assert place.job("a").children == ["b"]

    def test_an_unknown_job_has_none(self, place: Place) -> None:
        nobody = place.job("nobody")
        assert (nobody.parent, nobody.children, nobody.as_list()) == (None, [], ["nobody"])
        assert nobody.root == "nobody"

    def test_rows_in_a_circle_have_an_end(self, place: Place) -> None:
        place.call("a").apply_async()
        with place.database.write(durable=False) as connection:
            connection.execute("UPDATE litequeue_job SET parent = 'a'")
        assert place.job("a").root == "a"

    def test_handles_that_were_given_a_parent_keep_it(self, place: Place) -> None:
        mine = AsyncResult[Any]("m", app=place.app, parent=place.job("p"))
        assert (mine.parent, mine.root, mine.as_list()) == ("p", "p", ["m", "p"])
        theirs = GroupResult[Any]("g", [mine], place.job("q"), app=place.app)
        assert (theirs.parent, theirs.root) == ("q", "q")

    def test_handles_travel_as_tuples(self, place: Place) -> None:
        sent = chain(place.call("a"), group(place.calls("bc")), place.call("d"))()
        again = result_from_tuple(json.loads(json.dumps(sent.as_tuple())), place.app)
        assert again.as_tuple() == sent.as_tuple()
        assert names(again.parent, again.parent.parent) == [["b", "c"], "a"]
        assert result_from_tuple(sent) is sent
        assert result_from_tuple("a", place.app) == "a"


class TestDescent:
    def test_all_that_came_of_a_job(self, place: Place) -> None:
        chain(place.call("a"), group(place.calls("bc")))()
        place.run()
        (a,) = [place.job("a")]
        (children,) = a.children
        pairs = [(parent and parent.id, each.id) for parent, each in a.iterdeps()]
        g = children.id
        assert pairs == [(None, "a"), ("a", g), (g, "b"), (g, "c")]
        assert [value for _, value in a.collect()] == ["a", ["b", "c"], "b", "c"]
        assert a.get_leaf() == "c"
        assert [*map(str, a.graph.topsort())] == ["b", "c", g, "a"]
        assert a.build_graph(intermediate=True).valency_of(a) == 3

    def test_it_is_complete_or_refused(self, place: Place) -> None:
        chain(place.calls("abc"))()
        place.run(only=1)
        a = place.job("a")
        with pytest.raises(IncompleteStream, match="b has not ended"):
            list(a.iterdeps())
        with pytest.raises(IncompleteStream):
            a.graph  # noqa: B018 - that is the point
        assert [each.id for _, each in a.iterdeps(intermediate=True)] == ["a", "b"]

    def test_values_are_those_of_get(self, place: Place) -> None:
        place.call("a").apply_async()
        place.run(failing="a")
        with pytest.raises(ValueError, match="no a"):
            list(place.job("a").collect())
        ((_, error),) = place.job("a").collect(propagate=False)
        assert repr(error) == "ValueError('no a')"


class TestErrors:
    def test_the_body_of_a_chord_tells_who_failed(self, place: Place) -> None:
        sent = chord(place.calls("abc"), place.call("d"))()
        place.run(failing="b")
        with pytest.raises(ChordError, match=r"b raised ValueError\('no b'\)") as caught:
            place.job(sent.id).get(timeout=5)
        assert caught.value.member == "b"
        assert type(place.job("d").result) is ChordError
        with pytest.raises(ValueError, match="no b"):
            sent.parent.get()

    def test_a_step_that_never_ran_raises_what_stopped_it(self, place: Place) -> None:
        sent = chain(place.calls("abc"))()
        place.run(failing="a")
        with pytest.raises(ValueError, match="no a"):
            sent.get(timeout=5)
        assert (sent.state, place.job("b").state) == ("FAILURE", "FAILURE")

    def test_a_whole_workflow_is_revoked(self, place: Place) -> None:
        sent = chain(place.call("a"), group(place.calls("bc")), place.call("d"))()
        other = place.call("x").apply_async()
        assert sent.revoke(workflow=True)
        assert [place.job(id).state for id in "abcd"] == ["REVOKED"] * 4
        assert other.state == "PENDING"
        with pytest.raises(TaskRevokedError):
            sent.get(timeout=5)

    def test_of_a_group_too(self, place: Place) -> None:
        sent = place.group(chain(place.call("a"), group(place.calls("bc")))())
        sent.revoke(workflow=True)
        assert [place.job(id).state for id in "abc"] == ["REVOKED"] * 3

    def test_of_a_set_each_once(self, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
        first = place.group(group(place.calls("abc"))())
        chain(place.calls("xy"))()
        asked: list[str] = []
        revoke = place.app.store.revoke_workflow
        monkeypatch.setattr(
            place.app.store,
            "revoke_workflow",
            lambda id, **how: asked.append(id) or revoke(id, **how),
        )
        ResultSet([*first, place.job("y")], app=place.app).revoke(workflow=True)
        assert [place.job(id).state for id in "abcxy"] == ["REVOKED"] * 5
        assert asked == ["a", "y"]


class TestGroup:
    def test_it_is_read_when_it_is_looked_at(self, place: Place) -> None:
        sent = place.group(group(place.calls("abc"))())
        assert repr(sent) == f"<GroupResult: {sent.id}>"
        assert (len(sent), bool(sent), str(sent)) == (3, True, sent.id)
        assert [sent[0].id, sent[2].id, sent[-1].id] == ["a", "c", "c"]
        assert repr(sent) == f"<GroupResult: {sent.id} [a, b, c]>"
        assert names(sent) == [["a", "b", "c"]]
        assert sent.children == sent.results
        with pytest.raises(IndexError):
            place.group(sent)[3]
        assert "b" in place.group(sent)

    def test_nested_groups_are_one_list(self, place: Place) -> None:
        sent = place.group(group(place.call("a"), group(place.calls("bc")))())
        place.run()
        assert sent.get(timeout=5) == ["a", "b", "c"]

    @pytest.mark.parametrize("is_own", [False, True])
    def test_it_counts(self, place: Place, is_own: bool) -> None:
        sent = place.group(group(place.calls("abcde"))())
        if is_own:
            assert len(sent.results) == 5

        def verdict() -> tuple[int, bool, bool, bool, bool]:
            return (
                sent.completed_count(),
                sent.successful(),
                sent.failed(),
                sent.ready(),
                sent.waiting(),
            )

        assert verdict() == (0, False, False, False, True)
        place.run(only=2)
        assert verdict() == (2, False, False, False, True)
        place.job("e").revoke()
        assert verdict() == (2, False, False, False, True)
        place.run(failing="c")
        assert verdict() == (3, False, True, True, False)
        assert sent.progress() == Progress(5, 5, 3, 2, 0, 0, 1.0)

    def test_a_revoked_member_is_no_failure(self, place: Place) -> None:
        sent = place.group(group(place.calls("ab"))())
        place.job("a").revoke()
        place.run()
        assert (sent.ready(), sent.failed(), sent.successful()) == (True, False, False)

    def test_its_progress_is_one_query(self, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
        place.call("x").apply_async()
        (other,) = place.claim()
        sent = place.group(group(place.calls("abcd"))())
        place.run(only=1)
        assert len(place.claim(2)) == 2
        assert other.id == "x", "which runs, too"
        reads: list[int] = []
        read = place.database.read
        monkeypatch.setattr(place.database, "read", lambda: reads.append(1) or read())
        assert sent.progress() == Progress(4, 1, 1, 0, 2, 1, 0.25)
        assert (len(reads), sent.ready(), sent.completed_count()) == (1, False, 1)
        assert len(reads) == 3

    def test_an_unknown_group_has_not_ended(self, place: Place) -> None:
        nobody = place.app.GroupResult("nobody")
        assert (nobody.ready(), nobody.successful(), nobody.failed()) == (False, False, False)
        assert (nobody.completed_count(), nobody.waiting()) == (0, True)
        verbs: list[Any] = [
            nobody.get, lambda: list(nobody), lambda: nobody.results, nobody.save,
            nobody.progress, lambda: len(nobody), nobody.delete,
        ]  # fmt: skip
        for verb in verbs:
            with pytest.raises(JobNotFound, match="no group nobody in this file: never sent"):
                verb()
        with pytest.raises(JobNotFound):
            asyncio.run(nobody.aget())
        with pytest.raises(JobNotFound):
            nobody.mermaid()

    def test_who_mistakes_a_group_for_a_job_hears_of_it(self, place: Place) -> None:
        sent = group(place.calls("ab"))()
        job = place.job(sent.id)
        verbs: list[Any] = [job.get, lambda: asyncio.run(job.aget()), job.progress]
        for verb in verbs:
            with pytest.raises(JobNotFound, match=r"but a group: ask app\.GroupResult"):
                verb()
        with pytest.raises(JobNotFound, match=r"but a job: ask app\.AsyncResult\('a'\)"):
            place.app.GroupResult("a").get()

    def test_a_group_that_has_lost_a_member_says_so(self, place: Place) -> None:
        sent = place.group(group(place.calls("abc"))())
        place.run()
        assert place.job("b").forget()
        for verb in (sent.get, lambda: list(sent.as_completed())):
            with pytest.raises(JobNotFound, match=f"members of group {sent.id} are gone"):
                verb()
        assert (len(sent), sent.successful(), names(sent)) == (3, True, [["a", "c"]])
        sent.forget()
        assert not place.job("a").exists()

    def test_results_come_in_order_or_as_they_end(self, place: Place) -> None:
        sent = place.group(group(place.calls("abc"))())
        place.run(only=1)
        with pytest.raises(TimeoutError):
            sent.get(timeout=0)
        with pytest.raises(TimeoutError):
            asyncio.run(sent.aget(timeout=0.01))
        ended = sent.as_completed(timeout=20)
        assert next(ended).id == "a"
        b, c = place.claim()
        for lease in (c, b):
            steps.step(place.database, steps.success(lease, "5"), now=place.app.clock.now())
        assert sorted(each.id for each in ended) == ["b", "c"]
        assert sent.get(timeout=5) == ["a", 5, 5]
        assert asyncio.run(sent.aget(timeout=5)) == ["a", 5, 5]
        assert {id: told["result"] for id, told in sent.iter_native(timeout=5)} == {
            "a": "a", "b": 5, "c": 5,
        }  # fmt: skip
        called: list[Any] = []
        assert sent.join(callback=lambda *one: called.append(one)) == []
        assert called == [("a", "a"), ("b", 5), ("c", 5)]

    def test_in_asyncio_they_come_as_they_end(self, place: Place) -> None:
        sent = place.group(group(place.calls("abc"))())

        async def ids() -> list[str]:
            return [each.id async for each in sent]

        async def both() -> list[str]:
            found = asyncio.create_task(ids())
            await asyncio.to_thread(place.run)
            return await found

        assert sorted(asyncio.run(both())) == ["a", "b", "c"]

    def test_only_some_are_watched_at_a_time(
        self, place: Place, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("litequeue.result.waiting.MOST_WATCHED", 4)
        ids = [f"{number:02}" for number in range(30)]
        sent = place.group(group(place.call(id) for id in ids)())
        watched: list[int] = []
        watch = place.app.store.watch

        def counting(some: Any, told: Any) -> Any:
            watched.append(len(list(some)))
            return watch(some, told)

        monkeypatch.setattr(place.app.store, "watch", counting)
        (slow,) = place.claim(1)
        place.run()
        ended = sent.as_completed(timeout=20)
        assert sorted(next(ended).id for _ in range(29)) == ids[1:], "one keeps nobody waiting"
        assert max(watched) == 4
        steps.step(place.database, steps.success(slow, "1"), now=place.app.clock.now())
        assert [each.id for each in ended] == ["00"]
        assert sum(watched) == 30

    def test_of_those_that_have_ended_nothing_is_kept(self, place: Place) -> None:
        sent = place.group(group(place.calls("abc"))())
        told: list[str] = []
        watched = Watched(place.app, [each.id for each in sent], lambda id, _: told.append(id))
        assert (watched.refill(), watched.left, len(watched._watches)) == (True, 3, 1)
        place.run()
        wait_until(lambda: not watched._watches)
        assert sorted(told) == ["a", "b", "c"]
        watched = Watched(place.app, [each.id for each in sent], lambda id, _: told.append(id))
        assert (watched.refill(), len(watched._watches), len(told)) == (True, 0, 6)

    def test_then_and_throwing(self, place: Place) -> None:
        sent = place.group(group(place.calls("ab"))())
        sent.maybe_throw()
        place.run(failing="b")
        called: list[Any] = []
        sent.then(called.append)
        assert called == [sent]
        with pytest.raises(ValueError, match="no b"):
            sent.maybe_throw()
        assert [repr(each) for each in sent.get(propagate=False)] == ["'a'", "ValueError('no b')"]

    def test_members_may_be_added_and_taken(self, place: Place) -> None:
        sent = place.group(group(place.calls("ab"))())
        other = place.call("x").apply_async()
        sent.add(other)
        sent.remove("a")
        place.run()
        assert sent.get(timeout=5) == ["b", "x"]
        assert place.group(sent).get(timeout=5) == ["a", "b"]

    def test_who_reads_it_while_it_is_stored_waits(self, place: Place) -> None:
        sent = place.group(group(place.calls("ab"))())
        place.run()
        with place.database.write(durable=False) as connection:
            connection.execute("UPDATE litequeue_fanin SET size = NULL, waiting = 1")
        assert (sent.ready(), sent.successful(), len(sent)) == (False, False, 2)
        with pytest.raises(TimeoutError, match="still being stored"):
            sent.get(timeout=0)
        with pytest.raises(TimeoutError, match="still being stored"):
            asyncio.run(sent.aget(timeout=0))

    def test_it_is_a_value(self, place: Place) -> None:
        sent = group(place.calls("ab"))()
        one, same = place.group(sent), place.group(sent)
        assert one == same
        assert one == sent.id
        assert len({one, same}) == 1
        twin = pickle.loads(pickle.dumps(one))
        assert names(twin) == [["a", "b"]]
        assert one.results
        assert one == same
        assert one != GroupResult(sent.id, [], app=place.app)
        assert one != 5

    def test_a_workflow_is_drawn(self, place: Place) -> None:
        sent = chain(place.call("a"), group(place.calls("bc")))()
        for result in (sent, place.group(sent), place.job("a")):
            assert result.mermaid().startswith("flowchart")
            assert result.dot().startswith("digraph")


class TestSaved:
    def test_the_file_knows_the_group_of_a_workflow(self, place: Place) -> None:
        sent = group(place.calls("ab"))()
        sent.save()
        sent.delete()
        restored = GroupResult.restore(sent.id, app=place.app)
        assert restored is not None
        assert (names(restored), restored == sent) == ([["a", "b"]], True)
        assert not place.job(sent.id).exists(), "nothing was to be stored"
        assert Groups(place.app).restore(sent.id) == Groups(place.app)(sent.id) == sent
        assert Groups(place.app).restore("nobody") is None

    def test_a_group_made_by_hand_can_be_restored(self, place: Place) -> None:
        for id in "abc":
            place.call(id).apply_async()
        inner = GroupResult[Any]("inner", [place.job("b"), place.job("c")], app=place.app)
        mine = GroupResult[Any]("mine", [place.job("a"), inner], app=place.app)
        assert GroupResult.restore("mine", app=place.app) is None
        mine.save()
        restored = GroupResult.restore("mine", app=place.app)
        assert restored is not None
        assert names(restored) == [["a", ["b", "c"]]]
        assert restored == mine
        place.run()
        assert place.app.GroupResult("mine").get(timeout=5) == ["a", ["b", "c"]]
        assert place.app.GroupResult("mine").completed_count() == 2
        assert sorted(each.id for each in restored.as_completed(timeout=5)) == ["a", "b", "c"]
        mine.remove("a")
        mine.save()
        restored = GroupResult.restore("mine", app=place.app)
        assert restored is not None
        assert names(restored) == [[["b", "c"]]]
        place.app.GroupResult("mine").delete()
        assert names(restored) == [[["b", "c"]]]
        assert GroupResult.restore("mine", app=place.app) is None
        assert place.job("b").exists()

    def test_a_changed_group_of_a_workflow_can_be_saved(self, place: Place) -> None:
        sent = place.group(group(place.calls("ab"))())
        sent.remove("a")
        sent.save()
        restored = GroupResult.restore(sent.id, app=place.app)
        assert restored is not None
        assert names(restored) == [["b"]]

    def test_the_id_of_a_job_is_not_taken(self, place: Place) -> None:
        job = place.call("a").apply_async()
        place.run()
        with pytest.raises(DuplicateJob):
            GroupResult[Any]("a", [job], app=place.app).save()
        assert GroupResult.restore("a", app=place.app) is None
        GroupResult[Any]("a", [job], app=place.app).delete()
        assert job.exists()


class TestProgress:
    def test_a_workflow_counts_all_before_its_end(self, place: Place) -> None:
        sent = chain(place.call("a"), group(place.calls("bcd")), place.calls("ef")[0])()
        assert sent.progress() == Progress(5, 0, 0, 0, 0, 5, 0.0)
        place.run(only=1)
        assert sent.progress() == Progress(5, 1, 1, 0, 0, 4, 0.2)
        place.run(failing="b")
        assert sent.progress() == Progress(5, 5, 3, 2, 0, 0, 1.0)

    def test_a_running_step_counts_for_a_part(self, place: Place) -> None:
        sent = chain(place.calls("ab"))()
        (lease,) = place.claim()
        place.app.store.update_state(
            "a", state="PROGRESS", meta='{"current":1,"total":2}', token=lease.token
        )
        assert sent.progress() == Progress(2, 0, 0, 0, 1, 1, 0.25)

    def test_the_numbers_of_a_step_are_not_those_of_the_workflow(self, place: Place) -> None:
        sent = chain(place.calls("ab"))()
        place.run(only=1)
        (lease,) = place.claim()
        place.app.store.update_state(
            "b", state="PROGRESS", meta='{"current":5,"total":10}', token=lease.token
        )
        assert sent.progress() == Progress(2, 1, 1, 0, 1, 0, 0.75)

    def test_a_group_before_a_group(self, place: Place) -> None:
        sent = chain(group(place.calls("ab")), group(place.calls("cd")), place.call("e"))()
        assert sent.progress().total == 5


def test_a_handle_has_what_its_attempts_printed(place: Place) -> None:
    job = place.call("a").apply_async()
    assert job.logs == {}
    (lease,) = place.claim()
    steps.step(place.database, steps.success(lease, "1", log="hello\n"), now=place.app.clock.now())
    assert job.logs == {1: "hello\n"}


def test_a_set_of_handles_needs_no_app(place: Place) -> None:
    home = StoreHome(place.app.store)
    place.call("a").apply_async()
    place.run()
    assert ResultSet([AsyncResult[Any]("a", app=home)]).get(timeout=5) == ["a"]
