"""Logging: what a worker prints, and which job a record belongs to.

`get_task_logger` and `TaskFormatter` are Celery's, for tasks; `configure` is for whoever starts a
worker.  Nothing is changed that the application has set up by itself.
"""

from __future__ import annotations

import logging
import sys
from datetime import UTC, datetime
from json import dumps
from typing import Any, Final, TextIO

from litequeue import signals
from litequeue.context import current_request
from litequeue.exceptions import ImproperlyConfigured

LOG_FORMAT: Final = "%(asctime)s %(levelname)s %(message)s"
TASK_LOG_FORMAT: Final = "%(asctime)s %(levelname)s %(task_name)s[%(task_id)s]: %(message)s"
TASK_LOGGER: Final = "litequeue.task"
NO_JOB: Final = "???"
"""What ``task_id`` and ``task_name`` of a record are outside a job."""


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
    """Write into ``record`` the ``task_id`` and ``task_name`` of the job that runs here.

    A filter for any handler.  It lets everything pass, and leaves a record alone that came from a
    job elsewhere, as through a queue.
    """
    request = current_request.get()
    if request is not None:
        record.task_id, record.task_name = request.id, request.task
    elif not hasattr(record, "task_id"):
        record.task_id = record.task_name = NO_JOB
    return True


class TaskFormatter(logging.Formatter):
    """A formatter that knows ``%(task_id)s`` and ``%(task_name)s``; "???" outside a job."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the text of ``record``."""
        mark(record)
        return super().format(record)


class JSONFormatter(logging.Formatter):
    """A formatter that makes one line of JSON of a record."""

    def format(self, record: logging.LogRecord) -> str:
        """Return ``record`` as a JSON object; what does not apply is null."""
        mark(record)
        task_id, task_name = vars(record)["task_id"], vars(record)["task_name"]
        error = record.exc_text
        if record.exc_info and record.exc_info[0] is not None:
            error = self.formatException(record.exc_info)
        return dumps(
            {
                "time": datetime.fromtimestamp(record.created, UTC).isoformat(),
                "level": record.levelname,
                "logger": record.name,
                "message": record.getMessage(),
                "task_id": None if task_id == NO_JOB else task_id,
                "task_name": None if task_name == NO_JOB else task_name,
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

    A receiver of `setup_logging` does it in our place.  ``how`` are the arguments of `configure`.
    """
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
) -> bool:
    """Print records of ``level`` and above to ``stream`` (stderr), those of tasks in their format.

    Where the root logger has handlers of the application's own, nothing is printed by us, and they
    only learn which job a record belongs to, unless ``hijack`` removes them (Celery's
    `worker_hijack_root_logger`).  May be called again: the last call counts.  Return
    whether we print.  Raises `ImproperlyConfigured` for a format that names
    something unknown.
    """
    _told.clear()
    _told.update(
        level=level, log_format=log_format, task_log_format=task_log_format, json=json,
        hijack=hijack,
    )  # fmt: skip
    output = sys.stderr if stream is None else stream
    everything = _handler(output, "worker_log_format", log_format or LOG_FORMAT, json=json)
    tasks = _handler(
        output, "worker_task_log_format", task_log_format or TASK_LOG_FORMAT, json=json
    )
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
