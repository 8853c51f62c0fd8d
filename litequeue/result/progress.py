"""`Progress`: how far a job, a group or a workflow is, in one look at the file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from litequeue import states
from litequeue.flow import Group
from litequeue.job import result_of
from litequeue.result import family
from litequeue.result.home import Home
from litequeue.result.waiting import missing

if TYPE_CHECKING:
    from litequeue.store import Record

_IDLE: Final = frozenset({states.PENDING, states.RETRY, states.RECEIVED})


@dataclass(frozen=True, slots=True)
class Progress:
    """How many jobs there are, and what has become of them.

    ``ended`` are ``succeeded`` and ``failed``, which is all that ended without a result.  The
    others are ``running`` or ``waiting``.  ``fraction`` is between 0 and 1: what is done of all,
    a running job counted by what it says of itself.
    """

    total: int
    ended: int
    succeeded: int
    failed: int
    running: int
    waiting: int
    fraction: float

    @classmethod
    def of(
        cls,
        *,
        succeeded: int = 0,
        failed: int = 0,
        running: int = 0,
        waiting: int = 0,
        part: float = 0.0,
    ) -> Progress:
        """Return it for these numbers of jobs; ``part`` is what is done of those that run."""
        ended = succeeded + failed
        total = ended + running + waiting
        fraction = (ended + part) / total if total else 1.0
        return cls(total, ended, succeeded, failed, running, waiting, fraction)


def progress_of_counts(counts: Mapping[tuple[bool, str], int]) -> Progress:
    """Return it for numbers of jobs that are (ended or not, in this state)."""
    succeeded = counts.get((True, states.SUCCESS), 0)
    return Progress.of(
        succeeded=succeeded,
        failed=sum(count for (ended, _), count in counts.items() if ended) - succeeded,
        waiting=sum(
            count for (ended, state), count in counts.items() if not ended and state in _IDLE
        ),
        running=sum(
            count for (ended, state), count in counts.items() if not ended and state not in _IDLE
        ),
    )


def progress_of_group(group: Group) -> Progress:
    """Return it for a group all of whose members are in the file."""
    size = group.size or 0
    running = min(group.running, group.waiting)
    return Progress.of(
        succeeded=size - group.waiting - group.failed,
        failed=group.failed,
        running=running,
        waiting=group.waiting - running,
    )


def progress_of_all(several: Sequence[Progress], part: float = 0.0) -> Progress:
    """Return it for all of these together; ``part`` is what is done of the jobs that run."""
    return Progress.of(
        succeeded=sum(each.succeeded for each in several),
        failed=sum(each.failed for each in several),
        running=sum(each.running for each in several),
        waiting=sum(each.waiting for each in several),
        part=part,
    )


def progress_of_job(home: Home, id: str) -> Progress:
    """Return it for a job and all steps of its workflow that come before it.

    Of a job without steps before it that says how far it is, (current, total) are the numbers.
    Raises `JobNotFound`.
    """
    from litequeue.result.group_result import GroupResult  # which counts by the means of this

    record = home.store.fetch(id)
    if record is None:
        raise missing(home, id)
    part, shown = _part_of(home, id, record)
    alone = True
    counts = _count(record)
    gathered: list[Progress] = []
    for relative in family.steps_before(home, id):
        alone = False
        if relative.is_group:
            gathered.append(GroupResult[Any](relative.id, app=home).progress())
            continue
        before = home.store.fetch(relative.id)
        if before is not None:
            part += _part_of(home, relative.id, before)[0]
            for key, count in _count(before).items():
                counts[key] = counts.get(key, 0) + count
    if alone and shown is not None:
        current, total = shown
        return Progress(total, current, current, 0, 0, total - current, part)
    return progress_of_all([progress_of_counts(counts), *gathered], part)


def _count(record: Record) -> dict[tuple[bool, str], int]:
    return {(record.is_done, record.state): 1}


def _part_of(home: Home, id: str, record: Record) -> tuple[float, tuple[int, int] | None]:
    """Return what is done of a job that runs, and the numbers that it shows, None without any."""
    if record.is_done or record.state in _IDLE or record.result is None:
        return 0.0, None
    meta = home.codec.loads(record.result, context=result_of(id))
    if not isinstance(meta, dict):
        return 0.0, None
    current, total = meta.get("current"), meta.get("total")
    if not isinstance(current, int | float) or not isinstance(total, int | float) or total <= 0:
        return 0.0, None
    current = min(max(current, 0), total)
    return current / total, (int(current), int(total))
