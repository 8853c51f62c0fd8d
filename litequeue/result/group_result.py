"""`GroupResult`: the results of a group, which has an id of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice, zip_longest
from typing import TYPE_CHECKING, Any, Final, cast

from litequeue import states
from litequeue.context import current_app
from litequeue.exceptions import JobNotFound
from litequeue.flow import Group
from litequeue.result import family, members, revoking
from litequeue.result.async_result import AsyncResult, R
from litequeue.result.eager_result import EagerResult
from litequeue.result.home import Home
from litequeue.result.result_set import ResultSet
from litequeue.result.revoking import Signal
from litequeue.result.waiting import Patience, timed_out

if TYPE_CHECKING:
    from litequeue.result.progress import Progress

_NOT_ALL: Final = 0.1
"""Seconds between two looks whether all members are in the file."""


class GroupResult(ResultSet[R]):
    """The results of a group's members, in their order.

    Without ``results`` it is the group of this id in the file: its members are read when they are
    looked at, and counted without that.  ``parent`` is the result of what came before the group,
    which the file knows, too.
    """

    def __init__(
        self,
        id: str,
        results: Iterable[Any] | None = None,
        parent: Any = None,
        *,
        app: Home | None = None,
    ) -> None:
        self._own: list[Any] | None = None
        self._is_filed = False
        super().__init__((), app)
        self.id: str = id
        self._own = None if results is None else list(results)
        self._parent: Any = parent

    @property
    def app(self) -> Home:
        """The app that is asked; raises `ImproperlyConfigured` when there is none."""
        if self._app is None and self._own is None:
            self._app = cast(Home, current_app())
        return super().app

    # Members

    @property
    def results(self) -> list[Any]:
        """The results of all members, read at the first look; raises `JobNotFound`."""
        if self._own is None:
            self._own = list(self._members())
        return self._own

    @results.setter
    def results(self, results: list[Any]) -> None:
        self._own = results

    @property
    def children(self) -> list[Any]:
        """The members."""
        return self.results

    def _look(self) -> Group | None:
        """Return what the file says of it; None where its members are here, or nobody knows it."""
        if self._own is not None:
            return None
        group = self.app.store.group(self.id)
        self._is_filed = group is not None
        if group is None:
            saved = members.load(self.app, self.id)
            self._own = None if saved is None else _handles(saved, self.app)
        return group

    def _is_own(self) -> bool:
        """Tell whether the members are here, and not in the file."""
        if self._own is None and not self._is_filed:
            self._look()
        return self._own is not None

    def _members(self) -> Iterator[Any]:
        if self._is_own():
            return iter(self.results)
        members.group_of(self.app, self.id)
        return map(self._handle, members.ids_of(self.app, self.id))

    def _awaited(self) -> Iterator[Any]:
        yet = 0
        for yet, member in enumerate(self._members(), 1):  # noqa: B007 - how many there were
            yield member
        if not self._is_own() and yet < (members.group_of(self.app, self.id).size or 0):
            raise JobNotFound(
                self.id, f"members of group {self.id} are gone: pruned, forgotten, or deleted"
            )

    def _as_stored(self) -> tuple[Iterable[str], Callable[[str], AsyncResult[R]]]:
        if self._is_own():
            return super()._as_stored()
        return self._own_ids(), self._handle

    def _own_ids(self) -> Iterable[str]:
        if self._is_own():
            return super()._own_ids()
        return (member.id for member in self._awaited())

    def __iter__(self) -> Iterator[Any]:
        return self._members()

    def __len__(self) -> int:
        return len(self.results) if self._is_own() else self.progress().total

    def __bool__(self) -> bool:
        """Be true, even without members."""
        return True

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, int) and index >= 0 and not self._is_own():
            for member in islice(self._members(), index, None):
                return member
            raise IndexError(index)
        return self.results[index]

    # Counting

    def _counts(self) -> dict[tuple[bool, str], int]:
        if self._is_own():
            return super()._counts()
        return self.app.store.count_members(self.id)

    def completed_count(self) -> int:
        """Return how many ended with a result."""
        group = self._look()
        if group is None:
            return super().completed_count() if self._own is not None else 0
        return self._progress_of(group).succeeded

    def successful(self) -> bool:
        """Tell whether all ended with a result."""
        group = self._look()
        if group is None:
            return self._is_own() and super().successful()
        return _has_ended(group) and not group.failed

    def failed(self) -> bool:
        """Tell whether any ended with an exception."""
        group = self._look()
        if group is None:
            return self._is_own() and super().failed()
        return group.failed > 0 and (True, states.FAILURE) in self._counts()

    def ready(self) -> bool:
        """Tell whether all have ended, well or not; an unknown group has not."""
        group = self._look()
        if group is None:
            return self._is_own() and super().ready()
        return _has_ended(group)

    def progress(self) -> Progress:
        """Count the members, and what has become of them, by one query; raise `JobNotFound`."""
        group = self._look()
        if group is None:
            if self._own is None:
                raise members.missing(self.app, self.id)
            return super().progress()
        return self._progress_of(group)

    def _progress_of(self, group: Group) -> Progress:
        from litequeue.result.progress import progress_of_counts, progress_of_group

        if group.size is None:  # who stores it is not done
            return progress_of_counts(self._counts())
        return progress_of_group(group)

    def _others(self) -> list[Any]:
        return super()._others() if self._is_own() else []

    # Waiting

    def _complete(self, patience: Patience) -> None:
        while not self._is_own() and members.group_of(self.app, self.id).size is None:
            left = patience.left(f"group {self.id} is still being stored")
            self.app.clock.sleep(min(left, _NOT_ALL))

    async def _acomplete(self, deadline: float | None) -> None:
        import asyncio

        loop = asyncio.get_running_loop()
        while not self._is_own() and members.group_of(self.app, self.id).size is None:
            if deadline is not None and loop.time() >= deadline:
                raise timed_out(f"group {self.id} is still being stored", None)
            await asyncio.sleep(_NOT_ALL)

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
    ) -> None:
        """Revoke all members, with ``workflow`` all of the workflow; see `AsyncResult.revoke`."""
        if not workflow or self.app.store.group(self.id) is None:
            super().revoke(
                terminate=terminate, signal=signal, wait=wait, timeout=timeout, workflow=workflow
            )
            return
        revoked = revoking.revoke_workflow(self.app, [self.id], terminate=terminate, signal=signal)
        if terminate and wait:
            revoking.await_end(self.app, revoked, timeout)

    def save(self, backend: object = None) -> None:
        """Have the file know the members, for `restore`; a group of a workflow it knows anyway.

        They are kept as long as results are.  Raises `DuplicateJob` where a job has the id.
        """
        own = self.results if self._is_own() else None
        if own is None:
            members.group_of(self.app, self.id)
            return
        if self.app.store.group(self.id) is not None:
            there = members.ids_of(self.app, self.id)
            if all(mine == its for mine, its in zip_longest(own, there)):
                return
        members.save(self.app, self.id, _tree(own))

    def delete(self, backend: object = None) -> None:
        """Undo `save`; the members stay, and so does a group of a workflow."""
        self.results  # noqa: B018 - they are still here afterwards
        members.forget(self.app, self.id)

    @classmethod
    def restore(
        cls, id: str, backend: object = None, app: Home | None = None
    ) -> GroupResult[Any] | None:
        """Return the group of this id that the file knows, None without one."""
        home = cast(Home, current_app()) if app is None else app
        saved = members.load(home, id)
        if saved is not None:
            return GroupResult(id, _handles(saved, home), app=home)
        return None if home.store.group(id) is None else GroupResult(id, app=home)

    # Its family

    @property
    def parent(self) -> Any:
        """What comes before it in its workflow; else the job that sent it."""
        if self._parent is not None or is_here(self):
            return self._parent
        relative = family.parent_of_group(self.app, self.id)
        if relative is None:
            return None
        if relative.is_group:
            return GroupResult[Any](relative.id, app=self.app)
        return self._handle(relative.id)

    @parent.setter
    def parent(self, result: Any) -> None:
        self._parent = result

    @property
    def root(self) -> Any:
        """The first of its family, which may be the group itself."""
        parent = self.parent
        return self if parent is None else parent.root

    def as_tuple(self) -> tuple[tuple[str, Any], list[Any]]:
        """Return Celery's form: ((id, that of its parent), those of its members)."""
        parent = self.parent
        own = self.id, None if parent is None else parent.as_tuple()
        return own, [_tuple_of(member, parent) for member in self]

    def as_list(self) -> list[str]:
        """Return its id, that of its parent, and so on."""
        parent = self.parent
        return [self.id, *([] if parent is None else parent.as_list())]

    def mermaid(self, most: int = 50) -> str:
        """Draw its workflow as Mermaid text; of a group ``most`` members, the others counted."""
        from litequeue import drawing

        return drawing.mermaid(family.drawing_of(self.app, self.id, most))

    def dot(self, most: int = 50) -> str:
        """Draw its workflow for Graphviz; of a group ``most`` members, the others counted."""
        from litequeue import drawing

        return drawing.dot(family.drawing_of(self.app, self.id, most))

    # Being a value

    def __eq__(self, other: object) -> bool:
        """Compare id and members, with a group; the id, with a text."""
        if isinstance(other, GroupResult):
            read = self._own is not None or other._own is not None
            return other.id == self.id and (not read or other.results == self.results)
        return other == self.id if isinstance(other, str) else NotImplemented

    def __hash__(self) -> int:  # type: ignore[override]  # unlike a set, it has an id
        """Hash by id."""
        return hash(self.id)

    def __str__(self) -> str:
        """Return the id."""
        return self.id

    def __repr__(self) -> str:
        """Return Celery's form; members that have not been looked at are left out."""
        if self._own is None:
            return f"<{type(self).__name__}: {self.id}>"
        return f"<{type(self).__name__}: {self.id} [{', '.join(each.id for each in self._own)}]>"

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.id, self._own)


def _has_ended(group: Group) -> bool:
    return group.size is not None and not group.waiting


def is_here(result: Any) -> bool:
    """Tell whether a result, or all results of a group, came of a run here and now."""
    if isinstance(result, GroupResult):
        return result._own is not None and all(map(is_here, result._own))
    return isinstance(result, EagerResult)


def value_here(result: Any, *, propagate: bool = True) -> Any:
    """Return what an eager result holds, a list for a group.

    Raises the exception of a failure, of the first in order, unless ``propagate`` is false.
    """
    if isinstance(result, GroupResult):
        return [value_here(member, propagate=propagate) for member in result.results]
    return result.get(propagate=propagate, disable_sync_subtasks=False)


def parent_here(result: Any) -> Any:
    """Return the parent that a result was given, without a look into the file."""
    return result._parent


def _tuple_of(result: Any, end: Any) -> Any:
    """Return `as_tuple` of a member; what is before all members, ``end``, is left out."""
    parent = result.parent
    before = None if parent is None or parent == end else _tuple_of(parent, end)
    if isinstance(result, AsyncResult):
        return (result.id, before), None
    return (result.id, before), [_tuple_of(member, parent) for member in result]


def _tree(results: Iterable[Any]) -> members.Tree:
    return [
        [each.id, _tree(each)] if isinstance(each, GroupResult) else each.id for each in results
    ]


def _handles(tree: members.Tree, home: Home) -> list[Any]:
    return [
        AsyncResult[Any](each, app=home)
        if isinstance(each, str)
        else GroupResult[Any](each[0], _handles(each[1], home), app=home)
        for each in tree
    ]
