"""`Lazily`: the members of a group that a generator makes, as they are asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final, TypeVar

T = TypeVar("T")

REMEMBERED: Final = 10_000
"""How many members `Lazily.stream` keeps, so that what is small may be sent twice."""


class Lazily(list[T]):
    """A list whose items come from an iterator, no sooner than they are looked at.

    It is a list so that JSON has a form for it.
    """

    def __init__(self, source: Iterable[T]) -> None:
        super().__init__()
        self._source = iter(source)
        self._forgot = False

    def map(self, change: Callable[[T], T]) -> None:
        """Have ``change`` done to every item, to those still to come as they come."""
        for place in range(super().__len__()):
            super().__setitem__(place, change(super().__getitem__(place)))
        self._source = map(change, self._source)

    def stream(self) -> Iterator[T]:
        """Yield all items; of more than `REMEMBERED` the rest is not kept: they come only once."""
        place = 0
        while place < max(REMEMBERED, super().__len__()):
            if not self._reach(place):
                return
            yield super().__getitem__(place)
            place += 1
        self._refuse_twice()
        for item in self._source:
            self._forgot = True
            yield item

    def is_one(self) -> bool:
        """Tell whether there is just one item."""
        return self._reach(0) and not self._reach(1)

    def _reach(self, place: int) -> bool:
        """Tell whether there is an item at ``place``, after having made it."""
        while super().__len__() <= place:
            self._refuse_twice()
            try:
                super().append(next(self._source))
            except StopIteration:
                return False
        return True

    def _refuse_twice(self) -> None:
        if self._forgot:
            raise RuntimeError(
                f"the generator of this group was sent already, and of its members only "
                f"{REMEMBERED:,} are kept; make the group of a list to use it twice"
            )

    def _all(self) -> list[T]:
        """Return a plain list of all items."""
        return [*self]

    def __iter__(self) -> Iterator[T]:
        place = 0
        while self._reach(place):
            yield super().__getitem__(place)
            place += 1

    def __len__(self) -> int:
        for _ in self:
            pass
        return super().__len__()

    def __bool__(self) -> bool:
        return self._reach(0)

    def __getitem__(self, place: Any) -> Any:
        if not isinstance(place, int) or place < 0:
            len(self)
        else:
            self._reach(place)
        return super().__getitem__(place)

    def __setitem__(self, place: Any, item: Any) -> None:
        len(self)
        super().__setitem__(place, item)

    def __eq__(self, other: object) -> bool:
        return self._all() == (other._all() if isinstance(other, Lazily) else other)

    __hash__ = None  # as of any list

    def __contains__(self, item: object) -> bool:
        return item in self._all()

    def __repr__(self) -> str:
        return repr(self._all())

    def __deepcopy__(self, memo: dict[int, Any]) -> list[T]:
        return self._all()

    def __reduce__(self) -> tuple[Any, ...]:
        return list, (self._all(),)


def sequence(items: Iterable[T]) -> list[T] | tuple[T, ...]:
    """Return a list or tuple as it is, any other iterable as a lazy list."""
    return items if isinstance(items, list | tuple) else Lazily(items)
