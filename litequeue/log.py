"""Logging: what a worker prints, and which job a record belongs to.

`get_task_logger` and `TaskFormatter` are Celery's, for tasks; `configure` is for whoever starts a
worker.  Nothing is changed that the application has set up by itself.
"""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Iterable
from datetime import UTC, datetime
from json import dumps
from typing import Any, Final, TextIO

from litequeue import signals
from litequeue.context import current_request
from litequeue.exceptions import ImproperlyConfigured

LOG_FORMAT: Final = "%(asctime)s %(levelname)s %(message)s"
TASK_LOG_FORMAT: Final = (
    "%(asctime)s %(levelname)s %(task_name)s[%(task_id)s]#%(task_attempt)s: %(message)s"
)
TASK_LOGGER: Final = "litequeue.task"
REDIRECTED: Final = "litequeue.redirected"
"""The logger of what was printed, where `redirect_stdouts` holds."""
NO_JOB: Final = "???"
"""What ``task_id``, ``task_name`` and ``task_attempt`` of a record are outside a job."""


def get_task_logger(name: str) -> logging.Logger:
    """Return the logger ``name``, as a child of "litequeue.task".

    So one handler, one level and one format serve all tasks.  Raises RuntimeError for the names of
    litequeue's own loggers.
    """
    if name in ("litequeue", TASK_LOGGER):
        raise RuntimeError(f"{name!r} is a logger of litequeue itself; name yours __name__")
    logger, parent = logging.getLogger(name), logging.getLogger(TASK_LOGGER)
    above: logging.Logger | None = logger
    while above is not None and above is not parent:
        above = above.parent
    if above is None:
        logger.parent = parent
    return logger


def mark(record: logging.LogRecord) -> bool:
    """Write ``task_id``, ``task_name`` and ``task_attempt`` of the job that runs here.

    A filter for any handler.  It lets everything pass, and leaves a record alone that came from a
    job elsewhere, as through a queue, or that speaks of one.
    """
    request = current_request.get()
    if request is not None:
        record.task_id, record.task_name = request.id, request.task
        record.task_attempt = request.claim
    else:
        for name in ("task_id", "task_name", "task_attempt"):
            if not hasattr(record, name):
                setattr(record, name, NO_JOB)
    return True


def about(id: str, task: str, attempt: int) -> dict[str, Any]:
    """Return ``extra`` for a record that speaks of a job which does not run here."""
    return {"task_id": id, "task_name": task, "task_attempt": attempt}


class TaskFormatter(logging.Formatter):
    """A formatter that knows ``%(task_id)s``, ``%(task_name)s``, ``%(task_attempt)s``.

    They are "???" outside a job.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return the text of ``record``."""
        mark(record)
        return super().format(record)


class _Chooser(logging.Formatter):
    """Formats what user code says in a job as tasks do, and everything else plainly."""

    def __init__(
        self, plain: logging.Formatter | None, for_tasks: logging.Formatter | None
    ) -> None:
        super().__init__()
        self._plain = plain or self
        self._for_tasks = for_tasks or self._plain

    def format(self, record: logging.LogRecord) -> str:
        mark(record)
        ours = record.name.startswith("litequeue.") and record.name != REDIRECTED
        said_in_a_job = vars(record)["task_id"] != NO_JOB and not ours
        return (self._for_tasks if said_in_a_job else self._plain).format(record)


class JSONFormatter(logging.Formatter):
    """A formatter that makes one line of JSON of a record."""

    def format(self, record: logging.LogRecord) -> str:
        """Return ``record`` as a JSON object; what does not apply is null."""
        mark(record)
        known = vars(record)
        error = record.exc_text
        if record.exc_info and record.exc_info[0] is not None:
            error = self.formatException(record.exc_info)
        return dumps(
            {
                "time": datetime.fromtimestamp(record.created, UTC).isoformat(),
                "level": record.levelname,
                "logger": record.name,
                "message": record.getMessage(),
                **{
                    name: None if known[name] == NO_JOB else known[name]
                    for name in ("task_id", "task_name", "task_attempt")
                },
                "exception": "\n".join(filter(None, (error, record.stack_info))) or None,
            },
            default=str,
        )


_told: Final[dict[str, Any]] = {}


def told() -> dict[str, Any]:
    """Return how this process was told to log, for the programs that it starts."""
    return dict(_told) or {"level": logging.getLogger().level}


def set_up(**how: Any) -> None:
    """Set logging up for a worker whose app is imported: `configure`, with Celery's signals.

    A receiver of `setup_logging` does it in our place.  ``how`` are the arguments of `configure`,
    and ``redirect``, the level for `redirect_stdouts` (None: leave them alone).
    """
    redirect = how.pop("redirect", None)
    facts = {
        "loglevel": how["level"],
        "logfile": None,
        "format": how.get("log_format") or LOG_FORMAT,
        "colorize": False,
    }
    if signals.setup_logging.receivers:
        _take_down(logging.getLogger())
        _take_down(logging.getLogger(TASK_LOGGER))
        signals.setup_logging.send(sender=None, **facts)
        mark_handlers()
        return
    configure(**how)
    _told["redirect"] = redirect
    if redirect is not None:
        redirect_stdouts(redirect)
    signals.after_setup_logger.send(sender=None, logger=logging.getLogger(), **facts)
    facts["format"] = how.get("task_log_format") or TASK_LOG_FORMAT
    signals.after_setup_task_logger.send(
        sender=None, logger=logging.getLogger(TASK_LOGGER), **facts
    )


class WorkerHandler(logging.StreamHandler[TextIO]):
    """The handler that `configure` puts up, and takes down again by its type."""


def configure(
    level: int | str,
    *,
    log_format: str | None = None,
    task_log_format: str | None = None,
    stream: TextIO | None = None,
    json: bool = False,
    hijack: bool = False,
    redirect: int | str | None = None,
) -> bool:
    """Print records of ``level`` and above to ``stream`` (stderr), those of tasks in their format.

    Where the root logger has handlers of the application's own, nothing is printed by us, and they
    only learn which job a record belongs to, unless ``hijack`` removes them (Celery's
    `worker_hijack_root_logger`).  May be called again: the last call counts.
    ``redirect`` is only noted, for `told`: what an import prints stays as it is.  Return whether we
    print.  Raises `ImproperlyConfigured` for a format that names
    something unknown.
    """
    _told.clear()
    _told.update(
        level=level, log_format=log_format, task_log_format=task_log_format, json=json,
        hijack=hijack, redirect=redirect,
    )  # fmt: skip
    restore_stdouts()
    output = sys.stderr if stream is None else stream
    everything = _handler(output, "worker_log_format", log_format or LOG_FORMAT, json=json)
    tasks = _handler(
        output, "worker_task_log_format", task_log_format or TASK_LOG_FORMAT, json=json
    )
    if log_format is None and not json:
        everything.setFormatter(_Chooser(everything.formatter, tasks.formatter))
    root, task_logger = logging.getLogger(), logging.getLogger(TASK_LOGGER)
    if _take_down(task_logger):
        task_logger.propagate = True
    _take_down(root)
    if hijack:
        for handler in list(root.handlers):
            root.removeHandler(handler)
    mark_handlers()
    if _is_set_up(root):
        return False
    root.addHandler(everything)
    root.setLevel(level)
    if not _is_set_up(task_logger):
        task_logger.addHandler(tasks)
        task_logger.propagate = False
    return True


def mark_handlers() -> None:
    """Have every handler of every logger know which job a record belongs to."""
    loggers = (logging.getLogger(), *logging.getLogger().manager.loggerDict.values())
    for logger in loggers:
        if isinstance(logger, logging.Logger):  # the dictionary has place holders, too
            for handler in logger.handlers:
                handler.addFilter(mark)


# What is printed


class RedirectedStream:
    """A text stream whose lines become records of the logger "litequeue.redirected".

    What logging itself writes to it passes, or each record would come back as another one.
    """

    def __init__(self, stream: TextIO, level: int) -> None:
        self.stream: TextIO = stream
        self._level = level
        self._here = _Partial()

    def write(self, text: str) -> int:
        """Log every line that is complete now."""
        if self._here.is_logging or _is_logging(sys._getframe(1).f_globals):
            return self.stream.write(text)
        *complete, self._here.line = (self._here.line + text).split("\n")
        for line in complete:
            self._log(line)
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Write all ``lines``."""
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """Log a line that has no end yet."""
        line, self._here.line = self._here.line, ""
        self._log(line)
        self.stream.flush()

    def isatty(self) -> bool:
        """Return False: nobody reads this as it comes."""
        return False

    def _log(self, line: str) -> None:
        if not line.strip():
            return
        self._here.is_logging = True
        try:
            logging.getLogger(REDIRECTED).log(self._level, "%s", line.rstrip())
        finally:
            self._here.is_logging = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


class _Partial(threading.local):
    """What a thread has begun to print."""

    line = ""
    is_logging = False


def _is_logging(namespace: dict[str, Any]) -> bool:
    return namespace.get("__name__") == logging.__name__


def redirect_stdouts(level: int | str = "WARNING") -> None:
    """Log what is printed to stdout and stderr (Celery's `worker_redirect_stdouts`)."""
    restore_stdouts()
    number = level if isinstance(level, int) else logging.getLevelNamesMapping()[level.upper()]
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is not None:
            setattr(sys, name, RedirectedStream(stream, number))


def restore_stdouts() -> None:
    """Undo `redirect_stdouts`."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if isinstance(stream, RedirectedStream):
            setattr(sys, name, stream.stream)


def _handler(stream: TextIO, setting: str, text: str, *, json: bool) -> WorkerHandler:
    handler = WorkerHandler(stream)
    handler.addFilter(mark)
    if json:
        handler.setFormatter(JSONFormatter())
        return handler
    try:
        formatter = TaskFormatter(text)
        formatter.format(logging.makeLogRecord({}))
    except (KeyError, TypeError, ValueError) as error:
        raise ImproperlyConfigured(
            f"{setting} {text!r} does not fit a log record ({error}); "
            "use names like %(message)s and %(task_id)s"
        ) from error
    handler.setFormatter(formatter)
    return handler


def _is_set_up(logger: logging.Logger) -> bool:
    return any(not isinstance(handler, logging.NullHandler) for handler in logger.handlers)


def _take_down(logger: logging.Logger) -> bool:
    ours = [handler for handler in logger.handlers if isinstance(handler, WorkerHandler)]
    for handler in ours:
        logger.removeHandler(handler)
        handler.close()
    return bool(ours)
