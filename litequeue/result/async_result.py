"""`AsyncResult`: a handle on one job."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Generic, cast

from litequeue.result.failures import error_of, value_of
from litequeue.result.handle import Handle
from litequeue.result.joining import refuse_to_block
from litequeue.result.messages import on_changes
from litequeue.result.waiting import Gathering, Patience, ended, until_ended

if TYPE_CHECKING:  # defaults, so that a plain `AsyncResult` says enough: in Python 3.13's typing
    from typing_extensions import TypeVar

    from litequeue.result.family import Relative
    from litequeue.result.graph import DependencyGraph, GraphFormatter
    from litequeue.result.progress import Progress
    from litequeue.result.revoking import Signal
    from litequeue.store import Record

    R = TypeVar("R", default=Any)
    R_co = TypeVar("R_co", covariant=True, default=Any)
else:
    from typing import TypeVar

    R = TypeVar("R")
    R_co = TypeVar("R_co", covariant=True)


class AsyncResult(Handle, Generic[R_co]):
    """A handle on a job: it holds the id and asks the file, every time.

    Without ``app`` it belongs to the current app.  Pickled and unpickled, it does so again.
    """

    __slots__ = ()

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
        on_look = None
        if on_message is not None:
            on_look = on_changes(self.app, self.id, on_message, self._other)
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

    # Its family

    @property
    def parent(self) -> Any:
        """What comes before it in its workflow, a job or a group; else the job that sent it."""
        if self._parent is not None:
            return self._parent
        from litequeue.result import family

        return self._relative(family.parent_of(self.app, self.id))

    @parent.setter
    def parent(self, result: Any) -> None:
        self._parent = result

    @property
    def root(self) -> Any:
        """The first of its family: what was sent first of its workflow, or by its first sender."""
        if self._parent is not None:
            return self._parent.root
        from litequeue.result import family

        return self._relative(family.root_of(self.app, self.id))

    @property
    def children(self) -> list[Any]:
        """What its task sent and the steps after it, in their order: jobs and groups."""
        from litequeue.result import family

        return [self._relative(each) for each in family.children_of(self.app, self.id)]

    def _other(self, id: str) -> AsyncResult[Any]:
        return AsyncResult[Any](id, app=self.app)

    def _relative(self, relative: Relative | None) -> Any:
        if relative is None:
            return None
        if not relative.is_group:
            return self._other(relative.id)
        from litequeue.result.group_result import GroupResult  # which is made of these handles

        return GroupResult[Any](relative.id, app=self.app)

    def iterdeps(self, intermediate: bool = False) -> Iterator[tuple[Any, Any]]:
        """Yield (parent, result) of this, its children, theirs and so on, the nearest first.

        Raises `IncompleteStream` at one that has not ended, unless ``intermediate``.
        """
        from litequeue.result.descent import descend

        return descend(self, intermediate=intermediate)

    def collect(self, intermediate: bool = False, **kwargs: Any) -> Iterator[tuple[Any, Any]]:
        """Yield (result, its value) of this and all that came of it; `get` takes the ``kwargs``.

        Raises as `iterdeps` and `get` do.
        """
        for _, result in self.iterdeps(intermediate):
            yield result, result.get(**kwargs)

    def get_leaf(self) -> Any:
        """Return the value of what came last of this; raises as `collect` does."""
        value: Any = None
        for _, value in self.collect():  # noqa: B007 - the last one counts
            pass
        return value

    def build_graph(
        self, intermediate: bool = False, formatter: GraphFormatter | None = None
    ) -> DependencyGraph:
        """Return this and all that came of it as a graph; raises as `iterdeps` does."""
        from litequeue.result.descent import graph_of

        return graph_of(self, intermediate=intermediate, formatter=formatter)

    @property
    def graph(self) -> DependencyGraph:
        """All that came of it; raises `IncompleteStream` while something has not ended."""
        return self.build_graph()

    def progress(self) -> Progress:
        """Count the jobs it waited for, and itself; alone, the steps it shows by `set_progress`.

        Raises `JobNotFound`.
        """
        from litequeue.result.progress import progress_of_job

        return progress_of_job(self.app, self.id)

    def mermaid(self, most: int = 50) -> str:
        """Draw its workflow as Mermaid text; of a group ``most`` members, the others counted."""
        from litequeue import drawing
        from litequeue.result import family

        return drawing.mermaid(family.drawing_of(self.app, self.id, most))

    def dot(self, most: int = 50) -> str:
        """Draw its workflow for Graphviz; of a group ``most`` members, the others counted."""
        from litequeue import drawing
        from litequeue.result import family

        return drawing.dot(family.drawing_of(self.app, self.id, most))

    def as_tuple(self) -> tuple[tuple[str, Any], None]:
        """Return Celery's form of a handle: ((id, that of its parent), None)."""
        parent = self.parent
        return (self.id, None if parent is None else parent.as_tuple()), None

    def as_list(self) -> list[str]:
        """Return its id, that of its parent, and so on."""
        parent = self.parent
        return [self.id, *([] if parent is None else parent.as_list())]

    # Changing it

    def revoke(
        self,
        connection: object = None,
        *,
        terminate: bool = False,
        signal: Signal = None,
        wait: bool = False,
        timeout: float | None = None,
        workflow: bool = False,
    ) -> bool:
        """End the job as REVOKED if it still waits; one that runs will not run again.

        With ``terminate`` one that runs is ended by ``signal`` (SIGTERM); ``wait`` then waits for
        that, at most ``timeout`` seconds (None: for ever).  Returns whether this revoked the job
        by now.  It stands for an id that is not known yet, too.  ``workflow``: so are all jobs of
        its workflow.
        """
        from litequeue.result import revoking

        revoke = revoking.revoke_workflow if workflow else revoking.revoke
        revoked = revoke(self.app, [self.id], terminate=terminate, signal=signal)
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
        from litequeue.result import revoking

        revoking.revoke_stamped(self.app, headers, terminate=terminate, signal=signal)

    def forget(self) -> bool:
        """Delete the finished job with its result; False when it is not finished."""
        return self.app.store.forget(self.id)
