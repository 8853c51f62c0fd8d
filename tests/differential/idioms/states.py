"""States: Celery's, a task's own, and the ways to end without a result."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from celery import states
from celery.exceptions import Ignore, Reject
from idioms.observe import (
    got,
    idiom,
    note,
    noted,
    open_gate,
    outcome,
    pass_gate,
    wait_for_notes,
    wait_until,
)
from idioms.proj import app


@app.task(bind=True)
def progress(self: Any, gate: str) -> str:
    self.update_state(state="PROGRESS", meta={"done": 3, "total": 7})
    pass_gate(gate)
    return "finished"


@app.task(bind=True)
def fail_by_hand(self: Any) -> None:
    self.update_state(
        state=states.FAILURE,
        meta={"exc_type": "ValueError", "exc_message": ["by hand"], "exc_module": "builtins"},
    )
    raise Ignore()


@app.task(bind=True)
def end_in_a_state_of_ones_own(self: Any) -> None:
    self.update_state(state="PAUSED", meta={"at": 12})
    raise Ignore()


@app.task(bind=True)
def ignore(self: Any) -> None:
    note(f"ignored {self.request.id}")
    raise Ignore()


@app.task(bind=True)
def reject(self: Any) -> None:
    note(f"rejected {self.request.id}")
    raise Reject("no use", requeue=False)


@app.task(bind=True, acks_late=True)
def reject_once(self: Any) -> bool:
    note(f"rejected {self.request.id}")
    if len(noted(f"rejected {self.request.id}")) < 3:
        raise Reject("not now", requeue=True)
    return True


@app.task(bind=True, track_started=True)
def tracked(self: Any, gate: str) -> str:
    pass_gate(gate)
    return "done"


@app.task(bind=True)
def untracked(self: Any, gate: str) -> str:
    note(f"running {self.request.id}")
    pass_gate(gate)
    return "done"


@app.task(throws=(KeyError,))
def throws() -> None:
    raise KeyError("expected")


@idiom
def states_and_sets() -> Any:
    return {
        "ready": sorted(states.READY_STATES),
        "unready": sorted(states.UNREADY_STATES),
        "exception": sorted(states.EXCEPTION_STATES),
        "propagate": sorted(states.PROPAGATE_STATES),
        "names": [
            states.PENDING,
            states.RECEIVED,
            states.STARTED,
            states.SUCCESS,
            states.FAILURE,
            states.RETRY,
            states.REVOKED,
            states.REJECTED,
            states.IGNORED,
        ],
    }


@idiom
def all_states() -> Any:
    return sorted(states.ALL_STATES)


@idiom
def progress_is_seen() -> Any:
    result = progress.delay("progress")
    wait_until(lambda: result.state == "PROGRESS")
    seen = [result.state, result.info, result.result, result.ready()]
    open_gate("progress")
    return [seen, got(result), result.state]


@idiom
def failure_by_hand() -> Any:
    result = fail_by_hand.delay()
    wait_until(lambda: result.state == states.FAILURE)
    return [result.ready(), repr(result.result)]


@idiom
def last_state_of_ones_own() -> Any:
    result = end_in_a_state_of_ones_own.delay()
    wait_until(lambda: result.state == "PAUSED" or result.ready())
    with suppress(AssertionError):
        wait_until(result.ready, timeout=0.7)
    return [result.state, result.info]


@idiom
def ignored() -> Any:
    return _state_after(ignore.delay(), "ignored")


@idiom
def rejected_and_requeued() -> Any:
    return outcome(reject_once.delay())


@idiom
def rejected() -> Any:
    return _state_after(reject.delay(), "rejected")


def _state_after(result: Any, key: str) -> str:
    """Return the state that a job has for good, which in Celery is the first one it had."""
    wait_for_notes(f"{key} {result.id}")
    moving = {states.PENDING, states.RECEIVED, states.STARTED}
    with suppress(AssertionError):
        wait_until(lambda: result.state not in moving, timeout=0.7)
    return str(result.state)


@idiom
def started_state() -> Any:
    result = tracked.delay("tracked")
    wait_until(lambda: result.state == states.STARTED)
    open_gate("tracked")
    return [got(result), result.state]


@idiom
def state_while_running() -> Any:
    result = untracked.delay("untracked")
    wait_for_notes(f"running {result.id}")
    try:
        state = wait_until(lambda: result.state == states.STARTED and result.state, timeout=0.7)
    except AssertionError:
        state = result.state
    open_gate("untracked")
    return [state, got(result)]


@idiom
def expected_exception() -> Any:
    result = throws.delay()
    wait_until(result.ready)
    return [throws.throws == (KeyError,), result.state, repr(result.result)]


@idiom
def state_set_from_outside() -> Any:
    progress.update_state(task_id="made-by-hand", state="PROGRESS", meta={"done": 1})
    result = app.AsyncResult("made-by-hand")
    return [result.state, result.info]
