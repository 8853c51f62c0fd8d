"""`EagerResult`: what became of a task that ran here and now, without a job."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, cast

from litequeue import exceptions, states
from litequeue.result.async_result import AsyncResult, R_co
from litequeue.result.failures import FailedAttempt
from litequeue.result.joining import refuse_to_block

if TYPE_CHECKING:
    from litequeue.result.progress import Progress
    from litequeue.store import Record


class EagerResult(AsyncResult[R_co]):
    """The result of a task that has been run already.  It knows all by itself and asks no file."""

    __slots__ = ("_name", "_result", "_state", "_traceback")

    def __init__(
        self,
        id: str,
        ret_value: R_co | BaseException,
        state: str,
        traceback: str | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__(id)
        self._result: Any = ret_value
        self._state = state
        self._traceback = traceback
        self._name = name

    def get(
        self,
        timeout: float | None = None,
        propagate: bool = True,
        *,
        callback: Callable[[str, R_co], object] | None = None,
        disable_sync_subtasks: bool = True,
        **options: object,
    ) -> R_co:
        """Return what the task returned; raise what it raised, unless ``propagate`` is false.

        Raises RuntimeError inside a task, as waiting does.  The other options change nothing.
        """
        refuse_to_block("get()", disable_sync_subtasks=disable_sync_subtasks)
        value = self._result
        if self._state in states.PROPAGATE_STATES:
            if propagate:
                raise self._error()
        elif self._state != states.SUCCESS:
            value = None
        if callback is not None:
            callback(self.id, value)
        return cast(R_co, value)

    wait = get

    async def aget(
        self,
        timeout: float | None = None,  # noqa: ASYNC109 - as get() has it
        propagate: bool = True,
        *,
        disable_sync_subtasks: bool = True,
    ) -> R_co:
        """Do as `get` does."""
        return self.get(timeout, propagate, disable_sync_subtasks=disable_sync_subtasks)

    def then(
        self,
        callback: Callable[[AsyncResult[R_co]], object],
        on_error: Callable[[BaseException], object] | None = None,
        weak: bool = False,
    ) -> AsyncResult[R_co]:
        """Call ``callback(self)``, or ``on_error`` with the exception of a task that failed."""
        if on_error is not None and self._state in states.PROPAGATE_STATES:
            on_error(self._error())
        else:
            callback(self)
        return self

    def maybe_throw(
        self, propagate: bool = True, callback: Callable[[str, Any], object] | None = None
    ) -> Any:
        """Raise the task's exception if it failed, unless ``propagate`` is false."""
        if propagate and self._state in states.PROPAGATE_STATES:
            raise self._error()
        if callback is not None:
            callback(self.id, self._result)
        return self._result

    maybe_reraise = maybe_throw

    def _error(self) -> BaseException:
        if isinstance(self._result, BaseException):
            return self._result
        return exceptions.RemoteError(self._state, str(self._result), self._traceback)

    def _message(
        self, record: Record | None = None, children: Sequence[str] = ()
    ) -> dict[str, Any]:
        """Return what is known in Celery's form."""
        return {
            "task_id": self.id,
            "status": self._state,
            "result": self._result,
            "traceback": self._traceback,
            "children": [],
        }

    @property
    def state(self) -> str:
        """The state the task ended in."""
        return self._state

    status = state

    @property
    def result(self) -> Any:
        """What the task returned or raised."""
        return self._result

    info = result

    @property
    def traceback(self) -> str | None:
        """The text of the traceback, None without one."""
        return self._traceback

    @property
    def name(self) -> str | None:
        """The name of the task."""
        return self._name

    @property
    def children(self) -> list[Any]:
        """Nothing: what an eager task sends is not written down."""
        return []

    @property
    def errors(self) -> tuple[FailedAttempt, ...]:
        """Nothing: only jobs have attempts."""
        return ()

    @property
    def logs(self) -> dict[int, str]:
        """Nothing: what it printed went where this process prints."""
        return {}

    # There is no job of this id, so there is nothing to say about one.
    date_done: None = None
    retries: None = None
    queue: None = None
    worker: None = None
    args: None = None
    kwargs: None = None

    @property
    def parent(self) -> Any:
        """The result of what comes before it in a workflow."""
        return self._parent

    @parent.setter
    def parent(self, result: Any) -> None:
        self._parent = result

    @property
    def root(self) -> Any:
        """The first result of its workflow."""
        return self if self._parent is None else self._parent.root

    def progress(self) -> Progress:
        """Count it as one that has ended."""
        from litequeue.result.progress import progress_of_counts

        return progress_of_counts({(True, self._state): 1})

    def mermaid(self, most: int = 50) -> str:
        """Raise `JobNotFound`: what ran here is in no file."""
        raise exceptions.JobNotFound(
            self.id,
            f"{self.id} ran here and now, and no file has its workflow; draw one that was sent",
        )

    dot = mermaid

    def exists(self) -> bool:
        """Say yes: the result is here."""
        return True

    def ready(self) -> bool:
        """Say yes: the task has been run."""
        return True

    def successful(self) -> bool:
        """Tell whether the task returned."""
        return self._state == states.SUCCESS

    def failed(self) -> bool:
        """Tell whether the task raised."""
        return self._state == states.FAILURE

    def revoke(self, *args: object, **options: object) -> bool:
        """Replace the result by a `TaskRevokedError`, as Celery does; nothing can be undone."""
        self._state = states.REVOKED
        self._result = exceptions.TaskRevokedError("revoked")
        self._traceback = None
        return True

    def forget(self) -> bool:
        """Do nothing: no file has it."""
        return False

    def __copy__(self) -> EagerResult[R_co]:
        kind, arguments = self.__reduce__()
        return cast("EagerResult[R_co]", kind(*arguments))

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.id, self._result, self._state, self._traceback, self._name)
