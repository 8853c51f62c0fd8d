"""`GroupResult`: the results of a group, which has an id of its own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from litequeue.result.async_result import R
from litequeue.result.eager_result import EagerResult
from litequeue.result.home import Home
from litequeue.result.joining import refuse_to_block
from litequeue.result.result_set import ResultSet


class GroupResult(ResultSet[R]):
    """The results of a group's members, in their order.

    ``parent`` is the result of what came before the group.
    """

    def __init__(
        self, id: str, results: Iterable[Any] = (), *, parent: Any = None, app: Home | None = None
    ) -> None:
        super().__init__(results, app)
        self.id = id
        self.parent = parent

    def get(self, *args: Any, disable_sync_subtasks: bool = True, **options: Any) -> Any:
        """Do as `ResultSet.join` does; what was run here and now is not waited for."""
        if not is_here(self):
            return super().get(*args, disable_sync_subtasks=disable_sync_subtasks, **options)
        refuse_to_block("get()", disable_sync_subtasks=disable_sync_subtasks)
        propagate = args[1] if len(args) > 1 else options.get("propagate", True)
        return value_here(self, propagate=propagate)

    join = get

    @property
    def children(self) -> list[Any]:
        """The members."""
        return self.results

    def _counts(self) -> dict[tuple[bool, str], int]:
        return Counter(_ends(self)) if is_here(self) else super()._counts()

    def successful(self) -> bool:
        """Tell whether all ended with a result, those of inner groups too."""
        counts = self._counts()
        return (
            self.completed_count() == sum(counts.values())
            if is_here(self)
            else (super().successful())
        )

    def __eq__(self, other: object) -> bool:
        """Compare id and members."""
        if isinstance(other, GroupResult):
            return other.id == self.id and other.results == self.results
        return NotImplemented

    __hash__: None = None  # its members change


def is_here(result: Any) -> bool:
    """Tell whether a result, or all results of a group, came of a run here and now."""
    if isinstance(result, GroupResult):
        return all(map(is_here, result.results))
    return isinstance(result, EagerResult)


def _ends(result: Any) -> Iterator[tuple[bool, str]]:
    """Yield (ended, state) of every result that was run here, those of inner groups too."""
    for member in result.results:
        if isinstance(member, GroupResult):
            yield from _ends(member)
        else:
            yield True, member.state


def value_here(result: Any, *, propagate: bool = True) -> Any:
    """Return what an eager result holds, a list for a group.

    Raises the exception of a failure, of the first in order, unless ``propagate`` is false.
    """
    if isinstance(result, GroupResult):
        return [value_here(member, propagate=propagate) for member in result.results]
    return result.get(propagate=propagate, disable_sync_subtasks=False)


def parent_here(result: Any) -> Any:
    """Return the parent that a result was given, without a look into the file."""
    return result.parent if isinstance(result, GroupResult) else result._parent
