"""What befalls the steps of workflows, with a real worker: failures, limits, revokes, retries."""

from __future__ import annotations

import time
from typing import Any

import pytest

from litequeue import chain, chord, group
from litequeue.exceptions import ChordError, TaskRevokedError
from tests.conftest import wait_until
from tests.integration.apps.record import Record
from tests.integration.apps.workflows import (
    add,
    app,
    echo,
    fail,
    hold,
    mended,
    note,
    stepwise,
    told,
    told_the_id,
    total,
)
from tests.integration.flows import WITHIN, column, end, facts, rows, shared, value, work
from tests.integration.processes import Site

__all__ = ["facts", "shared", "work"]


def states(*results: Any) -> list[str]:
    return [result.state for result in results]


# Callbacks


def test_callbacks_get_the_result_and_have_callbacks_too(work: Site, facts: Record) -> None:
    first = note.s(label="first")
    first.link(note.s(label="second"))
    result = add.apply_async((1, 2), link=[first, note.si(label="immutable")])
    assert result.get(timeout=WITHIN) == 3
    for label, given in (("first", [3]), ("second", ["first"]), ("immutable", [])):
        (fact,) = facts.wait_for("ran", label=label)
        assert fact["given"] == given


def test_callbacks_of_workflows_come_at_their_end(work: Site, facts: Record) -> None:
    (add.s(1, 1) | add.s(2)).apply_async(link=note.s(label="after a chain"))
    chord([echo.s(1), echo.s(2)], total.s()).apply_async(link=note.s(label="after a chord"))
    assert facts.wait_for("ran", label="after a chain")[0]["given"] == [4]
    assert facts.wait_for("ran", label="after a chord")[0]["given"] == [3]


def test_errbacks_get_what_their_functions_take(work: Site, facts: Record) -> None:
    spared = told.s(label="spared").set(task_id="spared")
    errbacks = [told.s(label="three"), told_the_id.s(), note.si(label="nothing")]
    failed = fail.apply_async(link_error=errbacks, link=note.s(label="never"))
    assert value(add.s(1, 1).on_error(spared)) == 2
    with pytest.raises(ValueError, match="as asked"):
        failed.get(timeout=WITHIN)
    (fact,) = facts.wait_for("told", label="three")
    assert (fact["id"], fact["task"], fact["error"]) == (
        failed.id, fail.name, "ValueError('as asked')",
    )  # fmt: skip
    assert fact["traceback"].endswith("ValueError: as asked\n")
    assert facts.wait_for("told", label="the id")[0]["id"] == failed.id
    assert facts.wait_for("ran", label="nothing")[0]["given"] == []
    assert app.AsyncResult("spared").state == "IGNORED"
    assert facts.facts(label="spared") == facts.facts(label="never") == []


def test_of_a_chain_only_the_step_that_failed_is_told_of(work: Site, facts: Record) -> None:
    canvas = chain(echo.s(1), fail.s(), note.s(label="behind it"), echo.s())
    result = canvas.on_error(told.s(label="chain")).delay()
    with pytest.raises(ValueError, match="as asked"):
        result.get(timeout=WITHIN)
    failed = result.parent.parent
    assert states(failed.parent, failed, result.parent, result) == ["SUCCESS", *["FAILURE"] * 3]
    assert [each["id"] for each in facts.wait_for("told", label="chain")] == [failed.id]
    assert facts.facts("ran", label="behind it") == []


# Chords whose members fail


def test_a_chord_fails_with_the_first_member_that_did(work: Site, facts: Record) -> None:
    body = note.s(label="body").on_error(told.s(label="chord"))
    result = chord([echo.s(1), fail.s(), echo.s(2) | fail.s()], body).delay()
    with pytest.raises(ChordError, match=r"raised ValueError\('as asked'\)") as raised:
        result.get(timeout=WITHIN)
    members = list(result.parent)
    assert states(*members) == ["SUCCESS", "FAILURE", "FAILURE"]
    assert raised.value.member == members[1].id
    (fact,) = facts.wait_for("told", label="chord")
    assert (fact["id"], fact["error"][:10]) == (result.id, "ChordError")
    assert facts.facts("ran", label="body") == []


@pytest.mark.parametrize(
    ("policy", "given"), [("placeholders", [1, None, None, 2]), ("ignore", [1, 2])]
)
def test_a_chord_that_bears_failures(work: Site, policy: str, given: list[Any]) -> None:
    header = [echo.s(1), fail.s(), echo.s(3) | fail.s() | echo.s(), echo.s(2)]
    assert value(chord(header, echo.s()).set(policy=policy)) == given
    assert value(chain(group(header, policy=policy), echo.s(), echo.s())) == given


# When steps begin, and whether


def test_a_countdown_begins_with_the_end_of_the_step_before(work: Site) -> None:
    result = chain(echo.s(1), echo.s().set(countdown=0.3), echo.s()).delay()
    assert result.get(timeout=WITHIN) == 1
    delayed = result.parent
    before = column(work, "finished", delayed.parent)
    assert before + 0.3 <= column(work, "started", delayed) < before + 5.0


def test_a_step_waits_for_its_eta(work: Site) -> None:
    eta = time.time() + 0.4
    result = chain(echo.s(1), echo.s().set(eta=eta)).delay()
    assert result.get(timeout=WITHIN) == 1
    assert column(work, "started", result) >= eta


def test_members_are_skewed(work: Site) -> None:
    sent = time.time()
    some = group(echo.s(each) for each in range(3)).skew(start=0.1, stop=0.25, step=0.1).delay()
    assert some.get(timeout=WITHIN) == [0, 1, 2]
    begun = [column(work, "started", each) - sent for each in some]
    assert all(since >= wait for since, wait in zip(begun, (0.1, 0.2, 0.2), strict=True))


def test_a_step_expires_while_it_waits(work: Site, facts: Record) -> None:
    line = (hold.s("expiry") | note.s(label="expired").set(expires=0.2) | echo.s()).delay()
    with pytest.raises(TaskRevokedError):
        line.get(timeout=WITHIN)
    assert states(line.parent, line) == ["REVOKED", "REVOKED"]
    work.open_gate("expiry")
    assert end(line.parent.parent) == "SUCCESS"
    assert facts.facts(label="expired") == []


def test_a_waiting_step_is_revoked(work: Site, facts: Record) -> None:
    line = (hold.s("revoke") | note.s(label="revoked") | note.s(label="after it")).delay()
    facts.wait_for("holds", name="revoke")
    line.parent.revoke()
    assert [end(line), end(line.parent)] == ["REVOKED", "REVOKED"]
    work.open_gate("revoke")
    assert end(line.parent.parent) == "SUCCESS"
    assert facts.facts(label="revoked") == facts.facts(label="after it") == []


def test_a_revoked_member_is_a_failed_one(work: Site, facts: Record) -> None:
    members = [hold.s("member"), echo.s(1).set(countdown=60)]
    result = chord(members, echo.s(), policy="placeholders").delay()
    facts.wait_for("holds", name="member")
    result.parent[1].revoke()
    work.open_gate("member")
    assert result.get(timeout=WITHIN) == ["member", None]


def test_a_whole_workflow_is_revoked(work: Site, facts: Record) -> None:
    tail = group(echo.s(), chord([echo.s(), note.s(label="whole")], echo.s())) | echo.s()
    result = (echo.s("whole") | hold.s().set(immutable=False) | tail).delay()
    facts.wait_for("holds", name="whole")
    assert result.revoke(workflow=True, terminate=True)
    assert end(result) == "REVOKED"
    family = "SELECT DISTINCT state FROM litequeue_job WHERE flow IS NOT NULL AND seq > ?"
    first = column(work, "seq", result.root)
    wait_until(lambda: rows(work, family, first) == [("REVOKED",)], WITHIN)
    assert result.root.state == "SUCCESS"
    assert facts.facts(label="whole") == []


# Again


def retry(work: Site, result: Any) -> None:
    done = work.run("-m", "litequeue", "retry", str(work.path), result.id)
    assert done.returncode == 0, done.stderr


def test_a_failed_step_is_retried_alone_and_the_rest_goes_on(work: Site, facts: Record) -> None:
    line = (echo.s(1) | mended.s("step") | add.s(1) | group(add.s(1), add.s(2)) | total.s()).delay()
    with pytest.raises((ValueError, ChordError), match="not yet"):
        line.get(timeout=WITHIN)
    failed = line.parent.parent.parent
    work.open_gate("step")
    retry(work, failed)
    assert line.get(timeout=WITHIN) == 7
    assert len(facts.facts("tried", name="step")) == 2
    assert failed.state == "SUCCESS"


def test_a_failed_member_is_retried_alone_and_the_body_is_called(work: Site, facts: Record) -> None:
    members = [note.si(label="good"), echo.s(1) | mended.s("member-again") | add.s(1)]
    result = (chord(members, echo.s()) | echo.s()).delay()
    with pytest.raises(ChordError) as raised:
        result.get(timeout=WITHIN)
    work.open_gate("member-again")
    assert raised.value.member == result.parent.parent[1].id
    retry(work, result.parent.parent[1].parent)
    assert result.get(timeout=WITHIN) == ["good", 2]
    assert len(facts.facts("ran", label="good")) == 1, "what has succeeded is not run again"


def test_what_a_step_remembers_survives_its_process(work: Site, facts: Record) -> None:
    assert value(stepwise.s("durable") | echo.s()) == ["durable first", "durable second"]
    names = [fact["name"] for fact in facts.facts("stepped")]
    assert names == ["durable first", "durable second"]
