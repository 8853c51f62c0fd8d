"""Handles made of ids: on the groups of one app, and of what `as_tuple` returned."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from litequeue.result.async_result import AsyncResult
from litequeue.result.group_result import GroupResult
from litequeue.result.home import Home
from litequeue.result.result_set import ResultSet


class Groups:
    """The groups of one app: what ``app.GroupResult`` is, which is called like the class."""

    __slots__ = ("_app",)

    def __init__(self, app: Home) -> None:
        self._app = app

    def __call__(
        self, id: str, results: Iterable[Any] | None = None, parent: Any = None
    ) -> GroupResult[Any]:
        """Return a handle on a group; see `GroupResult`."""
        return GroupResult(id, results, parent, app=self._app)

    def restore(self, id: str, backend: object = None) -> GroupResult[Any] | None:
        """Return the group of this id that the file knows, None without one."""
        return GroupResult.restore(id, app=self._app)


def result_from_tuple(r: Any, app: Home | None = None) -> Any:
    """Return the handle whose `as_tuple` this is; a text is the id of a job."""
    if isinstance(r, AsyncResult | ResultSet):
        return r
    own, results = (r, None) if isinstance(r, str) else r
    id, parent = own if isinstance(own, list | tuple) else (own, None)
    before = result_from_tuple(parent, app) if parent else None
    if results is None:
        return AsyncResult[Any](id, app=app, parent=before)
    return GroupResult[Any](id, [result_from_tuple(each, app) for each in results], before, app=app)
