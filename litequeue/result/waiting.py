"""Waiting for jobs to end: for one, for many in order, for many as they end, and in asyncio."""

from __future__ import annotations

import builtins
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Final

from litequeue import exceptions
from litequeue.result.home import Home

if TYPE_CHECKING:
    from litequeue.store import News, Record, Waiting, Watch

MOST_AHEAD: Final = 512
"""Jobs that are looked at together while they are found to have ended."""
MOST_WATCHED: Final = 20_000
"""Jobs that are watched together: what is read again whenever something has changed."""
_LONG: Final = 3600.0


class Patience:
    """How long to wait, and whom to tell every now and then.  Times are in seconds."""

    def __init__(
        self,
        home: Home,
        timeout: float | None,
        *,
        interval: float = 0.5,
        on_interval: Callable[[], object] | None = None,
    ) -> None:
        self._clock = home.clock
        self._timeout = timeout
        now = self._clock.monotonic()
        self._deadline = None if timeout is None else now + timeout
        self._interval = interval
        self._on_interval = on_interval
        self._next_call = now + interval

    def left(self, what: str) -> float:
        """Call back where it is time, and return how long to sleep at most.

        Raises `TimeoutError`, which says that ``what`` did not end.
        """
        now = self._clock.monotonic()
        if self._deadline is not None and now >= self._deadline:
            raise timed_out(what, self._timeout)
        left = _LONG if self._deadline is None else self._deadline - now
        if self._on_interval is None:
            return left
        self.tick()
        return min(left, max(0.0, self._next_call - now))

    def tick(self) -> None:
        """Call back where it is time."""
        if self._on_interval is not None and self._clock.monotonic() >= self._next_call:
            self._next_call = self._clock.monotonic() + self._interval
            self._on_interval()

    def rest(self) -> float | None:
        """Return how many seconds there are left, None without an end."""
        if self._deadline is None:
            return None
        return max(0.0, self._deadline - self._clock.monotonic())


def timed_out(what: str, timeout: float | None) -> exceptions.TimeoutError:
    """Return the error of who has waited long enough."""
    return exceptions.TimeoutError(f"{what} after {timeout or 0:g} s")


def until_ended(
    home: Home,
    id: str,
    patience: Patience,
    on_look: Callable[[Record], object] | None = None,
) -> Record:
    """Return the record of a job once it has ended.  Raises `JobNotFound` and `TimeoutError`."""
    store = home.store
    waiting: Waiting | None = None
    try:
        while True:
            record = there(home, id, store.fetch(id))
            if on_look is not None:
                on_look(record)
            if record.is_done:
                return record
            if waiting is None:
                waiting = store.wait_for(id)  # and look again: it may have ended before that
            else:
                waiting.wait(patience.left(f"job {id} is still {record.state}"))
    finally:
        if waiting is not None:
            waiting.close()


def in_order(home: Home, ids: Iterable[str], patience: Patience) -> Iterator[tuple[str, Record]]:
    """Yield the records of jobs in the order of ``ids``, each once it has ended.

    Looks at one, and at ever more together while all of them have ended; ``ids`` are read no
    further than that.
    """
    rest, ahead = iter(ids), 1
    read: deque[str] = deque()
    while True:
        read.extend(islice(rest, max(0, ahead - len(read))))
        if not read:
            return
        some = list(islice(read, ahead))
        found = home.store.fetch_ended(some)
        ahead = min(2 * ahead, MOST_AHEAD)
        patience.tick()
        for id in some:
            read.popleft()
            if id not in found:
                ahead = 1
                yield id, until_ended(home, id, patience)
                break
            yield id, known(id, found[id])


def as_they_end(
    home: Home, ids: Iterable[str], patience: Patience
) -> Iterator[list[tuple[str, Record]]]:
    """Yield the records of jobs as they end, in batches; ``ids`` are all different.

    At most `MOST_WATCHED` of them are watched at a time: the next ones when some have ended.
    """
    from queue import Empty, SimpleQueue

    news: SimpleQueue[tuple[str, News]] = SimpleQueue()
    watched = Watched(home, ids, lambda id, found: news.put((id, found)))
    try:
        while watched.refill():
            batch: list[tuple[str, Record]] = []
            try:
                while len(batch) < MOST_AHEAD:
                    # What is there is taken at once; only for the first one it waits.
                    here = batch or news.qsize()
                    wait = 0.0 if here else patience.left(f"{watched.left} jobs still run")
                    id, found = news.get(timeout=wait)
                    watched.left -= 1
                    batch.append((id, known(id, found)))
            except Empty:
                pass
            if batch:
                yield batch
    finally:
        watched.close()


async def as_they_end_here(
    home: Home,
    ids: Iterable[str],
    timeout: float | None,  # noqa: ASYNC109 - as get() has it
) -> AsyncIterator[tuple[str, Record]]:
    """Do as `as_they_end` does, one by one, without blocking the running loop."""
    import asyncio

    loop = asyncio.get_running_loop()
    news: asyncio.Queue[tuple[str, News]] = asyncio.Queue()

    def tell(id: str, found: News) -> None:
        try:
            loop.call_soon_threadsafe(news.put_nowait, (id, found))
        except RuntimeError:
            if not loop.is_closed():  # then nobody awaits it any more
                raise

    watched = Watched(home, ids, tell)
    deadline = None if timeout is None else loop.time() + timeout
    try:
        while watched.refill():
            try:
                async with asyncio.timeout_at(deadline):
                    id, found = await news.get()
            except builtins.TimeoutError:
                raise timed_out(f"{watched.left} jobs still run", timeout) from None
            watched.left -= 1
            yield id, known(id, found)
    finally:
        watched.close()


class Watched:
    """Jobs of which some are watched at a time; ``left`` counts those that nobody has read of."""

    def __init__(self, home: Home, ids: Iterable[str], tell: Callable[[str, News], object]) -> None:
        self.left: int = 0
        self._store = home.store
        self._rest = iter(ids)
        self._tell = tell
        self._watches: dict[int, Watch] = {}
        self._made = 0

    def refill(self) -> bool:
        """Watch further ones where half of them have ended; tell whether any is left at all."""
        if self.left <= MOST_WATCHED // 2:
            some = list(islice(self._rest, MOST_WATCHED - self.left))
            if some:
                self.left += len(some)
                self._watch(some)
        return self.left > 0

    def _watch(self, ids: Sequence[str]) -> None:
        number = self._made = self._made + 1
        missing = len(ids)

        def tell(id: str, found: News) -> None:
            nonlocal missing
            self._tell(id, found)
            missing -= 1
            if not missing:  # nothing of it is to be kept
                self._watches.pop(number, None)

        watch = self._store.watch(ids, tell)
        if missing:
            self._watches[number] = watch

    def close(self) -> None:
        """End the interest."""
        for watch in list(self._watches.values()):
            watch.close()


async def ended(
    home: Home,
    ids: Sequence[str],
    timeout: float | None,  # noqa: ASYNC109 - as get() has it
) -> dict[str, Record]:
    """Return the records of jobs once all have ended, without blocking the running loop.

    Raises `JobNotFound`, and `TimeoutError` after ``timeout`` seconds.
    """
    import asyncio

    looked = home.store.fetch_ended(ids)
    found = {id: there(home, id, record) for id, record in looked.items()}
    rest = [id for id in ids if id not in found]
    if not rest:
        return found
    loop = asyncio.get_running_loop()
    future: asyncio.Future[dict[str, Record]] = loop.create_future()

    def settle(records: dict[str, Record], error: Exception | None) -> None:
        if future.done():  # cancelled
            return
        if error is None:
            future.set_result(records)
        else:
            future.set_exception(error)

    def tell(records: dict[str, Record], error: Exception | None) -> None:
        try:
            loop.call_soon_threadsafe(settle, records, error)
        except RuntimeError:
            if not loop.is_closed():  # then nobody awaits it any more
                raise

    watch = home.store.watch(rest, Gathering(rest, tell))
    try:
        async with asyncio.timeout(timeout):
            return found | await future
    except builtins.TimeoutError:
        what = f"job {rest[0]} has not ended" if len(rest) == 1 else f"{len(rest)} jobs still run"
        raise timed_out(what, timeout) from None
    finally:
        watch.close()


class Gathering:
    """Gathers the records of jobs; calls ``done(records, error)`` once, with all or an error."""

    def __init__(
        self, ids: Iterable[str], done: Callable[[dict[str, Record], Exception | None], object]
    ) -> None:
        self._missing = set(ids)
        self._done = done
        self._records: dict[str, Record] = {}
        self._lock = threading.Lock()
        self._is_over = False

    def __call__(self, id: str, news: News) -> None:
        """Take what the watcher tells."""
        error: Exception | None = None
        with self._lock:
            if self._is_over:
                return
            try:
                self._records[id] = known(id, news)
                self._missing.discard(id)
            except Exception as reason:
                error = reason
            self._is_over = error is not None or not self._missing
            if not self._is_over:
                return
        self._done(self._records, error)


def there(home: Home, id: str, record: Record | None) -> Record:
    """Return the record of a job; raises `JobNotFound`."""
    if record is None:
        raise missing(home, id)
    return record


def missing(home: Home, id: str) -> exceptions.JobNotFound:
    """Return the error for an id that no job has, which says so if a group has it."""
    if home.store.group(id) is None:
        return exceptions.JobNotFound(id)
    return exceptions.JobNotFound(
        id, f"no job {id} in this file, but a group: ask app.GroupResult({id!r})"
    )


def known(id: str, news: News) -> Record:
    """Return the record of a job; raises what kept it from being read, or `JobNotFound`."""
    if isinstance(news, Exception):
        raise news
    if news is None:
        raise exceptions.JobNotFound(id)
    return news
