"""Signatures: calls as data, made now and sent later."""

from __future__ import annotations

import copy
import json
import pickle
import subprocess
import sys
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar

import pytest

import litequeue
from litequeue import LiteQueue, Task, canvas, chain, chord, group, shared_task
from litequeue.canvas import Signature, StampingVisitor, maybe_signature, signature, subtask
from litequeue.exceptions import ImproperlyConfigured, NotRegistered
from litequeue.periodic import entries_of
from litequeue.schedules import crontab
from tests.unit.bench import NOW, Bench

ADD: dict[str, Any] = {
    "task": "t",
    "args": (1,),
    "kwargs": {"y": 2},
    "options": {},
    "subtask_type": None,
    "immutable": False,
}
BY_CELERY = (
    '{"task": "t", "args": [1], "kwargs": {}, "options": {"queue": "mail", '
    '"task_id": "the-id", "reply_to": "6c9a"}, "subtask_type": null, "immutable": false}'
)
"""What json.dumps makes of a frozen signature of Celery 5.7."""


@pytest.fixture
def add(bench: Bench) -> Task[..., Any]:
    """A task that takes x and y."""
    return bench.task(lambda x, y=0: x + y)


def sent(bench: Bench) -> Any:
    """Return the arguments of the only job that was sent."""
    return json.loads(bench.outbox.job.body)


class TestTheForm:
    def test_a_task_makes_it(self, add: Task[..., Any]) -> None:
        assert add.s(1, y=2) == ADD
        assert add.si(1, y=2) == {**ADD, "immutable": True}
        how = {**ADD, "options": {"queue": "mail", "countdown": 5}}
        assert add.signature((1,), {"y": 2}, queue="mail", countdown=5) == how
        assert add.subtask([1], {"y": 2}, {"queue": "mail"}, countdown=5) == how
        assert type(add.s()) is Signature

    def test_a_name_is_enough(self, bench: Bench, add: Task[..., Any]) -> None:
        assert signature("t", (1,), {"y": 2}) == ADD
        assert subtask(add, args=(1,), kwargs={"y": 2}) == ADD
        assert bench.app.signature("t", (1,), {"y": 2}) == ADD
        assert litequeue.signature is signature

    def test_so_is_a_mapping(self, bench: Bench) -> None:
        for form in (ADD, MappingProxyType(ADD)):
            assert signature(form) == ADD
            assert bench.app.signature(form).app is bench.app
        assert signature({"task": "t"}).clone() == {**ADD, "args": (), "kwargs": {}}

    def test_members_are_its_items(self, add: Task[..., Any]) -> None:
        sig = add.s(1, y=2)
        assert (sig.task, sig.name, sig.args, sig.kwargs) == ("t", "t", (1,), {"y": 2})
        assert (sig.options, sig.subtask_type, sig.immutable, sig.id) == ({}, None, False, None)
        sig.args, sig.id, sig.root_id = (3,), "the-id", "root"
        assert sig == {**ADD, "args": (3,), "options": {"task_id": "the-id", "root_id": "root"}}
        assert sig.parent_id is None
        bare = signature({"task": "t"})
        assert (bare.id, bare) == (None, {"task": "t"})
        bare.id = "the-id"
        assert bare.options == {"task_id": "the-id"}

    def test_json_goes_to_celery_and_comes_back(self, bench: Bench, add: Task[..., Any]) -> None:
        sig = signature(json.loads(BY_CELERY))
        assert json.dumps(sig) == BY_CELERY
        assert sig.delay(0).id == "the-id"  # reply_to means nothing here
        assert (sent(bench), bench.outbox.job.queue) == ([[0, 1], {}], "mail")

    def test_text(self, add: Task[..., Any]) -> None:
        class Shy:
            def __repr__(self) -> str:
                raise ValueError("no")

        assert repr(add.s(1, y="a")) == "t(1, y='a')"
        assert add.si(1).reprcall(0, y=Shy()) == "t(0, 1, y=<Shy>)"

    def test_what_names_no_task(self, bench: Bench) -> None:
        with pytest.raises(TypeError, match="names its task, and 5 is no name"):
            signature({"task": 5}).delay()


class TestSending:
    def test_new_arguments_come_first(self, bench: Bench, add: Task[..., Any]) -> None:
        assert add.s(2).delay(1).id == bench.outbox.job.id
        assert sent(bench) == [[1, 2], {}]

    def test_new_keywords_and_options_count_more(self, bench: Bench, add: Task[..., Any]) -> None:
        sig = add.signature((1,), {"y": 2}, queue="mail", priority=3)
        sig.apply_async((), {"y": 3}, priority=5, queue=None, countdown=10)
        assert sent(bench) == [[1], {"y": 3}]
        job = bench.outbox.job
        assert (job.queue, job.priority, job.eta) == ("mail", 5, NOW + 10)

    def test_an_immutable_one_takes_options_only(self, bench: Bench, add: Task[..., Any]) -> None:
        add.si(1, 2).apply_async((5,), {"y": 6}, queue="mail")
        assert (sent(bench), bench.outbox.job.queue) == ([[1, 2], {}], "mail")

    def test_arguments_are_checked_when_it_is_sent(self, bench: Bench, add: Task[..., Any]) -> None:
        partial = add.s(z=1)
        with pytest.raises(TypeError, match="'z'"):
            partial.delay(1)
        with pytest.raises(TypeError, match="'x'"):
            add.s().apply_async()
        with pytest.raises(TypeError, match="no option 'colour'"):
            add.s(1).set(colour="red").delay()
        assert bench.outbox.jobs == []

    def test_a_task_of_somebody_else_is_sent_by_its_name(self, bench: Bench) -> None:
        sig = signature("elsewhere.t", (1,), queue="mail")
        assert sig.delay(0).id == bench.outbox.job.id
        assert (bench.outbox.job.task, sent(bench)) == ("elsewhere.t", [[0, 1], {}])
        assert bench.outbox.job.queue == "mail"
        with pytest.raises(NotRegistered, match=r"elsewhere\.t"):
            sig.apply()
        with pytest.raises(NotRegistered):
            sig()

    def test_here_and_now(self, bench: Bench, add: Task[..., Any]) -> None:
        assert add.s(1)(y=5) == 6
        assert add.s(2).apply((1,), queue="mail").get() == 3
        bench.app.conf.task_always_eager = True
        assert ~add.s(1, 2) == 3
        assert bench.outbox.jobs == []

    def test_a_tilde_sends_and_waits(self, bench: Bench) -> None:
        calls: list[Any] = []

        class Noted(Task):
            def apply_async(self, args: Any = None, *_: Any, **options: Any) -> Any:
                calls.append((args, options))
                return self.apply(args)

        assert ~bench.task(lambda x: x + 1, base=Noted).s(1).set(priority=5) == 2
        assert calls == [((1,), {"priority": 5})]

    def test_the_task_it_was_made_of_is_called(self, bench: Bench, add: Task[..., Any]) -> None:
        sig = add.s(1)
        bench.app.tasks.pop("t")
        bench.task(lambda x: "another of this name")
        assert (sig(2), sig.clone()(2), signature("t")(1)) == (3, 3, "another of this name")

    def test_the_app_is_the_tasks_own(self, bench: Bench, add: Task[..., Any]) -> None:
        sig, named = add.s(1), bench.app.signature("t", (1,))
        other = LiteQueue("other.sqlite")
        other.task(name="t")(lambda: "of another")
        assert (sig.app, named.app, signature("t").app) == (bench.app, bench.app, other)
        assert sig.clone().type is named.type is signature(ADD, app=bench.app).type is add
        assert signature("t")() == "of another"

    def test_a_shared_task(self, bench: Bench) -> None:
        @shared_task(name="s")
        def share(x: int) -> int:
            return x

        share.s(1).delay()
        signature(share, (2,)).delay()
        assert [json.loads(job.body)[0] for job in bench.outbox.jobs] == [[1], [2]]


class TestOthersOfIt:
    def test_a_clone_is_one_of_its_own(self, add: Task[..., Any]) -> None:
        sig = add.signature((1,), {"y": 2}, headers={"a": 1})
        made = sig.clone((0,), {"z": 3}, queue="mail")
        assert made == {
            **ADD,
            "args": (0, 1),
            "kwargs": {"y": 2, "z": 3},
            "options": {"headers": {"a": 1}, "queue": "mail"},
        }
        for other in (sig.clone(), copy.deepcopy(sig)):
            other.kwargs["y"] = 5
            other.options["headers"]["a"] = 5
        assert sig == {**ADD, "options": {"headers": {"a": 1}}}
        assert sig.partial((0,)).args == (0, 1)

    def test_a_part_of_it_is_replaced(self, add: Task[..., Any]) -> None:
        sig = add.signature((1,), {"y": 2}, queue="mail")
        assert sig.replace(args=(5,)) == {**sig, "args": (5,)}
        assert sig.replace(kwargs={}) == {**sig, "kwargs": {}}
        assert sig.replace(options={"priority": 1}) == {**sig, "options": {"priority": 1}}
        assert sig.args == (1,)

    def test_options_are_set_in_place(self, add: Task[..., Any]) -> None:
        sig = add.s(1, y=2)
        assert sig.set(queue="mail").set(True, priority=5) is sig
        assert sig == {**ADD, "options": {"queue": "mail", "priority": 5}, "immutable": True}
        sig.set_immutable(False)
        assert sig.clone((0,)).args == (0, 1)

    def test_it_travels_as_data(self, bench: Bench, add: Task[..., Any]) -> None:
        there = pickle.loads(pickle.dumps(add.s(1, y=2)))
        assert (type(there), there) == (Signature, ADD)
        assert there.type is add
        LiteQueue("other.sqlite").task(name="t")(lambda x, y: "there")
        assert pickle.loads(pickle.dumps(add.s(1, y=2)))() == "there"

    def test_copies_are_signatures(self, add: Task[..., Any]) -> None:
        for made in (copy.copy(add.s(1, y=2)), copy.deepcopy([add.s(1, y=2)])[0]):
            assert (type(made), made) == (Signature, ADD)

    def test_maybe_one(self, bench: Bench, add: Task[..., Any]) -> None:
        sig = signature("t", (1,), {"y": 2})
        assert maybe_signature(None) is None
        assert maybe_signature(sig) is sig
        assert maybe_signature(sig, clone=True) is not sig
        other = LiteQueue("other.sqlite", set_as_current=False)
        made = maybe_signature(json.loads(json.dumps(sig)), app=other)
        assert (type(made), made.app, made.args) == (Signature, other, [1])
        assert (maybe_signature(sig, app=other).app, sig.app) == (other, other)

    def test_a_type_of_ones_own(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(Signature, "TYPES", {})

        @Signature.register_type(name="twice")
        class Twice(Signature[Any]):
            @classmethod
            def from_dict(cls, d: Mapping[str, Any], app: Any = None) -> Signature[Any]:
                return cls(d, app=app)

        made = signature(json.loads(json.dumps(Twice("t", (1,), subtask_type="twice"))))
        assert (type(made), type(made.clone())) == (Twice, Twice)
        with pytest.raises(KeyError, match="thrice"):
            signature({**ADD, "subtask_type": "thrice"})


class TestFreezing:
    def test_the_id_is_known_before(self, bench: Bench, add: Task[..., Any]) -> None:
        sig = add.s(1)
        result = sig.freeze()
        assert (sig.id, sig.freeze().id) == (result.id, result.id)
        assert bench.outbox.jobs == []
        assert sig.delay().id == result.id == bench.outbox.job.id
        assert add.s(1).freeze().id != result.id

    def test_it_may_be_given(self, add: Task[..., Any]) -> None:
        assert add.s().freeze("mine").id == "mine"
        assert add.s().set(task_id="first").freeze("mine").id == "first"
        assert signature("elsewhere.t").freeze("mine").id == "mine"

    @pytest.mark.parametrize("name", ["group_id", "root_id", "parent_id", "group_index", "chord"])
    def test_what_workflows_freeze_is_kept_and_not_sent(
        self, bench: Bench, add: Task[..., Any], name: str
    ) -> None:
        value: Any = 0 if name == "group_index" else add.s(3) if name == "chord" else "g"
        sig = add.s(1)
        sig.freeze("mine", **{name: value})
        assert sig.options == {"task_id": "mine", name: value}
        with pytest.raises(ValueError, match=f"the option '{name}' is what a workflow gives"):
            sig.delay()
        assert bench.outbox.jobs == []
        assert sig.apply().get() == 1

    def test_a_group_is_not_changed(self, add: Task[..., Any]) -> None:
        sig = add.s().set(group_id="first")
        sig.freeze(group_id="second")
        assert sig.clone(group_id="third").options["group_id"] == "first"


class TestStamping:
    def test_stamps_are_sent(self, bench: Bench, add: Task[..., Any]) -> None:
        sig = add.s(1).set(queue="mail")
        assert sig.stamp(tenant="ann", size=3) is sig
        sig.delay()
        stamps = json.loads(bench.outbox.job.options or "")["stamps"]
        assert (stamps, bench.outbox.job.queue) == ({"tenant": "ann", "size": 3}, "mail")

    def test_the_newest_counts_unless_it_is_added(self, add: Task[..., Any]) -> None:
        sig = add.s().stamp(tenant="ann")
        assert sig.clone().stamp(tenant="bob").options["tenant"] == "bob"
        both = sig.clone().stamp(append_stamps=True, tenant="bob")
        assert both.options == {"tenant": ["bob", "ann"], "stamped_headers": ["tenant"]}
        assert sig.options["tenant"] == "ann"
        both.stamp(append_stamps=True, tenant="cid")
        assert both.options["tenant"] == ["cid", "bob", "ann"]

    def test_a_call_does_not_change_them(self, bench: Bench, add: Task[..., Any]) -> None:
        add.s(1).stamp(tenant="ann").apply_async(tenant="bob", stamped_headers=["size"])
        assert json.loads(bench.outbox.job.options or "")["stamps"] == {"tenant": "ann"}

    def test_what_is_given_stays_as_it_was(self, add: Task[..., Any]) -> None:
        names, sizes = ["size"], [2]
        sig = add.s().stamp(size=[1], stamped_headers=names).stamp(size=sizes)
        assert sig.options["size"] == [2, 1]
        assert (names, sizes) == (["size"], [2])

    def test_a_visitor_decides(self, add: Task[..., Any]) -> None:
        seen: list[Any] = []

        class Tenant(StampingVisitor):
            def on_signature(self, sig: Any, **headers: Any) -> dict[str, Any]:
                seen.append((sig, headers))
                return {"tenant": "ann", "queue": "mail", "stamped_headers": ["tenant"]}

        sig = add.s(1)
        sig.stamp(Tenant(), cause="test")
        assert seen == [(sig, {"cause": "test"})]
        assert sig.options == {
            "cause": "test",
            "tenant": "ann",
            "queue": "mail",
            "stamped_headers": ["cause", "tenant"],
        }
        with pytest.raises(TypeError, match="on_signature"):
            StampingVisitor()  # type: ignore[abstract]  # what is tested


class TestAsAnArgument:
    """The task gets a dict, as from Celery."""

    def test_it_arrives_as_its_mapping(self, bench: Bench, add: Task[..., Any]) -> None:
        call = bench.app.task(name="call")(lambda sig: None)
        call.delay(add.s(1, y=2).set(headers={"next": add.si(5)}))
        inner = {**ADD, "args": [5], "kwargs": {}, "immutable": True}
        whole = {**ADD, "args": [1], "options": {"headers": {"next": inner}}}
        assert sent(bench) == [[whole], {}]

    def test_the_task_calls_it(self, bench: Bench, add: Task[..., Any]) -> None:
        def call(sig: Any) -> Any:
            assert type(sig) is dict
            maybe_signature(sig).delay(1)
            return signature(sig).type is add

        bench.app.task(name="call")(call)
        bench.app.tasks["call"].delay(add.s(2))
        args = sent(bench)[0]
        assert bench.execute("call", args=args).result == "true"
        assert json.loads(bench.outbox.jobs[-1].body) == [[1, 2], {}]

    def test_eagerly_too(self, bench: Bench, add: Task[..., Any]) -> None:
        bench.app.conf.task_always_eager = True
        call = bench.app.task(name="call")(lambda sig: signature(sig)() if type(sig) is dict else 0)
        assert call.delay(add.s(1, 2)).get() == 3

    def test_what_it_holds_is_refused_as_always(self, bench: Bench, add: Task[..., Any]) -> None:
        call = bench.app.task(name="call")(lambda sig: None)
        with pytest.raises(litequeue.NotSerializable, match="args"):
            call.delay(add.s(object()))


class TestPeriodic:
    def test_the_contract(self, bench: Bench, add: Task[..., Any]) -> None:
        rule = crontab("0 3 * * *", tz="Europe/Berlin")
        assert bench.app.add_periodic_task(rule, add.s(1, 2), name="nightly") == "nightly"
        (made,) = entries_of(bench.app)
        assert (made.name, made.task, json.loads(made.body)) == ("nightly", "t", [[1, 2], {}])
        assert made.schedule == '{"crontab":"0 3 * * *","tz":"Europe/Berlin"}'

    def test_arguments_are_added_as_in_a_call(self, bench: Bench, add: Task[..., Any]) -> None:
        sig = add.s(2).set(queue="mail", priority=1)
        name = bench.app.add_periodic_task(30, sig, (1,), {}, priority=5)
        (made,) = entries_of(bench.app)
        assert (name, json.loads(made.body)) == ("t(1, 2)", [[1, 2], {}])
        assert (made.queue, made.priority) == ("mail", 5)

    def test_none_are_added_to_an_immutable_one(self, bench: Bench, add: Task[..., Any]) -> None:
        bench.app.add_periodic_task(30, add.si(1, y=2), (0,), {"y": 5})
        (made,) = entries_of(bench.app)
        assert json.loads(made.body) == [[1], {"y": 2}]

    def test_arguments_are_checked(self, bench: Bench, add: Task[..., Any]) -> None:
        bench.app.add_periodic_task(30, add.s(), name="e")
        with pytest.raises(ImproperlyConfigured, match=r"'e': .*'x'"):
            entries_of(bench.app)

    def test_every_tick_is_a_job_of_its_own(self, bench: Bench, add: Task[..., Any]) -> None:
        sig = add.s(1)
        sig.freeze()
        with pytest.raises(ImproperlyConfigured, match="task_id"):
            bench.app.add_periodic_task(30, sig, name="e")


class TestElsewhere:
    """Every kind travels as data: JSON and pickles are read where nothing of it was loaded."""

    KINDS: ClassVar[dict[str, str]] = {
        "call": "t.si(1, y=2).set(queue='mail')",
        "chain": "t.s(1) | t.s(2)",
        "group": "group(t.s(1), t.s(2))",
        "chord": "chord([t.s(1), t.s(2)], t.s(y=3), policy='ignore')",
        "map": "t.map([1, 2])",
        "starmap": "t.starmap([(1, 2)])",
        "chunks": "t.chunks([(1, 2), (3, 4)], 1)",
        "nested": "chain(t.s(1), group(t.s(2), t.s(3) | group(t.s(4), t.s(5))), t.s())",
        "linked": "linked(t.s(1))",
        "frozen": "frozen(group(t.s(1), t.s(2)) | t.s(3))",
    }

    @pytest.mark.parametrize("kind", KINDS)
    def test_another_process_reads_it(self, kind: str, add: Task[..., Any]) -> None:
        def linked(sig: Any) -> Any:
            sig.link(add.s(2))
            return sig.on_error(add.si(3))

        def frozen(sig: Any) -> Any:
            sig.freeze()
            return sig

        names = {**vars(canvas), "chain": chain, "group": group, "chord": chord}
        sig = eval(self.KINDS[kind], {**names, "t": add, "linked": linked, "frozen": frozen})
        given = json.dumps([json.dumps(sig), pickle.dumps(sig).hex()])
        code = (
            "import json, pickle, sys; from litequeue import signature; "
            "text, dump = json.load(sys.stdin); "
            "both = [signature(json.loads(text)), pickle.loads(bytes.fromhex(dump))]; "
            "print(json.dumps([[type(each).__name__, each] for each in both]))"
        )
        told = subprocess.check_output([sys.executable, "-c", code], input=given, text=True)
        data = json.loads(json.dumps(sig))
        # As in Celery: of a map its call is left, which does the same.
        name = type(sig).__name__ if data["subtask_type"] else "Signature"
        assert json.loads(told) == [[name, data]] * 2

    def test_a_frozen_chord_stays_the_chord_of_its_header(self, add: Task[..., Any]) -> None:
        sig: Any = group(add.s(1), add.s(2)) | add.s(3)
        header = sig.freeze().parent.id
        inside = chord([sig, add.s(4)], add.s())
        for each in (
            sig,
            sig.clone(),
            signature(json.loads(json.dumps(sig))),
            inside.tasks[0],
            signature(json.loads(json.dumps(inside))).tasks[0],
        ):
            assert each.header_group().id == header


class TestStillToCome:
    def test_other_names(self, add: Task[..., Any]) -> None:
        sig: Any = add.s()
        with pytest.raises(AttributeError, match="'Signature' object has no attribute 'election'"):
            sig.election()

    def test_what_is_no_signature_is_not_joined(self, add: Task[..., Any]) -> None:
        with pytest.raises(TypeError):
            add.s() | 5
        assert not hasattr(canvas, "abstract")

    @pytest.mark.parametrize("name", ["chain", "group_id"])
    def test_options(self, bench: Bench, add: Task[..., Any], name: str) -> None:
        sig: Any = add.s(1)
        sig.options[name] = [ADD]
        with pytest.raises(ValueError, match=f"the option '{name}' is what a workflow gives"):
            sig.delay()
        assert bench.outbox.jobs == []
