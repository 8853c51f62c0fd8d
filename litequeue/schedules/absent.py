"""Names of celery.schedules and celery.beat that nothing here stands for, and why."""

from __future__ import annotations

from typing import Final

_INSIDE: Final = "it is Celery's inside"
_IN_THE_FILE: Final = (
    "entries are in the queue's own file, where every worker sends what is due; see app.entries, "
    "or `litequeue schedule`"
)
_EVERYWHERE: Final = (
    "every worker runs beat; app.Beat().run() or `litequeue beat` runs it where no worker does"
)
ABSENT: Final = {
    "cronfield": _INSIDE,
    "crontab_parser": "crontab reads its fields itself, and has the numbers of each: "
    "crontab(hour='8-17/3').hour",
    "BeatLazyFunc": "the arguments of an entry are stored as values; work them out in the task",
    "BeatPidbox": "`litequeue schedule` changes what is scheduled, for every beat at once",
    "EmbeddedService": _EVERYWHERE,
    "PersistentScheduler": _IN_THE_FILE,
    "ScheduleEntry": _IN_THE_FILE,
    "Scheduler": _IN_THE_FILE,
    "SchedulingError": "beat logs what it cannot send, and goes on",
    "Service": _EVERYWHERE,
    "beat_nodename": _INSIDE,
    "event_t": _INSIDE,
}


def error_of(module: str, name: str) -> ImportError | AttributeError:
    """Return what a module raises that is asked for a name it has not; ImportError says why."""
    if name in ABSENT:
        return ImportError(f"{module} has no {name}: {ABSENT[name]}", name=module)
    return AttributeError(f"module {module!r} has no attribute {name!r}", name=name)
