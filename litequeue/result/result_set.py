"""`ResultSet`: handles on many jobs, asked and awaited together."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from typing import Any, Generic, cast

from litequeue import states
from litequeue.context import current_app
from litequeue.result import revoking
from litequeue.result.async_result import AsyncResult, R
from litequeue.result.eager_result import EagerResult
from litequeue.result.home import Home
from litequeue.result.joining import refuse_to_block
from litequeue.result.revoking import Signal
from litequeue.result.waiting import Gathering, Patience, as_they_end, ended, in_order
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
            stored = self._stored()
            self._app = stored[0].app if stored else cast(Home, current_app())
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

    def _stored(self) -> list[AsyncResult[R]]:
        """Return the members that have a job in the file."""
        return [member for member in self.results if not isinstance(member, EagerResult)]

    def _counts(self) -> dict[tuple[bool, str], int]:
        """Return how many members are (ended or not, in this state)."""
        stored = [member.id for member in self._stored()]
        counts = self.app.store.count_states(stored) if stored else {}
        for member in self.results:
            if isinstance(member, EagerResult):
                counts[True, member.state] = counts.get((True, member.state), 0) + 1
        return counts

    def completed_count(self) -> int:
        """Return how many ended with a result."""
        return self._counts().get((True, states.SUCCESS), 0)

    def successful(self) -> bool:
        """Tell whether all ended with a result."""
        return self.completed_count() == len(self.results)

    def failed(self) -> bool:
        """Tell whether any ended with an exception."""
        return (True, states.FAILURE) in self._counts()

    def ready(self) -> bool:
        """Tell whether all have ended, well or not."""
        return all(has_ended for has_ended, _ in self._counts())

    def waiting(self) -> bool:
        """Tell whether any has not ended."""
        return not self.ready()

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
        ids = [member.id for member in self._stored() if not member.ignored]
        patience = Patience(self.app, timeout, interval=interval, on_interval=on_interval)
        records = in_order(self.app, ids, patience)
        values: list[R] = []
        for member in self.results:
            if isinstance(member, EagerResult) or member.ignored:
                value = member.get(propagate=propagate, disable_sync_subtasks=False)
            else:
                _, record = next(records)
                if on_message is not None:
                    on_message(member._message(record, self.app.store.children_of(member.id)))
                value = member._conclude(record, propagate=propagate)
            if callback is None:
                values.append(value)
            else:
                callback(member.id, value)
        return values

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
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield (id, what became of it) of each as it ends.

        That is a dict of ``task_id``, ``status``, ``result``, ``traceback`` and ``children``.
        ``timeout`` and ``interval`` are in seconds.  Raises `TimeoutError`, and `JobNotFound`.
        """
        refuse_to_block("iter_native()", disable_sync_subtasks=False)
        for member in self.results:
            if isinstance(member, EagerResult):
                yield member.id, member._message()
        members = {member.id: member for member in self._stored()}
        patience = Patience(self.app, timeout, interval=interval, on_interval=on_interval)
        for batch in as_they_end(self.app, list(members), patience):
            children = self.app.store.children_of_many([id for id, _ in batch])
            for id, record in batch:
                message = members[id]._message(record, children.get(id, []))
                if on_message is not None:
                    on_message(message)
                yield id, message

    async def aget(
        self,
        timeout: float | None = None,  # noqa: ASYNC109 - as get() has it
        propagate: bool = True,
        *,
        disable_sync_subtasks: bool = True,
    ) -> list[R]:
        """Wait for all without blocking the running asyncio loop; return or raise as `join`."""
        refuse_to_block("await", disable_sync_subtasks=disable_sync_subtasks)
        stored = [member.id for member in self._stored() if not member.ignored]
        records = await ended(self.app, stored, timeout) if stored else {}
        return [
            member._conclude(records[member.id], propagate=propagate)
            if member.id in records
            else member.get(propagate=propagate, disable_sync_subtasks=False)
            for member in self.results
        ]

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
        stored = [member.id for member in self._stored()]
        records = self.app.store.fetch_many(stored) if stored else {}
        for member in self.results:
            record = records.get(member.id)
            if isinstance(member, EagerResult) or record is None:
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
    ) -> None:
        """Revoke all; see `AsyncResult.revoke`."""
        for member in self.results:
            if isinstance(member, EagerResult):
                member.revoke()
        stored = [member.id for member in self._stored()]
        revoked = revoking.revoke(self.app, stored, terminate=terminate, signal=signal)
        if terminate and wait:
            revoking.await_end(self.app, revoked, timeout)

    def forget(self) -> None:
        """Delete those that have ended with their results."""
        self.app.store.forget_many(member.id for member in self._stored())
