"""Families of jobs: three generations, sent by jobs in other processes, found again from here."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.integration.apps.record import Record
from tests.integration.apps.telling import app, disowns, family, leaves_no_trail
from tests.integration.processes import Site

APP = "tests.integration.apps.telling:app"


@pytest.fixture(autouse=True)
def _bound(site: Site) -> Iterator[None]:
    app.rebind(site.path)
    yield
    app.close()


def test_three_generations_know_each_other(site: Site) -> None:
    site.worker(app=APP, children=2)
    top = family.delay(2)
    facts = Record(site.folder)
    members = {fact["id"]: fact for fact in facts.wait_for("member", 7)}
    assert len(members) == 7
    for id, member in members.items():
        app.AsyncResult(id).get(timeout=10)
        assert member["root"] == top.id
        assert member["seen"] == member["sent"], "a running job sees what it has sent"
        for child in member["sent"]:
            assert members[child]["parent"] == id
    assert members[top.id]["parent"] is None
    assert tree(top) == {
        child: {grandchild: {} for grandchild in members[child]["sent"]}
        for child in members[top.id]["sent"]
    }


def tree(result: Any) -> dict[str, Any]:
    return {child.id: tree(child) for child in result.children or []}


def test_a_task_without_a_trail_has_no_children(site: Site) -> None:
    site.worker(app=APP, children=1)
    for parent in (leaves_no_trail.delay(), disowns.delay()):
        child = app.AsyncResult(parent.get(timeout=10))
        assert child.get(timeout=10) == "something"
        assert not parent.children
