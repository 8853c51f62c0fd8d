from __future__ import annotations

import contextlib
import io
import json
import logging
import logging.config
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from litequeue.context import current_request
from litequeue.exceptions import ImproperlyConfigured
from litequeue.log import (
    TASK_LOGGER,
    JSONFormatter,
    TaskFormatter,
    WorkerHandler,
    about,
    configure,
    get_task_logger,
    redirect_stdouts,
    restore_stdouts,
    told,
)
from litequeue.log import set_up as worker_set_up

NOW = 1_700_000_000.25
SHORT = "%(levelname)s %(message)s"
LONG = "%(task_name)s[%(task_id)s] %(message)s"
NUMBERED = "%(task_name)s[%(task_id)s]#%(task_attempt)s %(message)s"


class Root(logging.RootLogger):
    def addHandler(self, handler: logging.Handler) -> None:
        if not type(handler).__module__.startswith("_pytest."):
            super().addHandler(handler)


@pytest.fixture(autouse=True)
def _own_loggers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Loggers are global; every test has a tree of its own, without pytest's handlers."""
    root = Root(logging.WARNING)
    monkeypatch.setattr(logging, "root", root)
    monkeypatch.setattr(logging.Logger, "root", root)
    monkeypatch.setattr(logging.Logger, "manager", logging.Manager(root))


@contextmanager
def running(id: str = "job-1", task: str = "tasks.add", attempt: int = 2) -> Iterator[None]:
    token = current_request.set(SimpleNamespace(id=id, task=task, claim=attempt))
    try:
        yield
    finally:
        current_request.reset(token)


@pytest.fixture
def printed() -> io.StringIO:
    return io.StringIO()


def set_up(stream: io.StringIO, **options: Any) -> bool:
    given = {"level": "INFO", "log_format": SHORT, "task_log_format": LONG, **options}
    return configure(stream=stream, **given)


def record(message: str = "hello", **attributes: Any) -> logging.LogRecord:
    return logging.makeLogRecord(
        {"msg": message, "name": "shop", "levelname": "INFO", "created": NOW, **attributes}
    )


class TestTaskLoggers:
    def test_they_are_children_of_one(self) -> None:
        for name in ("tasks", "shop.tasks.mail", "litequeue.task.mine"):
            assert get_task_logger(name) is logging.getLogger(name)
            above: logging.Logger | None = logging.getLogger(name)
            while above is not None and above.name != TASK_LOGGER:
                above = above.parent
            assert above is logging.getLogger(TASK_LOGGER)

    def test_one_handler_and_one_level_serve_all(self, printed: io.StringIO) -> None:
        logging.getLogger(TASK_LOGGER).addHandler(logging.StreamHandler(printed))
        logging.getLogger(TASK_LOGGER).setLevel("INFO")
        get_task_logger("shop.tasks").info("sold")
        get_task_logger("mail").debug("not this")
        get_task_logger("mail").info("sent")
        assert printed.getvalue() == "sold\nsent\n"

    def test_asking_twice_changes_nothing(self) -> None:
        package, module = get_task_logger("shop"), get_task_logger("shop.tasks")
        assert get_task_logger("shop.tasks").parent is package
        assert get_task_logger("shop").parent is logging.getLogger(TASK_LOGGER)
        assert module.parent is package

    @pytest.mark.parametrize("name", ["litequeue", "litequeue.task"])
    def test_our_own_names_are_taken(self, name: str) -> None:
        with pytest.raises(RuntimeError, match=f"'{name}' is a logger of litequeue itself"):
            get_task_logger(name)


class TestTaskFormatter:
    def test_it_knows_the_running_job(self) -> None:
        formatter = TaskFormatter(NUMBERED)
        with running():
            assert formatter.format(record()) == "tasks.add[job-1]#2 hello"

    def test_outside_a_job_there_are_question_marks(self) -> None:
        assert TaskFormatter(NUMBERED).format(record()) == "???[???]#??? hello"

    def test_a_record_from_a_job_elsewhere_keeps_what_it_has(self) -> None:
        brought = record(task_id="job-7", task_name="tasks.mul")
        assert TaskFormatter(NUMBERED).format(brought) == "tasks.mul[job-7]#??? hello"

    def test_a_record_about_a_job_that_runs_elsewhere_names_it(self, printed: io.StringIO) -> None:
        set_up(printed, log_format=NUMBERED)
        logger = logging.getLogger("litequeue.worker")
        logger.info("is lost", extra=about("job-7", "tasks.mul", 3))
        assert printed.getvalue() == "tasks.mul[job-7]#3 is lost\n"


class TestConfiguring:
    def test_tasks_have_a_format_of_their_own(self, printed: io.StringIO) -> None:
        assert set_up(printed)
        logging.getLogger("litequeue.worker").info("ready")
        with running():
            get_task_logger("shop.tasks").info("sold")
        assert printed.getvalue() == "INFO ready\ntasks.add[job-1] sold\n"

    def test_every_logger_knows_the_job(self, printed: io.StringIO) -> None:
        set_up(printed, log_format="%(name)s %(task_id)s %(message)s")
        with running():
            logging.getLogger("shop").info("in")
        logging.getLogger("shop").info("out")
        assert printed.getvalue() == "shop job-1 in\nshop ??? out\n"

    def test_below_the_level_nothing_is_printed(self, printed: io.StringIO) -> None:
        set_up(printed, level="WARNING")
        for logger in (logging.getLogger("shop"), get_task_logger("tasks")):
            logger.info("no")
            logger.warning("yes")
        assert printed.getvalue() == "WARNING yes\n???[???] yes\n"

    def test_the_formats_have_time_level_and_job(self, printed: io.StringIO) -> None:
        set_up(printed, log_format=None, task_log_format=None)
        logging.getLogger("shop").info("a")
        with running():
            get_task_logger("tasks").info("b")
        plain, task = printed.getvalue().splitlines()
        start = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} INFO "
        assert re.fullmatch(start + "a", plain)
        assert re.fullmatch(start + r"tasks\.add\[job-1\]#2: b", task)

    def test_what_any_logger_says_in_a_job_names_it(self, printed: io.StringIO) -> None:
        set_up(printed, log_format=None)
        with running():
            logging.getLogger("shop").info("sold")
            logging.getLogger("litequeue.worker").info("ours")
        sold, ours = printed.getvalue().splitlines()
        assert sold == "tasks.add[job-1] sold"
        assert ours.endswith(" INFO ours")

    def test_a_format_that_was_asked_for_is_kept(self, printed: io.StringIO) -> None:
        set_up(printed, log_format=SHORT)
        with running():
            logging.getLogger("shop").info("sold")
        assert printed.getvalue() == "INFO sold\n"

    def test_it_goes_to_stderr(self, capsys: pytest.CaptureFixture[str]) -> None:
        configure(logging.INFO, log_format=SHORT, task_log_format=LONG)
        logging.getLogger("shop").info("hello")
        out, err = capsys.readouterr()
        assert (out, err) == ("", "INFO hello\n")

    def test_the_last_call_counts(self, printed: io.StringIO) -> None:
        before = io.StringIO()
        set_up(before)
        assert set_up(printed, log_format="2 %(message)s", task_log_format="2t %(message)s")
        logging.getLogger("shop").info("a")
        get_task_logger("tasks").info("b")
        assert (before.getvalue(), printed.getvalue()) == ("", "2 a\n2t b\n")

    @pytest.mark.parametrize("setting", ["log_format", "task_log_format"])
    @pytest.mark.parametrize("text", ["%(taskid)s", "%(message)d", "no names"])
    def test_a_format_that_cannot_work_is_refused(
        self, printed: io.StringIO, setting: str, text: str
    ) -> None:
        with pytest.raises(ImproperlyConfigured, match=f"worker_{setting} .* does not fit"):
            set_up(printed, **{setting: text})
        assert not logging.getLogger().handlers


class TestAnApplicationsOwnLogging:
    def test_it_is_left_alone(self, printed: io.StringIO) -> None:
        theirs = logging.StreamHandler(own := io.StringIO())
        logging.basicConfig(handlers=[theirs], format="own %(message)s", level="ERROR")
        assert not set_up(printed)
        logging.getLogger("shop").warning("quiet")
        logging.getLogger("shop").error("a")
        with running():
            get_task_logger("tasks").error("b")
        assert (own.getvalue(), printed.getvalue()) == ("own a\nown b\n", "")

    def test_its_handlers_learn_of_the_job(self, printed: io.StringIO) -> None:
        for logger in (logging.getLogger(), logging.getLogger("shop.till")):
            handler = logging.StreamHandler(printed)
            handler.setFormatter(logging.Formatter("%(task_id)s %(message)s"))
            logger.addHandler(handler)
        set_up(io.StringIO())
        with running():
            logging.getLogger("shop.till").warning("sold")
        assert printed.getvalue() == "job-1 sold\n" * 2

    def test_one_that_came_later_takes_over(self, printed: io.StringIO) -> None:
        set_up(printed)
        own = io.StringIO()
        logging.config.dictConfig(
            {
                "version": 1,
                "disable_existing_loggers": False,
                "handlers": {"own": {"class": "logging.StreamHandler", "stream": own}},
                "root": {"handlers": ["own"], "level": "INFO"},
            }
        )
        assert not set_up(printed)
        logging.getLogger("shop").info("a")
        get_task_logger("tasks").info("b")
        assert (own.getvalue(), printed.getvalue()) == ("a\nb\n", "")

    def test_a_handler_for_tasks_alone_is_kept(self, printed: io.StringIO) -> None:
        logging.getLogger(TASK_LOGGER).addHandler(logging.StreamHandler(own := io.StringIO()))
        logging.getLogger(TASK_LOGGER).propagate = False
        assert set_up(printed)
        get_task_logger("tasks").info("b")
        assert (own.getvalue(), printed.getvalue()) == ("b\n", "")

    def test_a_null_handler_is_no_configuration(self, printed: io.StringIO) -> None:
        logging.getLogger().addHandler(logging.NullHandler())
        assert set_up(printed)

    def test_celerys_way_to_change_the_formats_of_tasks(self, printed: io.StringIO) -> None:
        """A receiver of after_setup_task_logger sets a formatter on the logger's handlers."""
        set_up(printed)
        handlers = logging.getLogger(TASK_LOGGER).handlers
        assert [type(handler) for handler in handlers] == [WorkerHandler]
        handlers[0].setFormatter(logging.Formatter("mine %(task_id)s %(message)s"))
        with running():
            get_task_logger("tasks").info("a")
        assert printed.getvalue() == "mine job-1 a\n"


class TestJSON:
    def test_a_record_is_one_line(self, printed: io.StringIO) -> None:
        set_up(printed, json=True)
        with running():
            get_task_logger("tasks").info("two\nlines of %s", "ünïcode")
        line = printed.getvalue()
        assert line.count("\n") == 1
        told = json.loads(line)
        assert told.pop("time").endswith("+00:00")
        assert told == {
            "level": "INFO",
            "logger": "tasks",
            "message": "two\nlines of ünïcode",
            "task_id": "job-1",
            "task_name": "tasks.add",
            "task_attempt": 2,
            "exception": None,
        }

    def test_outside_a_job_there_is_null(self) -> None:
        told = json.loads(JSONFormatter().format(record()))
        assert told["time"] == "2023-11-14T22:13:20.250000+00:00"
        assert (told["task_id"], told["task_name"], told["task_attempt"]) == (None, None, None)

    def test_an_exception_has_its_traceback(self, printed: io.StringIO) -> None:
        set_up(printed, json=True)
        try:
            raise LookupError("gone")
        except LookupError:
            logging.getLogger("shop").exception("cannot", stack_info=True)
        told = json.loads(printed.getvalue())
        assert told["exception"].startswith("Traceback (most recent call last):")
        assert "LookupError: gone\nStack (most recent call last)" in told["exception"]
        assert told["message"] == "cannot"

    def test_formats_do_not_matter(self, printed: io.StringIO) -> None:
        assert set_up(printed, json=True, log_format="%(nonsense)s")


say = print  # what tasks do


@contextmanager
def redirecting(
    printed: io.StringIO, level: str = "WARNING"
) -> Iterator[tuple[io.StringIO, io.StringIO]]:
    """Redirect streams that stand in for the terminal; yield those."""
    set_up(printed, log_format="%(levelname)s %(name)s %(task_id)s %(message)s")
    with terminal() as streams:
        redirect_stdouts(level)
        yield streams


@contextmanager
def terminal() -> Iterator[tuple[io.StringIO, io.StringIO]]:
    with (
        contextlib.redirect_stdout(io.StringIO()) as out,
        contextlib.redirect_stderr(io.StringIO()) as err,
    ):
        try:
            yield out, err
        finally:
            restore_stdouts()


class TestRedirecting:
    def test_what_a_job_prints_is_a_record_with_its_id(self, printed: io.StringIO) -> None:
        with redirecting(printed) as streams, running():
            say("one", "two")
            say("three", file=sys.stderr)
        assert printed.getvalue() == (
            "WARNING litequeue.redirected job-1 one two\nWARNING litequeue.redirected job-1 three\n"
        )
        assert [stream.getvalue() for stream in streams] == ["", ""]

    def test_a_line_is_logged_when_it_is_complete_or_flushed(self, printed: io.StringIO) -> None:
        with redirecting(printed):
            say("50 %", end="")
            assert printed.getvalue() == ""
            say(" and more\n\n  \nrest", end="")
            sys.stdout.flush()
        assert [line.split(" ", 3)[3] for line in printed.getvalue().splitlines()] == [
            "50 % and more",
            "rest",
        ]

    def test_what_logging_prints_does_not_come_back(self, printed: io.StringIO) -> None:
        with redirecting(printed) as (_, err):
            late = logging.StreamHandler()  # made when stderr was redirected already
            logging.getLogger("shop").addHandler(late)
            logging.getLogger("shop").warning("sold")
        assert printed.getvalue() == "WARNING shop ??? sold\n"
        assert err.getvalue() == "sold\n"

    def test_a_handler_that_prints_itself_ends(self, printed: io.StringIO) -> None:
        class Talkative(logging.Handler):
            def emit(self, record: logging.LogRecord) -> None:
                say("heard", record.getMessage())

        with redirecting(printed) as (out, _):
            logging.getLogger().addHandler(Talkative())
            say("hello")
        assert out.getvalue() == "heard hello\n"

    def test_it_can_be_undone(self, printed: io.StringIO) -> None:
        with redirecting(printed) as streams:
            restore_stdouts()
            assert (sys.stdout, sys.stderr) == streams

    def test_doing_it_twice_is_doing_it_once(self, printed: io.StringIO) -> None:
        with redirecting(printed) as streams:
            redirect_stdouts("ERROR")
            say("once")
            restore_stdouts()
            assert (sys.stdout, sys.stderr) == streams
        assert printed.getvalue() == "ERROR litequeue.redirected ??? once\n"

    def test_the_rest_of_a_stream_is_as_it_was(self, printed: io.StringIO) -> None:
        with redirecting(printed):
            sys.stderr.writelines(["a\n", "b\n"])
            assert not sys.stdout.isatty()
            assert sys.stdout.seekable()
        assert [line[-1] for line in printed.getvalue().splitlines()] == ["a", "b"]

    @pytest.mark.parametrize(
        ("redirect", "seen"), [("INFO", ("", "hello!\n")), (None, ("hello\n", ""))]
    )
    def test_a_worker_does_it_when_told_to(
        self, redirect: str | None, seen: tuple[str, str]
    ) -> None:
        with terminal() as streams:
            worker_set_up(level="INFO", log_format="%(message)s!", redirect=redirect)
            say("hello")
        assert tuple(stream.getvalue() for stream in streams) == seen
        assert told()["redirect"] == redirect


def test_a_job_is_seen_only_while_it_runs() -> None:
    formatter: Callable[[logging.LogRecord], str] = TaskFormatter("%(task_id)s").format
    outer: AbstractContextManager[None] = running("outer")
    with outer:
        with running("inner"):
            assert formatter(record()) == "inner"
        assert formatter(record()) == "outer"
    assert formatter(record()) == "???"
