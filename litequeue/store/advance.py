"""Moving workflows on: what a job's end means for the jobs that wait for it.

The triggers of `flow_models` note which jobs are to be looked at; here that is done, in the
transaction that ended them.  What is too much for one transaction stays noted for the next, whose
ever it is.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from litequeue import flow, states
from litequeue.job import Failure, Outcome
from litequeue.store.connection import Database
from litequeue.store.driver import lenient, sqlite3
from litequeue.store.settle import ADD_ERROR, ROW, Keep, error_row, is_about_a_value

AT_ONCE: Final = 500
"""Jobs looked at per transaction, with those that wait for them (10 to 20 µs each)."""


@dataclass(slots=True)
class Advanced:
    """What became of the jobs that waited for others.

    ``released`` are the numbers of those that may run now; ``ready``: others may, too.  ``ended``
    holds the ids of those that never will.  ``more``: this was all for one transaction, and there
    is more to do.
    """

    ready: bool = False
    released: list[int] = field(default_factory=list)
    ended: list[str] = field(default_factory=list)
    more: bool = False


TO_DO: Final = "SELECT job, place FROM litequeue_advance LIMIT ?"


def advance(connection: sqlite3.Connection, now: float, keep: Keep) -> Advanced:
    """Do what the ends of jobs demand, within the caller's transaction."""
    found = connection.execute(TO_DO, (AT_ONCE,)).fetchall()
    if not found:
        return Advanced()
    with lenient(connection):
        turn = _Turn(connection, now, keep)
        while found:
            turn.look_at_all(found)
            found = connection.execute(TO_DO, (AT_ONCE,)).fetchall()
            if turn.left <= 0:
                turn.advanced.more = bool(found)
                break
    return turn.advanced


def advance_all(database: Database, advanced: Advanced, now: float, keep: Keep) -> None:
    """Go on in transactions of their own until nothing is left, and add it to ``advanced``."""
    while advanced.more:
        with database.write(durable=True, rows=AT_ONCE) as connection:
            further = advance(connection, now, keep)
        advanced.ready |= further.ready
        advanced.released += further.released
        advanced.ended += further.ended
        advanced.more = further.more


TAKE: Final = "DELETE FROM litequeue_advance WHERE job = ?"
PUT: Final = "INSERT OR REPLACE INTO litequeue_advance (job, place) VALUES (?, ?)"
LOOK: Final = "SELECT id, phase, state, flow, task, length(result) FROM litequeue_job WHERE seq = ?"
# What was met before its target was replaced has nothing more to say to it: `spent` is 2.
EDGES: Final = """
SELECT place, target, kind, spent FROM litequeue_edge
WHERE source = ? AND place >= ? AND spent < 2 ORDER BY place LIMIT ?
"""
FORGET_EDGES: Final = "DELETE FROM litequeue_edge WHERE source = ?"
SPEND: Final = "UPDATE litequeue_edge SET spent = ? WHERE source = ? AND place = ?"
LAST_FAILURE: Final = """
SELECT type, message, traceback, args, 0, evidence FROM litequeue_error WHERE job = ? AND state = ?
ORDER BY claim DESC LIMIT 1
"""
FORGET_ERROR: Final = "DELETE FROM litequeue_error WHERE job = ? AND claim = 0"

# A job's options are JSON of ours; whatever they are, they must not stop the others.
_OPTIONS: Final = "CASE WHEN json_valid(options) THEN options ELSE '{}' END"
_STILL_WAITS: Final = """
WHERE seq = ?1 AND EXISTS (SELECT 1 FROM litequeue_job WHERE seq = ?1 AND phase = 'waiting')
"""
# Who reads what was signed has to know whose it is.
GIVE: Final = f"""
UPDATE litequeue_payload SET options = (
    SELECT CASE WHEN result GLOB '!*'
        THEN json_set({_OPTIONS}, '$.given', result, '$.given_by', id)
        ELSE json_set({_OPTIONS}, '$.given', result) END
    FROM litequeue_job WHERE seq = ?2)
{_STILL_WAITS}
"""
GIVE_FAILURE: Final = f"""
UPDATE litequeue_payload SET options = json_set({_OPTIONS}, '$.failed', json(?2))
{_STILL_WAITS}
"""
GIVE_ALL: Final = f"""
UPDATE litequeue_payload SET options = (
    SELECT CASE WHEN max(result GLOB '!*')
        THEN json_set({_OPTIONS}, '$.given', json_group_array(result),
                      '$.given_by', json_group_array(id))
        ELSE json_set({_OPTIONS}, '$.given', json_group_array(result)) END
    FROM (SELECT id, CASE WHEN state = 'SUCCESS' THEN result END AS result FROM litequeue_job
          WHERE flow = ?2 AND flow > 0 AND (state = 'SUCCESS' OR ?3 <> 'ignore') ORDER BY seq))
{_STILL_WAITS} AND json_extract({_OPTIONS}, '$.immutable') IS NULL
"""
# A countdown begins where its job could begin.
RELEASE: Final = """
UPDATE litequeue_job
SET eta = due.eta, phase = CASE WHEN due.eta > ?2 THEN 'scheduled' ELSE 'ready' END, runtime = NULL
FROM (SELECT coalesce(?2 + (
          SELECT CAST(json_extract(options, '$.countdown') AS REAL) FROM litequeue_payload
          WHERE seq = ?1 AND instr(options, '"countdown"') AND json_valid(options)), eta) AS eta
      FROM litequeue_job WHERE seq = ?1) AS due
WHERE seq = ?1 AND phase = 'waiting'
"""
END: Final = """
UPDATE litequeue_job SET phase = 'done', state = ?, finished = ?, keep_until = ?
WHERE seq = ? AND phase = 'waiting' RETURNING id
"""
PUT_BACK: Final = """
UPDATE litequeue_job
SET phase = 'waiting', state = 'PENDING', finished = NULL, keep_until = NULL
WHERE seq = ? AND phase = 'done'
"""
PUT_ERRBACK_BACK: Final = f"{PUT_BACK} AND state = 'IGNORED' AND claims = 0"
NEEDED: Final = """
SELECT 1 FROM litequeue_edge WHERE target = ? AND kind = 'error' AND NOT spent LIMIT 1
"""
OPEN_TARGET: Final = "SELECT target FROM litequeue_fanin WHERE id = ? AND spent = 1"
SPEND_FANIN: Final = "UPDATE litequeue_fanin SET spent = ? WHERE target = ? AND spent < 2"
JOIN: Final = """
SELECT id, policy, failed, failed >= size FROM litequeue_fanin
WHERE target = ? AND waiting = 0 AND spent < 2
"""
# Of a group in which nobody has begun: how many, and the one step that ended them, if it is one;
# errbacks that are not needed were ended by none.
NEVER_BEGAN: Final = """
SELECT count(*), min(member.state), min(error.evidence)
FROM litequeue_job AS member
LEFT JOIN litequeue_error AS error ON error.job = member.seq AND error.claim = 0
WHERE member.flow = ? AND member.flow > 0
HAVING max(member.claims) = 0 AND min(member.state) = max(member.state)
   AND (count(error.evidence) = 0 AND min(member.state) = 'IGNORED'
        OR count(error.evidence) = count(*) AND min(error.evidence) = max(error.evidence))
"""
MENDED: Final = """
SELECT 1 FROM litequeue_fanin WHERE target = ? AND spent = 1 AND waiting = 0 AND NOT failed
"""
CULPRIT: Final = """
SELECT seq, id, state FROM litequeue_job
WHERE flow = ? AND flow > 0 AND state <> 'SUCCESS' ORDER BY seq LIMIT 1
"""
_Edges = Sequence[tuple[int, int, str, int]]


class _Turn:
    """What is done in one transaction: ``left`` is how much more it may be."""

    def __init__(self, connection: sqlite3.Connection, now: float, keep: Keep) -> None:
        self.advanced = Advanced()
        self.left = AT_ONCE
        self._connection = connection
        self._now = now
        self._keep = keep

    def look_at_all(self, found: Iterable[tuple[int, int]]) -> None:
        """Look at jobs, each from a place among its edges on."""
        for seq, place in found:
            if self.left <= 0:
                return
            self._look_at_carefully(seq, place)

    def _look_at_carefully(self, seq: int, place: int) -> None:
        """Look at a job; what cannot be handed on is the failure of those who wait for it."""
        self._connection.execute("SAVEPOINT litequeue_look")
        try:
            self._look_at(seq, place)
        except Exception as error:
            if not is_about_a_value(error):
                raise
            self._connection.execute("ROLLBACK TO litequeue_look")
            self._give_up(seq, place, error)
        finally:
            self._connection.execute("RELEASE litequeue_look")

    def _give_up(self, seq: int, place: int, error: Exception) -> None:
        execute = self._connection.execute
        execute(TAKE, (seq,))
        reason = Failure("ValueError", f"what it was to be given cannot be handed on: {error}")
        self._end(seq, states.FAILURE, reason)  # a body that was to be given its list
        edges = execute(EDGES, (seq, place, AT_ONCE)).fetchall()
        for number, target, *_ in edges:
            if self._end(target, states.FAILURE, reason):
                execute(SPEND, (1, seq, number))
        if len(edges) == AT_ONCE:
            execute(PUT, (seq, edges[-1][0] + 1))

    def _look_at(self, seq: int, place: int) -> None:
        execute = self._connection.execute
        row = execute(LOOK, (seq,)).fetchone()
        size = 1 if row is None else _weight(row[5])  # each that it is given to has a copy
        most = max(1, self.left // size)
        edges = execute(EDGES, (seq, place, most)).fetchall()
        is_all = len(edges) < most
        self.left -= 1 + len(edges) * size
        execute(TAKE, (seq,))
        if row is None:
            self._failed(seq, (str(abs(seq)), None), states.REVOKED, edges)
            if is_all:
                execute(FORGET_EDGES, (seq,))
        elif row[1] != states.DONE:
            self._opened(seq, row[3], edges)
            if row[1] == states.WAITING:
                self._join(seq)
        elif row[2] == states.SUCCESS:
            self._succeeded(seq, edges)
        elif not self._is_mended(seq):
            self._failed(seq, (row[0], row[4]), row[2], edges)
        if not is_all:
            execute(PUT, (seq, edges[-1][0] + 1))

    # A job has ended

    def _succeeded(self, seq: int, edges: _Edges) -> None:
        for place, target, kind, spent in edges:
            if kind == flow.ERROR:
                self._spare(seq, place, target)
                continue
            if spent:  # it ran again before all that it had stopped was back
                self._back(seq, place, target)
            if kind == flow.NEXT:
                self._connection.execute(GIVE, (target, seq))
            self._release(target)

    def _failed(self, seq: int, name: tuple[str, str | None], state: str, edges: _Edges) -> None:
        if not edges:
            return
        failure = self._failure_of(seq, state)
        was_stopped = _is_stopped(failure)
        reason = failure if was_stopped else _stopped_by(name[0], failure)
        told: str | None = None
        for place, target, kind, _ in edges:
            if kind != flow.ERROR:
                if self._end(target, state, reason):
                    self._connection.execute(SPEND, (1, seq, place))
            elif was_stopped or state != states.FAILURE:
                self._spare(seq, place, target)
            else:
                told = told or _as_json(*name, failure)
                self._connection.execute(GIVE_FAILURE, (target, told))
                self._release(target)

    def _failure_of(self, seq: int, state: str) -> Failure:
        row = self._connection.execute(LAST_FAILURE, (seq, state)).fetchone()
        if row is not None:
            return Failure(*row)
        if state == states.REVOKED:
            return Failure("TaskRevokedError", "revoked")
        return Failure("Ignore" if state == states.IGNORED else "Reject", state.lower())

    def _release(self, target: int) -> None:
        if self._connection.execute(RELEASE, (target, self._now)).rowcount > 0:
            self.advanced.released.append(target)

    def _end(self, target: int, state: str, reason: Failure) -> bool:
        row = (state, self._now, self._keep.until(state, self._now), target)
        ended = self._connection.execute(END, row).fetchall()
        for (id,) in ended:
            outcome = Outcome(target, 0, 0, state)
            self._connection.execute(ADD_ERROR, error_row(outcome, reason, self._now))
            self.advanced.ended.append(id)
        return bool(ended)

    def _spare(self, seq: int, place: int, errback: int) -> None:
        """An errback is not needed for this job; if for no other either, it never runs."""
        self._connection.execute(SPEND, (1, seq, place))
        if self._connection.execute(NEEDED, (errback,)).fetchone() is None:
            until = self._keep.until(states.IGNORED, self._now)
            row = (states.IGNORED, self._now, until, errback)
            self.advanced.ended += [id for (id,) in self._connection.execute(END, row).fetchall()]

    # A job has been opened again

    def _opened(self, seq: int, fanin: int, edges: _Edges) -> None:
        for place, target, kind, spent in edges:
            if spent:
                self._back(seq, place, target, is_errback=kind == flow.ERROR)
        for (target,) in self._connection.execute(OPEN_TARGET, (fanin,)).fetchall():
            self._put_back(target, PUT_BACK)
            self._connection.execute(SPEND_FANIN, (0, target))

    def _back(self, seq: int, place: int, target: int, *, is_errback: bool = False) -> None:
        self._put_back(target, PUT_ERRBACK_BACK if is_errback else PUT_BACK)
        self._connection.execute(SPEND, (0, seq, place))

    def _put_back(self, target: int, statement: str) -> None:
        if self._connection.execute(statement, (target,)).rowcount > 0:
            self._connection.execute(FORGET_ERROR, (target,))

    def _is_mended(self, target: int) -> bool:
        """Join the group after all if its members have succeeded before this job was back."""
        if self._connection.execute(MENDED, (target,)).fetchone() is None:
            return False
        self._put_back(target, PUT_BACK)
        self._connection.execute(SPEND_FANIN, (0, target))
        self._join(target)
        return True

    # All members of a group have ended

    def _join(self, target: int) -> None:
        row = self._connection.execute(JOIN, (target,)).fetchone()
        if row is None:
            return
        fanin, policy, failed, all_failed = row
        if all_failed and self._end_unbegun(target, fanin):
            self._connection.execute(SPEND_FANIN, (1, target))
            return
        if failed and policy == flow.FAIL:
            if self._end(target, states.FAILURE, self._chord_error(fanin)):
                self._connection.execute(SPEND_FANIN, (1, target))
            return
        self._connection.execute(GIVE_ALL, (target, fanin, policy))
        self._release(target)

    def _end_unbegun(self, target: int, fanin: int) -> bool:
        """End what waits for a group that was stopped by a step before it, as its members."""
        row = self._connection.execute(NEVER_BEGAN, (fanin,)).fetchone()
        if row is None:
            return False
        count, state, evidence = row
        if state != states.IGNORED and (count < 2 or not str(evidence).startswith('{"step":')):
            return False  # that step may be in the group, before its only member
        (seq, *_) = self._connection.execute(CULPRIT, (fanin,)).fetchone()
        return self._end(target, state, self._failure_of(seq, state))

    def _chord_error(self, fanin: int) -> Failure:
        row = self._connection.execute(CULPRIT, (fanin,)).fetchone()
        if row is None:
            return Failure("ChordError", "a member of the group was deleted before it had ended")
        seq, id, state = row
        cause = self._failure_of(seq, state)
        message = f"Dependency {id} raised {cause.type}({cause.message!r})"
        return Failure("ChordError", message, cause.traceback, json.dumps([message, id]))


# A job that was ended because of another has that one's failure, and says whose it was.


def _stopped_by(id: str, failure: Failure) -> Failure:
    """Return the failure without its traceback: that is with the job ``id``, once."""
    return replace(failure, traceback=None, evidence=json.dumps({"step": id}))


def _weight(size: int | None) -> int:
    """Return what a copy of so many characters counts among the `AT_ONCE` of a turn."""
    return 1 + (size or 0) // ROW


def _is_stopped(failure: Failure) -> bool:
    return bool(failure.evidence) and str(failure.evidence).startswith('{"step":')


def _as_json(id: str, task: str | None, failure: Failure) -> str:
    told: dict[str, Any] = {
        "id": id,
        "task": task,
        "type": failure.type,
        "message": failure.message,
        "args": failure.args,
        "traceback": failure.traceback,
    }
    return json.dumps(told)
