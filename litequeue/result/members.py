"""The members of a group, by its id: of one that is a part of a workflow, and of one made by hand.

The file knows the first by itself.  The second is kept as what Celery makes of it, a list of ids
that is the result of a job which has ended; so it lives as long as results do.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import Any, Final

from litequeue import states
from litequeue.exceptions import JobNotFound
from litequeue.flow import Group
from litequeue.job import Job, Outcome, result_of
from litequeue.result.home import Home

SAVED: Final = "celery.group_result"
"""The task of the job that stands for a group made by hand."""
_QUEUE: Final = "saved"
_NO_ARGUMENTS: Final = 1_000

Tree = list[Any]
"""Members of a group: the id of a job, or [id of an inner group, its members]."""


def group_of(home: Home, name: str) -> Group:
    """Return a group of a workflow; raises `JobNotFound`."""
    group = home.store.group(name)
    if group is None:
        raise missing(home, name)
    return group


def missing(home: Home, name: str) -> JobNotFound:
    """Return the error for an id that no group has, which says so if a job has it."""
    if home.store.fetch(name) is not None:
        hint = f", but a job: ask app.AsyncResult({name!r})"
    else:
        hint = ": never sent here, or pruned with all its members"
    return JobNotFound(name, f"no group {name} in this file{hint}")


def ids_of(home: Home, name: str) -> Iterator[str]:
    """Yield the ids of the members of a group of a workflow, read some at a time."""
    return chain.from_iterable(home.store.members_of(name))


def save(home: Home, name: str, members: Tree) -> None:
    """Keep a group that was made by hand, instead of what was kept before.

    Raises `DuplicateJob` where a job has the id, and `PayloadTooLarge` for too many members.
    """
    if load(home, name) is not None:
        forget(home, name)
    now = home.clock.now()
    text = home.codec.dumps(members, context=result_of(name))
    job = Job(name, SAVED, home.codec.dumps_arguments((), {}, limit=_NO_ARGUMENTS), _QUEUE)
    outcome = Outcome(0, 0, 0, states.SUCCESS, text, started=now)
    home.store.add_ended(job, outcome, retries=0)


def load(home: Home, name: str) -> Tree | None:
    """Return the members of a group that was saved, None for another id."""
    details = home.store.details(name)
    record = None if details is None or details.task != SAVED else home.store.fetch(name)
    if record is None or record.result is None:
        return None
    members: Tree = home.codec.loads(record.result, context=result_of(name))
    return members


def forget(home: Home, name: str) -> bool:
    """Forget that a group was saved; False where none was."""
    return load(home, name) is not None and home.store.forget(name)
