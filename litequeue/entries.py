"""`app.entries`: the lines of beat in the file, seen and changed while everything runs.

What code defines (`litequeue.periodic`) can be paused, resumed and run now; to change it is the
code's affair.  What is added here stays, whatever is deployed.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Unpack

from litequeue import periodic, schedules
from litequeue.calling import arguments_given
from litequeue.due import first, upcoming
from litequeue.entry import Entry
from litequeue.exceptions import EntryNotFound, ScheduleError
from litequeue.job import bound_to, new_id
from litequeue.periodic import EntryOptions
from litequeue.result import AsyncResult
from litequeue.schedules import Schedule
from litequeue.store import entries as stored
from litequeue.store.entries import EntryRecord

_AS_THEY_ARE: Final = ("queue", "priority", "misfire", "catch_up", "overlap")


@dataclass(frozen=True, slots=True)
class EntryInfo:
    """One line of beat, as the file had it when it was asked.  Moments are in UTC."""

    app: Any
    record: EntryRecord

    @property
    def name(self) -> str:
        """Its name, which no other entry has."""
        return self.record.entry.name

    @property
    def task(self) -> str:
        """The name of the task that it sends."""
        return self.record.entry.task

    @property
    def schedule(self) -> Schedule:
        """When it is due."""
        return schedules.load(self.record.entry.schedule)

    @property
    def args(self) -> Sequence[Any]:
        """The positional arguments that it sends."""
        return _arguments(self.app, self.record.entry)[0]

    @property
    def kwargs(self) -> Mapping[str, Any]:
        """The keyword arguments that it sends."""
        return _arguments(self.app, self.record.entry)[1]

    @property
    def owner(self) -> str | None:
        """The app whose code defines it, None for one that was added to the file."""
        return self.record.owner

    @property
    def paused(self) -> datetime | None:
        """Since when it is paused."""
        return _utc(self.record.paused)

    @property
    def next_run(self) -> datetime | None:
        """When it is sent next, with its jitter; None for never again, and while it is paused."""
        return None if self.record.paused is not None else _utc(self.record.next_due)

    @property
    def last_run(self) -> datetime | None:
        """When it was sent last."""
        return _utc(self.record.last_fired)

    @property
    def drift(self) -> float | None:
        """How many seconds late it was sent last."""
        fired, due = self.record.last_fired, self.record.last_due
        return None if fired is None or due is None else fired - due

    @property
    def last_job(self) -> AsyncResult[Any] | None:
        """The job that it sent last."""
        id = self.record.last_job
        return None if id is None else AsyncResult(id, app=self.app)

    @property
    def last_state(self) -> str | None:
        """The state of that job; None when it is not kept any more."""
        return self.record.last_state

    @property
    def count(self) -> int:
        """How many jobs it has sent."""
        return self.record.count

    def __repr__(self) -> str:
        """Say what it sends, and when next."""
        return f"<EntryInfo {self.name}: {self.task}, {self._when()}>"

    def _when(self) -> str:
        if self.paused is not None:
            return "paused"
        return f"next {self.next_run:%Y-%m-%d %H:%M:%S} UTC" if self.next_run else "never again"

    def next_runs(self, count: int = 5) -> list[datetime]:
        """Return when it is due next, without jitter, as if it were not paused."""
        now = self.app.clock.now()
        moments = upcoming(self.record.entry, self.record.anchor, now)
        return [datetime.fromtimestamp(at, UTC) for at in itertools.islice(moments, count)]


@dataclass(frozen=True, slots=True)
class TickInfo:
    """A tick that was dealt with: when it was due, and when it was sent, in UTC.

    ``due`` is ``at`` and the entry's jitter.  ``note`` says why no ``job`` (an id) was sent, or
    why one was that no schedule made; ``state`` is the job's, None when it is not kept any more.
    """

    key: str
    at: datetime
    due: datetime
    fired: datetime
    job: str | None
    note: str | None
    state: str | None


class Entries:
    """The entries in the file of ``app``.

    Its methods raise `EntryNotFound` for a name that is not there, `EntryOwned` for a change of
    what code defines, and `StoreError`.
    """

    def __init__(self, app: Any) -> None:
        self._app = app

    def __iter__(self) -> Iterator[EntryInfo]:
        """Iterate over all entries, by name."""
        return iter(self.list())

    def list(self) -> list[EntryInfo]:
        """Return all entries, by name."""
        return [EntryInfo(self._app, each) for each in stored.listed(self._database)]

    def get(self, name: str) -> EntryInfo:
        """Return one entry."""
        return EntryInfo(self._app, stored.get(self._database, name))

    def __contains__(self, name: object) -> bool:
        """Tell whether there is an entry of this name."""
        try:
            stored.get(self._database, str(name))
        except EntryNotFound:
            return False
        return True

    def history(self, name: str, limit: int = 20) -> Sequence[TickInfo]:
        """Return the last ticks of an entry, the newest first."""
        rows = stored.history(self._database, name, limit)
        return [
            TickInfo(
                row.key,
                datetime.fromtimestamp(row.at, UTC),
                datetime.fromtimestamp(row.due, UTC),
                datetime.fromtimestamp(row.fired, UTC),
                row.job,
                row.note,
                row.state,
            )
            for row in rows
        ]

    def add(
        self,
        name: str,
        schedule: Any,
        task: Any,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        *,
        paused: bool = False,
        **options: Unpack[EntryOptions],
    ) -> EntryInfo:
        """Add an entry, from now on until it is removed; `LiteQueue.add_periodic_task` in the file.

        Raises `EntryExists` when the name is taken, and as `add_periodic_task` does.
        """
        said = periodic.declared(schedule, task, args, kwargs, name=name, options={**options})
        entry = said.entry(self._app)
        now = self._app.clock.now()
        if first(entry, now, now) is None:
            raise ScheduleError(f"the entry {name!r} would never be sent: {said.schedule} is over")
        stored.add(self._database, entry, now, paused=paused)
        return self.get(name)

    def edit(self, name: str, **changes: Any) -> EntryInfo:
        """Change an entry that was added to the file; what is not given stays.

        Possible: ``schedule``, ``task``, ``args``, ``kwargs``, ``queue``, ``priority``,
        ``expires``, and the policies.  Raises TypeError for anything else.
        """
        now = self._app.clock.now()
        entry = stored.get(self._database, name).entry
        return EntryInfo(
            self._app,
            stored.change(self._database, name, _changed(self._app, entry, changes), now),
        )

    def pause(self, name: str) -> bool:
        """Send no more until `resume`; False when it was paused before."""
        return stored.pause(self._database, name, self._app.clock.now())

    def resume(self, name: str) -> bool:
        """Send again, from the next tick on; False when it was not paused.

        What was due meanwhile is not made up for.
        """
        return stored.resume(self._database, name, self._app.clock.now())

    def run_now(self, name: str) -> AsyncResult[Any]:
        """Send its job now, besides its schedule, also when it is paused."""
        from litequeue.events.rows import sent_but_of, silent

        app, now = self._app, self._app.clock.now()
        event_of = sent_but_of(silent(app.tasks)) if app.conf.task_send_sent_event else None
        job = stored.run_now(self._database, name, new_id(now), now, event_of=event_of)
        self._app.store.ring()
        return AsyncResult(job.id, app=self._app)

    def remove(self, name: str, *, force: bool = False) -> None:
        """Delete an entry that was added to the file, with its history; its jobs stay.

        ``force``: also one of code, for an app that is gone: a worker of it would bring it back.
        """
        stored.remove(self._database, name, force=force)

    @property
    def _database(self) -> Any:
        return self._app.store.database


def _changed(app: Any, entry: Entry, changes: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of an `Entry` that ``changes`` say."""
    given = dict(changes)
    fields: dict[str, Any] = {each: given.pop(each) for each in _AS_THEY_ARE if each in given}
    if "schedule" in given:
        zone = getattr(schedules.load(entry.schedule), "zone", None)
        schedule = schedules.schedule_of(
            given.pop("schedule"), zone=zone or periodic.zone_name(app.zone)
        )
        fields["schedule"] = schedules.dump(schedule)
    if given.keys() & {"task", "args", "kwargs"}:
        fields |= _template(app, entry, given)
    if "expires" in given:
        fields["expires"] = periodic.seconds_of("expires", given.pop("expires"))
    policies: dict[str, Any] = {
        each: given.pop(each) for each in periodic.POLICIES if each in given
    }
    fields |= periodic.checked_policies(policies, app.conf, app.zone)
    if given:
        raise TypeError(f"an entry has no {min(given)!r} that could be changed")
    return fields


def _template(app: Any, entry: Entry, given: dict[str, Any]) -> dict[str, Any]:
    """Return the task and the encoded arguments, of which some are new."""
    task = given.pop("task", entry.task)
    name = task if isinstance(task, str) else task.name
    args, kwargs = _arguments(app, entry)
    args, kwargs = arguments_given(given.pop("args", args), given.pop("kwargs", kwargs))
    known = app.tasks.get(name)
    if known is not None and known.typing:
        known.check_arguments(args, kwargs)
    body = app.codec.dumps_arguments(
        args, kwargs, limit=periodic.MOST_ARGUMENTS, context=bound_to(name, "", entry.options)
    )
    return {"task": name, "body": body}


def _arguments(app: Any, entry: Entry) -> tuple[Sequence[Any], Mapping[str, Any]]:
    context = bound_to(entry.task, "", entry.options)
    found: tuple[Sequence[Any], Mapping[str, Any]] = app.codec.loads_arguments(
        entry.body, context=context
    )
    return found


def _utc(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)
