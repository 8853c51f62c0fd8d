"""`AsyncResult`: a handle on one job."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, Generic, cast

from litequeue import states
from litequeue.context import current_app
from litequeue.job import bound_to
from litequeue.result import revoking
from litequeue.result.failures import FailedAttempt, error_of, value_of
from litequeue.result.home import Home
from litequeue.result.joining import refuse_to_block
from litequeue.result.revoking import Signal
from litequeue.result.waiting import Gathering, Patience, ended, until_ended
from litequeue.store import Record

if TYPE_CHECKING:  # defaults, so that a plain `AsyncResult` says enough: in Python 3.13's typing
    from typing_extensions import TypeVar

    R = TypeVar("R", default=Any)
    R_co = TypeVar("R_co", covariant=True, default=Any)
else:
    from typing import TypeVar

    R = TypeVar("R")
    R_co = TypeVar("R_co", covariant=True)

_UNBUILT: Final = frozenset(
    "as_list build_graph collect get_leaf graph iterdeps".split()  # noqa: SIM905 - one line
)
_UNSEEN: Final = (states.PENDING, None)


class AsyncResult(Generic[R_co]):
    """A handle on a job: it holds the id and asks the file, every time.

    Without ``app`` it belongs to the current app.  Pickled and unpickled, it does so again.
    """

    __slots__ = ("__weakref__", "_app", "_parent", "id", "ignored")

    def __init__(self, id: str, *, app: Home | None = None) -> None:
        self.id: str = id
        self.ignored: bool = False
        self._app = app
        self._parent: Any = None

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

    # Waiting

    def get(
        self,
        timeout: float | None = None,
        propagate: bool = True,
        *,
        interval: float = 0.5,
        no_ack: bool = True,
        follow_parents: bool = True,
        callback: Callable[[str, R_co], object] | None = None,
        on_message: Callable[[dict[str, Any]], object] | None = None,
        on_interval: Callable[[], object] | None = None,
        disable_sync_subtasks: bool = True,
    ) -> R_co:
        """Wait for the job and return what the task returned.

        ``timeout`` is in seconds, None waits for ever.  Raises `TimeoutError`, `JobNotFound` at
        once for an unknown id, and the task's own exception (built-in types; others come as
        `RemoteError`) unless ``propagate`` is false: then the exception is returned.
        ``callback`` is called with (id, result), ``on_message`` with a dict for each change of
        state that is seen, ``on_interval`` every ``interval`` seconds.  Raises RuntimeError inside
        a task, where waiting for a job of the same worker could last for ever, unless
        ``disable_sync_subtasks`` is false.  ``no_ack`` and ``follow_parents`` change nothing.
        """
        if self.ignored:
            return cast(R_co, None)
        refuse_to_block("get()", disable_sync_subtasks=disable_sync_subtasks)
        patience = Patience(self.app, timeout, interval=interval, on_interval=on_interval)
        on_look = None if on_message is None else self._changes(on_message)
        record = until_ended(self.app, self.id, patience, on_look)
        return self._conclude(record, propagate=propagate, callback=callback)

    wait = get

    async def aget(
        self,
        timeout: float | None = None,  # noqa: ASYNC109 - as get() has it
        propagate: bool = True,
        *,
        disable_sync_subtasks: bool = True,
    ) -> R_co:
        """Do as `get` does, without blocking the running asyncio loop."""
        if self.ignored:
            return cast(R_co, None)
        refuse_to_block("await", disable_sync_subtasks=disable_sync_subtasks)
        records = await ended(self.app, [self.id], timeout)
        return self._conclude(records[self.id], propagate=propagate)

    def __await__(self) -> Generator[Any, None, R_co]:
        """Wait as `aget` does, for ever."""
        return self.aget().__await__()

    def then(
        self,
        callback: Callable[[AsyncResult[R_co]], object],
        on_error: Callable[[BaseException], object] | None = None,
        weak: bool = False,
    ) -> AsyncResult[R_co]:
        """Call ``callback(self)`` when the job has ended: now, or later in a thread of its own.

        With ``on_error``, a job that failed calls that instead, with the exception.  An exception
        of either is logged.  ``weak`` changes nothing.  Returns the handle.
        """

        def tell(records: dict[str, Record], error: Exception | None) -> None:
            failure: BaseException | None = error
            if error is None and on_error is not None:
                failure = error_of(records[self.id], self.id, self.app.codec)
            if failure is None:
                callback(self)
            elif on_error is not None:
                on_error(failure)
            else:
                raise failure

        self.app.store.watch([self.id], Gathering([self.id], tell))
        return self

    def maybe_throw(
        self, propagate: bool = True, callback: Callable[[str, Any], object] | None = None
    ) -> Any:
        """Raise the job's exception if it has failed; return `result` otherwise, without waiting.

        Raises nothing when ``propagate`` is false; ``callback`` is called with (id, result).
        """
        record = self._look()
        if record is not None:
            return self._conclude(record, propagate=propagate, callback=callback)
        if callback is not None:
            callback(self.id, None)
        return None

    maybe_reraise = maybe_throw

    def _conclude(
        self,
        record: Record,
        *,
        propagate: bool,
        callback: Callable[[str, R_co], object] | None = None,
    ) -> R_co:
        """Make a return value, or a raised exception, of what the file says."""
        codec = self.app.codec
        if propagate:
            error = error_of(record, self.id, codec)
            if error is not None:
                raise error
        value = cast(R_co, value_of(record, self.id, codec))
        if callback is not None:
            callback(self.id, value)
        return value

    def _message(self, record: Record, children: Sequence[str]) -> dict[str, Any]:
        """Return what the file says in Celery's form."""
        return {
            "task_id": self.id,
            "status": record.state,
            "result": value_of(record, self.id, self.app.codec),
            "traceback": None if record.failure is None else record.failure.traceback,
            "children": [AsyncResult[Any](id, app=self.app) for id in children],
        }

    def _changes(self, on_message: Callable[[dict[str, Any]], object]) -> Callable[[Record], None]:
        seen: tuple[str, str | None] = _UNSEEN

        def look(record: Record) -> None:
            nonlocal seen
            now = record.state, record.result
            if now != seen:
                seen = now
                on_message(self._message(record, self.app.store.children_of(self.id)))

        return look

    def _look(self) -> Record | None:
        return self.app.store.fetch(self.id)

    # What is known without waiting

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
    def parent(self) -> Any:
        """The job whose task sent this one; in a workflow, the result of what comes before it."""
        if self._parent is not None:
            return self._parent
        details = self.app.store.details(self.id)
        if details is None or details.parent is None:
            return None
        return AsyncResult(details.parent, app=self.app)

    @parent.setter
    def parent(self, result: Any) -> None:
        self._parent = result

    @property
    def children(self) -> list[AsyncResult[Any]]:
        """The jobs that this one's task sent, in their order."""
        return [AsyncResult(id, app=self.app) for id in self.app.store.children_of(self.id)]

    @property
    def errors(self) -> tuple[FailedAttempt, ...]:
        """Why each failed attempt failed, the first one first."""
        rows = self.app.store.errors_of(self.id)
        return tuple(FailedAttempt(row[0], _utc(row[1]), *row[2:]) for row in rows)

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

    # Changing it

    def revoke(
        self,
        connection: object = None,
        *,
        terminate: bool = False,
        signal: Signal = None,
        wait: bool = False,
        timeout: float | None = None,
    ) -> bool:
        """End the job as REVOKED if it still waits; one that runs will not run again.

        With ``terminate`` one that runs is ended by ``signal`` (SIGTERM); ``wait`` then waits for
        that, at most ``timeout`` seconds (None: for ever).  Returns whether this revoked the job
        by now.  It stands for an id that is not known yet, too.
        """
        revoked = revoking.revoke(self.app, [self.id], terminate=terminate, signal=signal)
        if terminate and wait:
            return self.id in revoking.await_end(self.app, revoked, timeout)
        return self.id in revoked.ended

    def revoke_by_stamped_headers(
        self,
        headers: Mapping[str, str | Sequence[str]],
        connection: object = None,
        *,
        terminate: bool = False,
        signal: Signal = None,
        wait: bool = False,
        timeout: float | None = None,
    ) -> None:
        """Revoke all jobs that carry one of these stamps, this one or not, now and later.

        ``terminate`` and ``signal`` mean what they do in `revoke`; ``wait`` and ``timeout``
        (seconds) change nothing.
        """
        revoking.revoke_stamped(self.app, headers, terminate=terminate, signal=signal)

    def forget(self) -> bool:
        """Delete the finished job with its result; False when it is not finished."""
        return self.app.store.forget(self.id)

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            """Name what Celery has and we have not yet."""
            if name in _UNBUILT:
                raise NotImplementedError(f"AsyncResult.{name}")
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    # Being a value

    def as_tuple(self) -> tuple[tuple[str, None], None]:
        """Return Celery's form of a handle: ((id, parent), children), of which it holds the id."""
        return (self.id, None), None

    def __repr__(self) -> str:
        """Return Celery's form."""
        return f"<{type(self).__name__}: {self.id}>"

    def __str__(self) -> str:
        """Return the id."""
        return self.id

    def __eq__(self, other: object) -> bool:
        """Compare by id, with a handle or with the id itself."""
        if isinstance(other, AsyncResult):
            return bool(other.id == self.id)
        return other == self.id if isinstance(other, str) else NotImplemented

    def __hash__(self) -> int:
        """Hash by id."""
        return hash(self.id)

    def __copy__(self) -> AsyncResult[R_co]:
        return type(self)(self.id, app=self._app)

    def __deepcopy__(self, memo: object) -> AsyncResult[R_co]:
        return self.__copy__()

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.id,)


def _utc(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
