"""`ResultSet`: handles on many jobs, asked and awaited together."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Generator, Iterable, Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any, Generic, cast

from litequeue import states
from litequeue.context import current_app
from litequeue.result import in_order
from litequeue.result.async_result import AsyncResult, R
from litequeue.result.eager_result import EagerResult
from litequeue.result.home import Home
from litequeue.result.in_order import MOST_TOGETHER, is_stored
from litequeue.result.joining import refuse_to_block
from litequeue.result.messages import Message, message
from litequeue.result.waiting import (
    Gathering,
    Patience,
    as_they_end,
    as_they_end_here,
)

if TYPE_CHECKING:
    from litequeue.result.progress import Progress
    from litequeue.result.revoking import Signal
    from litequeue.store import Record


class ResultSet(Generic[R]):
    """A collection of results of one app.  What it counts and awaits, it asks of the file at once.

    Without ``app`` it is the app of its members, or the current one.
    """

    results: list[AsyncResult[R]]

    def __init__(self, results: Iterable[AsyncResult[R]], app: Home | None = None) -> None:
        self.results = list(results)
        self._app = app
        self._known: set[str] = set()

    @property
    def app(self) -> Home:
        """The app that is asked; raises `ImproperlyConfigured` when there is none."""
        if self._app is None:
            stored = next(self._stored(), None)
            self._app = cast(Home, current_app()) if stored is None else stored.app
        return self._app

    # Members

    def add(self, result: AsyncResult[R]) -> None:
        """Add a result, unless it is a member."""
        self.update([result])

    def update(self, results: Iterable[AsyncResult[R]]) -> None:
        """Add those of ``results`` that are no members yet."""
        if len(self._known) != len(self.results):  # `results` is anybody's to change
            self._known = {member.id for member in self.results}
        for result in results:
            if result.id not in self._known:
                self._known.add(result.id)
                self.results.append(result)

    def remove(self, result: AsyncResult[R] | str) -> None:
        """Remove a result, or the one of this id.  Raises KeyError when it is no member."""
        try:
            self.results.remove(result)  # type: ignore[arg-type]  # a handle equals its id
        except ValueError:
            raise KeyError(result) from None
        self._known.clear()

    def discard(self, result: AsyncResult[R] | str) -> None:
        """Remove a result if it is a member."""
        if result in self:
            self.remove(result)

    def clear(self) -> None:
        """Remove all results."""
        self.results.clear()
        self._known.clear()

    def __iter__(self) -> Iterator[AsyncResult[R]]:
        return iter(self.results)

    def __len__(self) -> int:
        return len(self.results)

    def __getitem__(self, index: int) -> AsyncResult[R]:
        return self.results[index]

    def __contains__(self, result: object) -> bool:
        return result in self.results

    def __eq__(self, other: object) -> bool:
        """Compare the members, in their order."""
        return other.results == self.results if isinstance(other, ResultSet) else NotImplemented

    __hash__: None = None  # type: ignore[assignment]  # its members change

    def __repr__(self) -> str:
        """Return Celery's form."""
        return f"<{type(self).__name__}: [{', '.join(result.id for result in self.results)}]>"

    # Counting

    def _members(self) -> Iterator[Any]:
        """Yield the members one by one."""
        return iter(self.results)

    def _awaited(self) -> Iterator[Any]:
        """Yield them; raise `JobNotFound` in the end where some are gone."""
        return self._members()

    def _stored(self) -> Iterator[AsyncResult[R]]:
        """Yield the members that have a job in the file, those of inner groups too."""
        for member in self._members():
            if isinstance(member, ResultSet):
                yield from member._stored()
            elif not isinstance(member, EagerResult):
                yield member

    def _others(self) -> list[Any]:
        """Return the members without a job of their own: eager ones, and inner groups."""
        return [member for member in self._members() if not is_stored(member)]

    def _inner(self) -> list[ResultSet[Any]]:
        return [member for member in self._others() if isinstance(member, ResultSet)]

    def _counts(self) -> dict[tuple[bool, str], int]:
        """Return how many members that are no groups are (ended or not, in this state)."""
        stored = [member.id for member in self._members() if is_stored(member)]
        counts = self.app.store.count_states(stored) if stored else {}
        for member in self._others():
            if isinstance(member, EagerResult):
                counts[True, member.state] = counts.get((True, member.state), 0) + 1
        return counts

    def completed_count(self) -> int:
        """Return how many ended with a result."""
        inner = sum(each.successful() for each in self._inner())
        return self._counts().get((True, states.SUCCESS), 0) + inner

    def successful(self) -> bool:
        """Tell whether all ended with a result."""
        return self.completed_count() == len(self)

    def failed(self) -> bool:
        """Tell whether any ended with an exception."""
        failed = (True, states.FAILURE) in self._counts()
        return failed or any(each.failed() for each in self._inner())

    def ready(self) -> bool:
        """Tell whether all have ended, well or not."""
        ended = all(has_ended for has_ended, _ in self._counts())
        return ended and all(each.ready() for each in self._inner())

    def waiting(self) -> bool:
        """Tell whether any has not ended."""
        return not self.ready()

    def progress(self) -> Progress:
        """Count the members, those of inner groups too, and what has become of them."""
        from litequeue.result.progress import progress_of_all, progress_of_counts

        inner = [each.progress() for each in self._inner()]
        return progress_of_all([progress_of_counts(self._counts()), *inner])

    # Waiting

    def join(
        self,
        timeout: float | None = None,
        propagate: bool = True,
        *,
        interval: float = 0.5,
        callback: Callable[[str, R], object] | None = None,
        no_ack: bool = True,
        on_message: Callable[[dict[str, Any]], object] | None = None,
        disable_sync_subtasks: bool = True,
        on_interval: Callable[[], object] | None = None,
    ) -> list[R]:
        """Wait for all and return what they returned, in their order.

        ``timeout`` is in seconds, for all together.  Raises as `AsyncResult.get` does, for the
        first in the order that failed.  With ``callback``, which is called with (id, result), the
        list is empty.  ``on_message`` is called with a dict for each that ended.
        """
        refuse_to_block("join()", disable_sync_subtasks=disable_sync_subtasks)
        patience = Patience(self.app, timeout, interval=interval, on_interval=on_interval)
        self._complete(patience)
        found = in_order.values(
            self.app,
            self._awaited(),
            patience,
            propagate=propagate,
            told=None if on_message is None else lambda *one: on_message(self._message(*one)),
        )
        if callback is None:
            return [value for _, value in found]
        for id, value in found:
            callback(id, value)
        return []

    get = join
    join_native = join

    @property
    def supports_native_join(self) -> bool:
        """True: all are awaited together."""
        return True

    def iter_native(
        self,
        timeout: float | None = None,
        interval: float = 0.5,
        *,
        no_ack: bool = True,
        on_message: Callable[[dict[str, Any]], object] | None = None,
        on_interval: Callable[[], object] | None = None,
    ) -> Iterator[tuple[str, Any]]:
        """Yield (id, what became of it) of each as it ends.

        That is a dict of ``task_id``, ``status``, ``result``, ``traceback`` and ``children``; of an
        inner group it is the list of its results, whether they have ended or not.  ``timeout`` and
        ``interval`` are in seconds.  Raises `TimeoutError`, and `JobNotFound`.
        """
        refuse_to_block("iter_native()", disable_sync_subtasks=False)
        patience = Patience(self.app, timeout, interval=interval, on_interval=on_interval)
        self._complete(patience)
        for member in self._others():
            is_eager = isinstance(member, EagerResult)
            yield member.id, member._message() if is_eager else member.results
        for batch in as_they_end(self.app, self._own_ids(), patience):
            children = self.app.store.children_of_many([id for id, _ in batch])
            for id, record in batch:
                told = self._message(id, record, children.get(id, []))
                if on_message is not None:
                    on_message(told)
                yield id, told

    def as_completed(self, timeout: float | None = None) -> Iterator[AsyncResult[R]]:
        """Yield the results as they end, well or not, those of inner groups too.

        ``timeout`` is in seconds, for all.  Raises `TimeoutError`, and `JobNotFound`.
        """
        refuse_to_block("as_completed()", disable_sync_subtasks=False)
        patience = Patience(self.app, timeout)
        self._complete(patience)
        yield from self._eager()
        ids, handles = self._as_stored()
        for batch in as_they_end(self.app, ids, patience):
            for id, _ in batch:
                yield handles(id)

    async def __aiter__(self) -> AsyncIterator[AsyncResult[R]]:
        """Yield the results as they end, as `as_completed` does, for ever."""
        await self._acomplete(None)
        for member in self._eager():
            yield member
        ids, handles = self._as_stored()
        async for id, _ in as_they_end_here(self.app, ids, None):
            yield handles(id)

    def _eager(self) -> Iterator[AsyncResult[R]]:
        for member in self._others():
            if isinstance(member, ResultSet):
                yield from member._eager()
            else:
                yield member

    def _own_ids(self) -> Iterable[str]:
        """Return the ids of the members that have a job, all different."""
        return dict.fromkeys(member.id for member in self._members() if is_stored(member))

    def _as_stored(self) -> tuple[Iterable[str], Callable[[str], AsyncResult[R]]]:
        """Return the ids of all that have a job, and what makes the handle of one."""
        members = {member.id: member for member in self._stored()}
        return members, members.__getitem__

    def _complete(self, patience: Patience) -> None:
        """Wait until all members are known."""

    async def _acomplete(self, deadline: float | None) -> None:
        """Do the same, without blocking the running loop; ``deadline`` is in its time."""

    def _message(self, id: str, record: Record, children: Sequence[str] | None = None) -> Message:
        if children is None:
            children = self.app.store.children_of(id)
        return message(self.app, id, record, children=children, handle=self._handle)

    def _handle(self, id: str) -> AsyncResult[Any]:
        return AsyncResult(id, app=self.app)

    async def aget(
        self,
        timeout: float | None = None,  # noqa: ASYNC109 - as get() has it
        propagate: bool = True,
        *,
        disable_sync_subtasks: bool = True,
    ) -> list[R]:
        """Wait for all without blocking the running asyncio loop; return or raise as `join`."""
        import asyncio

        refuse_to_block("await", disable_sync_subtasks=disable_sync_subtasks)
        loop = asyncio.get_running_loop()
        deadline = None if timeout is None else loop.time() + timeout
        await self._acomplete(deadline)
        return await in_order.values_here(self.app, self._awaited(), deadline, propagate=propagate)

    def __await__(self) -> Generator[Any, None, list[R]]:
        """Wait as `aget` does, for ever."""
        return self.aget().__await__()

    def then(
        self,
        callback: Callable[[ResultSet[R]], object],
        on_error: Callable[[BaseException], object] | None = None,
        weak: bool = False,
    ) -> ResultSet[R]:
        """Call ``callback(self)`` when all have ended: now, or later in a thread of its own.

        ``on_error`` is called instead when that cannot be known, because a job is gone.
        """

        def tell(records: dict[str, Record], error: Exception | None) -> None:
            if error is None:
                callback(self)
            elif on_error is not None:
                on_error(error)
            else:
                raise error

        ids = [member.id for member in self._stored()]
        if ids:
            self.app.store.watch(ids, Gathering(ids, tell))
        else:
            callback(self)
        return self

    def maybe_throw(
        self, callback: Callable[[str, Any], object] | None = None, propagate: bool = True
    ) -> None:
        """Raise the exception of the first that failed, without waiting for the others.

        ``callback`` is called with (id, result) of each, also of those that have not ended.
        """
        members = self._members()
        while some := list(islice(members, MOST_TOGETHER)):
            ids = [each.id for each in some if is_stored(each)]
            records = self.app.store.fetch_many(ids) if ids else {}
            for member in some:
                record = records.get(member.id)
                if record is None:
                    member.maybe_throw(propagate=propagate, callback=callback)
                else:
                    member._conclude(record, propagate=propagate, callback=callback)

    maybe_reraise = maybe_throw

    # Changing them

    def revoke(
        self,
        connection: object = None,
        *,
        terminate: bool = False,
        signal: Signal = None,
        wait: bool = False,
        timeout: float | None = None,
        workflow: bool = False,
    ) -> None:
        """Revoke all, with ``workflow`` all of their workflows; see `AsyncResult.revoke`."""
        for member in self._eager():
            member.revoke()
        ids = [member.id for member in self._stored()]
        from litequeue.result import revoking

        revoke = revoking.revoke_workflow if workflow else revoking.revoke
        revoked = revoke(self.app, ids, terminate=terminate, signal=signal)
        if terminate and wait:
            revoking.await_end(self.app, revoked, timeout)

    def forget(self) -> None:
        """Delete those that have ended with their results."""
        self.app.store.forget_many(member.id for member in self._stored())
