"""`Handle`: the id of a job, and what the file says about it without waiting."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Self, cast

from litequeue import states
from litequeue.context import current_app
from litequeue.job import bound_to
from litequeue.result.failures import FailedAttempt, value_of
from litequeue.result.home import Home

if TYPE_CHECKING:
    from litequeue.store import Record


class Handle:
    """An id, and the app that is asked about it, every time.

    Without ``app`` it belongs to the current one.  Pickled and unpickled, it does so again.
    """

    __slots__ = ("__weakref__", "_app", "_parent", "id", "ignored")

    def __init__(self, id: str, *, app: Home | None = None, parent: Any = None) -> None:
        self.id: str = id
        self.ignored: bool = False
        self._app = app
        self._parent: Any = parent

    @property
    def app(self) -> Home:
        """The app that is asked; raises `ImproperlyConfigured` when there is none."""
        if self._app is None:
            self._app = cast(Home, current_app())
        return self._app

    @property
    def task_id(self) -> str:
        """The id, by Celery's older name."""
        return self.id

    def _look(self) -> Record | None:
        return self.app.store.fetch(self.id)

    @property
    def state(self) -> str:
        """Celery's state of the job; PENDING also for an unknown id (see `exists`)."""
        record = self._look()
        return states.PENDING if record is None else record.state

    status = state

    @property
    def result(self) -> Any:
        """The return value, or the exception, or what the task says of itself; None without one."""
        record = self._look()
        return None if record is None else value_of(record, self.id, self.app.codec)

    info = result

    @property
    def traceback(self) -> str | None:
        """The text of the last attempt's traceback, None without one."""
        record = self._look()
        return None if record is None or record.failure is None else record.failure.traceback

    @property
    def date_done(self) -> datetime | None:
        """When the job ended, in UTC."""
        record = self._look()
        return None if record is None or record.finished is None else _utc(record.finished)

    @property
    def retries(self) -> int | None:
        """How often the job has been retried."""
        record = self._look()
        return None if record is None else record.retries

    @property
    def name(self) -> str | None:
        """The name of the task."""
        details = self.app.store.details(self.id)
        return None if details is None else details.task

    @property
    def queue(self) -> str | None:
        """The queue it was sent to."""
        details = self.app.store.details(self.id)
        return None if details is None else details.queue

    @property
    def worker(self) -> str | None:
        """The name of the worker that has it, or had it last."""
        details = self.app.store.details(self.id)
        return None if details is None else details.worker

    @property
    def args(self) -> Sequence[Any] | None:
        """The positional arguments it was sent with."""
        arguments = self._arguments()
        return None if arguments is None else arguments[0]

    @property
    def kwargs(self) -> Mapping[str, Any] | None:
        """The keyword arguments it was sent with."""
        arguments = self._arguments()
        return None if arguments is None else arguments[1]

    def _arguments(self) -> tuple[Sequence[Any], Mapping[str, Any]] | None:
        details = self.app.store.details(self.id)
        if details is None or details.body is None:
            return None
        context = bound_to(details.task, self.id, details.options)
        return self.app.codec.loads_arguments(details.body, context=context)

    @property
    def errors(self) -> tuple[FailedAttempt, ...]:
        """Why each failed attempt failed, the first one first."""
        rows = self.app.store.errors_of(self.id)
        return tuple(FailedAttempt(row[0], _utc(row[1]), *row[2:]) for row in rows)

    @property
    def logs(self) -> dict[int, str]:
        """What each attempt logged and printed, by its number, where that was kept."""
        return dict(self.app.store.logs_of(self.id))

    def exists(self) -> bool:
        """Tell whether the file has the job."""
        return self._look() is not None

    def ready(self) -> bool:
        """Tell whether the job has ended, well or not."""
        record = self._look()
        return record is not None and record.is_done

    def successful(self) -> bool:
        """Tell whether the job ended with a result."""
        return self._ended_as(states.SUCCESS)

    def failed(self) -> bool:
        """Tell whether the job ended with an exception."""
        return self._ended_as(states.FAILURE)

    def _ended_as(self, state: str) -> bool:
        record = self._look()
        return record is not None and record.is_done and record.state == state

    # Being a value

    def __repr__(self) -> str:
        """Return Celery's form."""
        return f"<{type(self).__name__}: {self.id}>"

    def __str__(self) -> str:
        """Return the id."""
        return self.id

    def __eq__(self, other: object) -> bool:
        """Compare by id, with a handle or with the id itself."""
        if isinstance(other, Handle):
            return bool(other.id == self.id)
        return other == self.id if isinstance(other, str) else NotImplemented

    def __hash__(self) -> int:
        """Hash by id."""
        return hash(self.id)

    def __copy__(self) -> Self:
        return type(self)(self.id, app=self._app, parent=self._parent)

    def __deepcopy__(self, memo: object) -> Self:
        return self.__copy__()

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.id,)


def _utc(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
