"""`xmap`, `xstarmap` and `chunks`: one task for many arguments, in one job or in a few."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from typing import Any, ClassVar

from litequeue.canvas.groups import group
from litequeue.canvas.lazily import Lazily, sequence
from litequeue.canvas.making import signature
from litequeue.canvas.signatures import Signature


class _Mapping(Signature[Any]):
    """A call that calls ``task`` for every item of ``it``."""

    _calls: ClassVar[str] = ""
    _shows: ClassVar[str] = ""

    def __init__(self, task: Any, it: Iterable[Any], **options: Any) -> None:
        given = {"task": task, "it": it if isinstance(it, list | tuple) else [*it]}
        super().__init__(self._calls, (), given, **{"immutable": True, **options})

    @classmethod
    def from_dict(cls, d: Mapping[str, Any], app: Any = None) -> Any:
        """Return the call that a mapping describes."""
        return cls(d["kwargs"]["task"], d["kwargs"]["it"], app=app, **d["options"])

    def __repr__(self) -> str:
        """Show the task and the items."""
        shown = repr(self.kwargs["it"])
        return self._shows.format(
            self.kwargs["task"].task, shown if len(shown) <= 100 else f"{shown[:97]}..."
        )


@Signature.register_type()
class xmap(_Mapping):
    """One job that calls a task with every item: Celery's `xmap`."""

    _calls = "celery.map"
    _shows = "[{}(x) for x in {}]"


@Signature.register_type()
class xstarmap(_Mapping):
    """One job that calls a task with the arguments that every item is: Celery's `xstarmap`."""

    _calls = "celery.starmap"
    _shows = "[{}(*x) for x in {}]"


@Signature.register_type()
class chunks(Signature[Any]):
    """Jobs that each call a task for ``n`` items: Celery's `chunks`."""

    def __init__(self, task: Any, it: Iterable[Any], n: int, **options: Any) -> None:
        size: object = n
        if not isinstance(size, int) or size < 1:
            raise ValueError(
                f"n is how many items each job of chunks gets, 1 or more, not {n!r:.80}"
            )
        given = {"task": task, "it": sequence(it), "n": n}
        super().__init__("celery.chunks", (), given, **{"immutable": True, **options})

    @classmethod
    def from_dict(cls, d: Mapping[str, Any], app: Any = None) -> Any:
        """Return the call that a mapping describes."""
        given = d["kwargs"]
        return cls(given["task"], given["it"], given["n"], app=app, **d["options"])

    def __call__(self, **options: Any) -> Any:
        """Enqueue the jobs."""
        return self.apply_async(**options)

    def apply_async(self, args: Any = None, kwargs: Any = None, *_: Any, **opts: Any) -> Any:
        """Enqueue the jobs: a group of them."""
        return self.group().apply_async(args, kwargs, **opts)

    def group(self) -> Any:
        """Return the group of the calls."""
        task, it, n = (self.kwargs[name] for name in ("task", "it", "n"))
        parts = (xstarmap(task, part, app=self._app) for part in _parts(it, n))
        return group(parts, app=self._app)

    @classmethod
    def apply_chunks(cls, task: Any, it: Iterable[Any], n: int, app: Any = None) -> Any:
        """Enqueue the jobs for ``it``."""
        return cls(task, it, n, app=app)()


def _parts(it: Iterable[Any], n: int) -> Iterator[list[Any]]:
    items = it.stream() if isinstance(it, Lazily) else iter(it)
    while part := [*islice(items, n)]:
        yield part


def map_here(app: Any, task: Any, it: Iterable[Any]) -> list[Any]:
    """Do what the task celery.map does."""
    call = _call(app, task)
    return [call(item) for item in it]


def starmap_here(app: Any, task: Any, it: Iterable[Any]) -> list[Any]:
    """Do what the task celery.starmap does."""
    call = _call(app, task)
    return [call(*item) for item in it]


def _call(app: Any, task: Any) -> Callable[..., Any]:
    called: Callable[..., Any] = signature(task, app=app).type
    return called
