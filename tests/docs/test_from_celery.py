"""The page for those who come from Celery has a row for every name, and the rows are true."""

from __future__ import annotations

import fnmatch
import inspect
import re
from collections.abc import Iterable
from types import ModuleType
from typing import Any

import celery
import pytest
from celery import beat as celery_beat
from celery import canvas
from celery import exceptions as celery_exceptions
from celery import schedules as celery_schedules
from celery import signals as celery_signals
from celery import states as celery_states
from celery.app.control import Control as CeleryControl
from celery.app.control import Inspect as CeleryInspect
from celery.app.defaults import NAMESPACES, flatten
from celery.app.events import Events as CeleryEvents
from celery.app.task import Context
from celery.bin.celery import celery as celery_command
from celery.bin.worker import worker as celery_worker
from celery.concurrency import get_available_pool_names
from celery.events.state import TASK_EVENT_TO_STATE
from celery.result import AsyncResult, GroupResult, ResultSet
from celery.utils.dispatch import Signal

import litequeue
from litequeue import LiteQueue, exceptions, schedules, signals, states
from litequeue.calling import UNBUILT_CALL_OPTIONS
from litequeue.celery_names import NOT_BUILT, WITHOUT_EFFECT, without_effect
from litequeue.cli.worker import worker
from litequeue.config import Settings
from litequeue.control import Control, Inspect
from litequeue.declaring import TASK_OPTIONS, UNBUILT_TASK_OPTIONS
from litequeue.events import Events
from litequeue.exceptions import ImproperlyConfigured
from litequeue.schedules.absent import ABSENT
from litequeue.task import Task
from litequeue.worker.pools import ALIASES, BUILT_IN
from litequeue.worker.request import Request
from tests.docs.pages import reference

PAGE = reference("from-celery")
VERDICTS = {"same", "differs", "no effect", "not yet", "no", "refused", "here"}
ROW = re.compile(r"^\| (.+?) \| ([a-z ]+) \| .*\|$", re.MULTILINE)
SETTINGS = sorted(name for name, _ in flatten(NAMESPACES))
BUILT = {"same", "differs", "here", "no effect"}


def rows(title: str) -> dict[str, str]:
    """Return the verdict on each name in backticks of a section's table."""
    found: dict[str, str] = {}
    for names, verdict in ROW.findall(PAGE.section(title)):
        assert verdict in VERDICTS, (names, verdict)
        for name in re.findall(r"`([^`]+)`", names):
            assert name not in found, f"{name} has two rows"
            found[name] = verdict
    return found


def missing(names: Iterable[str], title: str) -> list[str]:
    table = rows(title)
    return sorted(name for name in names if _row(name, table) is None)


def _row(name: str, table: dict[str, str]) -> str | None:
    if name in table:
        return table[name]
    return next(
        (table[each] for each in table if "*" in each and fnmatch.fnmatch(name, each)), None
    )


def public(kind: type) -> set[str]:
    return {name for name in dir(kind) if not name.startswith("_")}


def made_in(module: ModuleType) -> set[str]:
    """Return the public names of a module that it does not have from elsewhere."""
    return {
        name
        for name, value in vars(module).items()
        if name[0] != "_"
        and (name.isupper() or getattr(value, "__module__", "") == module.__name__)
    }


SCHEDULES_OF_CELERY = (
    celery_schedules.schedule(5),
    celery_schedules.crontab(),
    celery_schedules.BaseSchedule(),
)
SCHEDULES = (schedules.interval(5), schedules.crontab(), schedules.solar("sunset", 0, 0))


KINDS_OF_CELERY = (
    canvas.Signature, canvas._chain, canvas.group, canvas._chord, canvas.chunks, canvas.xmap,
)  # fmt: skip


class TestEveryNameOfCelery:
    def test_members_of_the_app(self) -> None:
        assert missing(public(celery.Celery), "App") == []

    def test_options_of_a_task(self) -> None:
        told = rows("Task options") | rows("Task methods and hooks")
        assert sorted(public(celery.Task) - told.keys()) == []

    def test_fields_of_a_request(self) -> None:
        assert missing(public(Context), "Request") == []

    def test_states(self) -> None:
        names = [name for name in celery_states.__all__ if name != "precedence"]
        assert missing(names, "States") == []

    @pytest.mark.parametrize("kind", [AsyncResult, ResultSet, GroupResult])
    def test_results(self, kind: type) -> None:
        assert missing(public(kind), "Results") == []

    def test_exceptions(self) -> None:
        assert missing(celery_exceptions.__all__, "Exceptions") == []

    def test_signals(self) -> None:
        names = [name for name, value in vars(celery_signals).items() if isinstance(value, Signal)]
        assert len(names) > 30
        assert missing(names, "Signals") == []

    def test_settings(self) -> None:
        assert len(SETTINGS) > 150
        assert missing(SETTINGS, "Settings") == []

    def test_options_of_the_worker(self) -> None:
        names = {name for option in celery_worker.params for name in option.opts}
        assert missing(names, "Worker options") == []

    def test_commands(self) -> None:
        assert missing(celery_command.commands, "Commands") == []

    @pytest.mark.parametrize("module", [celery_schedules, celery_beat])
    def test_schedules_and_beat(self, module: ModuleType) -> None:
        names = made_in(module) | {*module.__all__}
        assert len(names) > 10
        assert missing(names, "Schedules and beat") == []

    def test_members_of_schedules(self) -> None:
        members = {
            name
            for one in SCHEDULES_OF_CELERY
            for name in (*dir(type(one)), *vars(one))
            if name[0] != "_"
        }
        assert members > {"is_due", "nowfun", "run_every", "hour"}
        members |= public(celery_schedules.solar)
        assert missing(members, "Schedules and beat") == []

    @pytest.mark.parametrize("kind", [CeleryControl, CeleryInspect])
    def test_remote_control(self, kind: type) -> None:
        assert missing(public(kind), "Remote control") == []

    def test_events(self) -> None:
        types = {f"task-{name}" for name in TASK_EVENT_TO_STATE}
        assert len(types) == 8
        assert missing(types | public(CeleryEvents), "Events") == []

    def test_pools(self) -> None:
        assert missing(get_available_pool_names(), "Pools") == []

    def test_workflows(self) -> None:
        assert missing(canvas.__all__, "Canvas") == []

    @pytest.mark.parametrize("kind", KINDS_OF_CELERY)
    def test_members_of_workflows(self, kind: type) -> None:
        assert missing(public(kind) - public(dict), "Canvas") == []

    def test_tasks_of_every_app(self) -> None:
        app = celery.Celery("shop", set_as_current=False)
        assert missing(app.tasks, "Canvas") == []

    def test_a_name_without_a_row_would_be_missed(self) -> None:
        assert missing(["task_send", "broker_of_ours"], "Settings") == ["task_send"]


class TestTheRowsAreTrue:
    @pytest.mark.parametrize("name", sorted({*SETTINGS, *Settings.NAMES, *NOT_BUILT}))
    def test_a_setting(self, name: str) -> None:
        verdict = _row(name, rows("Settings"))
        if name in Settings.NAMES:
            assert verdict in BUILT
        elif name in NOT_BUILT:
            assert verdict == "not yet"
            with pytest.raises(NotImplementedError):
                Settings()[name] = 1
        elif without_effect(name) is not None:
            assert verdict == "no effect"
        else:
            assert verdict == "refused"
            with pytest.raises(ImproperlyConfigured):
                Settings()[name] = 1

    def test_settings_without_effect_have_rows_of_their_own(self) -> None:
        assert rows("Settings").keys() >= WITHOUT_EFFECT.keys()

    def test_settings_of_our_own(self) -> None:
        ours = {name for name, verdict in rows("Settings").items() if verdict == "here"}
        assert ours == {*Settings.NAMES} - {*SETTINGS}

    def test_options_of_a_task(self) -> None:
        told = rows("Task options") | rows("Task methods and hooks")
        assert {name: told[name] for name in TASK_OPTIONS if told[name] not in BUILT} == {}
        assert {told[name] for name in UNBUILT_TASK_OPTIONS} == {"not yet"}
        later = {name for name, verdict in rows("Task options").items() if verdict == "not yet"}
        assert later == UNBUILT_TASK_OPTIONS

    def test_options_of_a_call(self) -> None:
        told = rows("apply_async")
        built = {*inspect.signature(Task.apply_async).parameters} - {"self", "options"}
        assert {name for name, verdict in told.items() if verdict in BUILT} == built
        assert {name for name, verdict in told.items() if verdict == "not yet"} == (
            UNBUILT_CALL_OPTIONS
        )

    def test_fields_of_a_request(self) -> None:
        for name, verdict in rows("Request").items():
            if verdict in BUILT - {"no effect"}:
                assert name in public(Request) or getattr(_request(), name) is None, name
            if verdict == "not yet":
                assert getattr(_request(), name) is None, name
            if verdict == "no":
                assert not hasattr(_request(), name), name

    def test_members_of_the_app(self) -> None:
        app = LiteQueue("jobs.sqlite", set_as_current=False)
        for name, verdict in rows("App").items():
            if not name.isidentifier():
                continue
            if verdict == "not yet":
                with pytest.raises(NotImplementedError):
                    getattr(app, name)
            elif verdict == "no":
                with pytest.raises(AttributeError):
                    getattr(app, name)
            else:
                assert hasattr(LiteQueue, name) or name in vars(app), name

    def test_states(self) -> None:
        told = rows("States")
        assert told.keys() >= states.ALL_STATES
        for name in ("READY_STATES", "UNREADY_STATES", "PROPAGATE_STATES", "EXCEPTION_STATES"):
            same = getattr(states, name) == getattr(celery_states, name)
            assert told[name] == ("same" if same else "differs")

    def test_members_of_results(self) -> None:
        kinds = (litequeue.AsyncResult, litequeue.ResultSet, litequeue.GroupResult)
        here = set().union(*map(public, kinds)) | {"app", "ignored", "results"}
        from litequeue import result

        for name, verdict in rows("Results").items():
            if verdict in BUILT and name.isidentifier():
                assert name in here or hasattr(result, name), name
            elif name != "TimeoutError":
                assert name not in here or verdict in BUILT, name

    def test_members_of_workflows(self) -> None:
        from litequeue import canvas as ours

        kinds = (ours.Signature, ours.chain, ours.group, ours.chord, ours.chunks)
        here = set().union(*map(public, kinds)) | {*ours.__all__, "policy"}
        tasks = LiteQueue("jobs.sqlite", set_as_current=False).tasks
        for name, verdict in rows("Canvas").items():
            if "." in name:
                assert (name in tasks) == (verdict in ("same", "here")), name
            else:
                assert (name in here) == (verdict in BUILT), name

    def test_exceptions(self) -> None:
        told = rows("Exceptions")
        assert {*litequeue.__all__} & {*vars(exceptions)} - {"annotations"} <= {
            *re.findall(r"`(\w+)`", PAGE.section("Exceptions"))
        }
        for name, verdict in told.items():
            if verdict in ("same", "here"):
                assert _can_be_imported(name), name
            elif verdict in ("no", "not yet"):
                assert not _can_be_imported(name), name

    def test_signals(self) -> None:
        for name, verdict in rows("Signals").items():
            signal = getattr(signals, name)
            assert (type(signal) is signals.Signal) == (verdict in BUILT), name
        assert rows("Signals").keys() >= {signal.name for signal in signals.ALL}

    def test_schedules_and_beat(self) -> None:
        told = rows("Schedules and beat")
        assert told.keys() >= {*schedules.__all__} - {"Schedule", "ScheduleError", "Tick"}
        for name, verdict in told.items():
            here = any(hasattr(one, name) for one in SCHEDULES) or (
                name not in ABSENT and hasattr(schedules, name)
            )
            assert here == (verdict in BUILT), name
        ours = made_in(celery_schedules) | made_in(celery_beat)
        constants = {name for name in ours if name.isupper()}
        refused = {name for name in ours - constants if told[name] == "no"}
        assert refused == ABSENT.keys()

    def test_remote_control(self) -> None:
        here = public(Control) | public(Inspect) | {"app"}
        for name, verdict in rows("Remote control").items():
            assert name in here or verdict not in BUILT, name

    def test_events(self) -> None:
        here = public(Events) | {f"task-{name}" for name in TASK_EVENT_TO_STATE}
        for name, verdict in rows("Events").items():
            if not name.startswith("worker-"):
                assert (name in here) == (verdict in BUILT), name

    def test_pools(self) -> None:
        told = rows("Pools")
        assert {name for name in BUILT_IN if told[name] not in BUILT} == set()
        for name, verdict in told.items():
            if verdict in BUILT and name != "custom":
                assert ALIASES.get(name, name) in BUILT_IN, name

    def test_options_of_the_worker(self) -> None:
        ours = {option for parameter in worker.params for option in _visible(parameter)}
        for name, verdict in rows("Worker options").items():
            if verdict in ("same", "differs") and name != "--pool-start-method":
                assert name in ours, name
            elif verdict in ("no", "not yet"):
                assert name not in ours, name


def _can_be_imported(name: str) -> bool:
    try:
        return hasattr(exceptions, name)
    except ImportError:
        return False


def _visible(parameter: Any) -> list[str]:
    return [] if getattr(parameter, "hidden", False) else parameter.opts


def _request() -> Request:
    return Request(
        id="a", task="t", args=(), kwargs={}, retries=0, claim=1, hostname="h", queue="q",
        priority=0, token=None, due=None, ends=None, parent_id=None,
    )  # fmt: skip
