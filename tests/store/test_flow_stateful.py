"""Any workflow, whatever happens to its steps, keeps its books and can be brought to an end.

Workflows are drawn as trees, and then steps succeed, fail, retry, die, become other steps, add
members to their groups, are revoked and run again in any order.  After each action the file is held
against its rules (`steps.problems`); in the end all that failed is run again until everything has
succeeded, each step with the results it was due.
"""

from __future__ import annotations

import json
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

from litequeue import flow
from litequeue.flow import Plan, Sequel, Step
from litequeue.job import Lease, Outcome
from litequeue.store import (
    Database,
    bulk,
    flow_models,
    jobs,
    revocations,
    sequels,
    storing,
    workflows,
)
from litequeue.store import advance as advancing
from litequeue.store.listing import EVERYTHING
from tests.store.flows import chain, chord, options, states_of
from tests.store.steps import (
    KEEP,
    NOW,
    claim,
    failure,
    job,
    problems,
    reap,
    retry,
    rows,
    step,
    success,
)

Tree = Any  # "step", ("chain", [trees]) or ("chord", [trees])
KINDS = st.sampled_from(["chain", "chord"])
TREES = st.recursive(
    st.just("step"),
    lambda inner: st.tuples(KINDS, st.lists(inner, min_size=1, max_size=3)),
    max_leaves=7,
)
WHAT = ("work", "work", "work", "fail", "retry", "die", "zombie", "replace", "add", "revoke",
        "rerun", "rerun all", "idle")  # fmt: skip
DEEDS = st.lists(st.tuples(st.sampled_from(WHAT), st.integers(0, 50)), max_size=15)


STOPPED = "SELECT 1 FROM litequeue_job WHERE id = ? AND state = 'FAILURE' AND claims = 0"


def plan_of(tree: Tree, names: Any) -> Plan:
    if tree == "step":
        return chain(f"s{next(names):02}")
    kind, parts = tree
    if kind == "chord":
        header = [plan_of(part, names) for part in parts]
        return chord(header, f"s{next(names):02}")
    return chain(*(plan_of(part, names) for part in parts))


class World:
    def __init__(self, path: Path, tree: Tree, *, errback: bool) -> None:
        self.database = Database(path, create=True, durability="process")
        plan = plan_of(tree, count())
        if errback:
            plan = chain(plan, "last", errback="errback")
        self.due: dict[str, list[str]] = {}
        for edge in plan.edges:
            if edge.kind != "error":
                self.due[edge.target] = [edge.source]
        self.new = (f"n{number:02}" for number in count())
        steps = list(plan.steps)
        self.names = {s.job.id: s.group for s in steps if s.group}
        self.targets = {fanin.group: fanin.target for fanin in plan.fanins}
        self.groups: dict[str | None, list[str]] = {
            fanin.target: [s.job.id for s in steps if s.group == fanin.group]
            for fanin in plan.fanins
        }
        workflows.insert(self.database, plan, NOW)
        self.running: list[Lease] = []
        self.lost: list[Lease] = []

    def do(self, deed: str, number: int) -> None:
        database = self.database
        self.running += claim(database, 1 + number % 3)
        lease = self.running.pop(number % len(self.running)) if self.running else None
        if deed in ("work", "fail", "retry") and lease is not None:
            verdict: Any = {"work": succeed, "fail": failure, "retry": retry}[deed]
            step(database, verdict(lease))
        elif deed == "die" and lease is not None:
            reap(database, lease, most=1 + number % 2)
            self.lost.append(lease)
        elif deed == "zombie" and self.lost:
            zombie = self.lost[number % len(self.lost)]
            step(database, [succeed, self.replaced, self.added][number % 3](zombie, is_lost=True))
            self.running += [lease] if lease is not None else []
        elif deed == "replace" and lease is not None and lease.id != "errback":
            step(database, self.replaced(lease, kind=number % 3))
        elif deed == "add" and lease is not None:
            step(database, self.added(lease))
        else:
            self.running += [lease] if lease is not None else []
            ids = sorted(states_of(database))
            if deed == "revoke":
                revocations.revoke(database, [ids[number % len(ids)]], now=NOW, keep=KEEP)
            elif deed == "rerun":
                self.rerun(ids[number % len(ids)])
            elif deed == "rerun all":
                self.rerun_all()
            step(database)

    def replaced(self, lease: Lease, kind: int = 1, *, is_lost: bool = False) -> Outcome:
        """It becomes another step, the end of a chain, or the body of a chord."""
        new = [next(self.new) for _ in range(kind)]
        plan = chord(new, lease.id) if kind == 2 else chain(*new, lease.id)
        if not is_lost:
            self.due.pop(lease.id, None)
            self.groups.pop(lease.id, None)
            if kind == 2:
                self.groups[lease.id] = new
            elif kind == 1:
                self.due[lease.id] = new
        sequel = flow.to_text(Sequel((plan,), takes=True))
        return retry(lease, counted=False, failure=None, sequel=sequel)

    def added(self, lease: Lease, *, is_lost: bool = False) -> Outcome:
        """It succeeds, and adds a member to its group."""
        name = self.names.get(lease.id)
        if name is None:
            return succeed(lease)
        new = next(self.new)
        target = self.targets[name]
        if not is_lost and target in self.groups:
            self.groups[target].append(new)
            self.names[new] = name
        plan = Plan([Step(job(new), group=name)], [], [], new)
        return success(lease, json.dumps(lease.id), sequel=flow.to_text(Sequel((plan,))))

    def rerun(self, id: str) -> None:
        was_stopped = rows(self.database.path, STOPPED, id) != []
        opened = jobs.rerun(self.database, id, now=NOW, keep=KEEP)
        assert not (opened and was_stopped), f"{id} alone cannot run again"

    def rerun_all(self) -> None:
        chosen = bulk.choose(self.database, bulk.Change.RERUN, EVERYTHING, NOW)
        list(bulk.carry_out(self.database, chosen, now=NOW, keep=KEEP))
        step(self.database)

    def bring_to_an_end(self) -> None:
        """What failed runs again, once; then all succeeds."""
        is_again = False
        for _ in range(60):
            self.running += claim(self.database, 99)
            step(self.database, *(succeed(lease) for lease in self.running))
            self.running = []
            left = {s for id, s in states_of(self.database).items() if id != "errback"}
            if left == {"SUCCESS"}:
                return
            if not left & {"PENDING", "RETRY"}:
                assert not is_again, f"some do not come back: {states_of(self.database)}"
                self.rerun_all()
                is_again = True
        raise AssertionError(f"it never ends: {states_of(self.database)}")

    def check_given(self) -> None:
        for id, (source,) in self.due.items():
            assert options(self.database, id)["given"] == json.dumps(source)
        for target, members in self.groups.items():
            given = [json.dumps(each) for each in members]
            assert target is None or options(self.database, target)["given"] == given


def succeed(lease: Lease, *, is_lost: bool = False) -> Outcome:
    return success(lease, json.dumps(lease.id))


def play(tree: Tree, deeds: list[tuple[str, int]], *, errback: bool) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "jobs.sqlite"
        world = World(path, tree, errback=errback)
        try:
            for deed, number in deeds:
                world.do(deed, number)
                assert problems(path) == []
            world.bring_to_an_end()
            assert problems(path) == []
            world.check_given()
        finally:
            world.database.close()


@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
@given(TREES, DEEDS, st.booleans())
@example(tree="step", deeds=[("replace", 1), ("revoke", 1)], errback=False)
def test_any_workflow_can_be_brought_to_an_end(
    tree: Tree, deeds: list[tuple[str, int]], errback: bool
) -> None:
    play(tree, deeds, errback=errback)


MUTANTS = {
    "a member is not counted again": (
        flow_models, "MOVED", "CASE WHEN NEW.finished IS NULL THEN 1 ELSE -1 END", "-1",
    ),
    "a failure is not counted": (flow_models, "MOVED", "ELSE NEW.state <> 'SUCCESS'", "ELSE 0"),
    "a chord does not begin": (
        flow_models, "MOVED", "waiting = 0 AND target", "waiting = -1 AND target",
    ),
    "results in another order": (advancing, "GIVE_ALL", "ORDER BY seq", "ORDER BY seq DESC"),
    "what was stopped stays so": (advancing, "PUT_BACK", "AND phase = 'done'", "AND phase = 'no'"),
    "a stopped step can be run again": (
        jobs, "RERUN", "flow IS NULL OR", "flow IS NOT NULL OR",
    ),
    "what waits is not ended": (advancing, "END", "phase = 'waiting'", "phase = 'ready'"),
    "a further member is not counted": (storing, "GROW", "waiting + ?1", "waiting"),
    "what was met speaks again": (sequels, "MET_EDGES", "spent = 2", "spent = 0"),
    "a list is given again": (sequels, "MET_FANINS", "spent = 2", "spent = 0"),
    "a zombie hands on": (sequels, "HOLDS", "token = ?", "?"),
    "a replaced job runs too early": (jobs, "RERUN", "runtime IS NOT NULL", "0"),
}  # fmt: skip


CHAIN: Tree = ("chain", ["step", "step"])
CHORD: Tree = ("chord", ["step", "step"])
BOTH = [("work", 0), ("work", 0)]


@pytest.mark.parametrize("name", MUTANTS)
def test_a_mistake_would_be_found(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module, constant, found, instead = MUTANTS[name]
    statement = getattr(module, constant)
    assert found in statement
    mutant = statement.replace(found, instead)
    monkeypatch.setattr(module, constant, mutant)
    if module is flow_models:
        monkeypatch.setattr(flow_models, "TRIGGERS", (mutant, flow_models.DELETED))
    if module is jobs:
        monkeypatch.setattr(bulk, "RERUN_IT", mutant.replace("WHERE id = ?", "WHERE seq = ?"))

    @settings(
        max_examples=400,
        deadline=None,
        database=None,
        derandomize=True,
        report_multiple_bugs=False,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(TREES, DEEDS, st.booleans())
    @example(tree=CHAIN, deeds=[("fail", 0)], errback=False)
    @example(tree=CHAIN, deeds=[("fail", 0), ("rerun", 1)], errback=False)
    @example(tree=CHAIN, deeds=[("die", 1), ("zombie", 1)], errback=False)
    @example(tree=CHAIN, deeds=[("work", 0), ("replace", 1), ("fail", 0)], errback=False)
    @example(tree=CHAIN, deeds=[("replace", 1), ("revoke", 1), ("rerun", 1)], errback=False)
    @example(tree=CHORD, deeds=[*BOTH, ("replace", 1), ("fail", 0)], errback=False)
    @example(tree=CHORD, deeds=[("fail", 0), ("rerun", 0)], errback=False)
    @example(tree=CHORD, deeds=[("work", 0), ("add", 0), *BOTH], errback=False)
    def attempt(tree: Tree, deeds: list[tuple[str, int]], errback: bool) -> None:
        play(tree, deeds, errback=errback)

    with pytest.raises((AssertionError, KeyError)):
        attempt()
