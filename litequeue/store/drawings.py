"""A workflow for the eye: all of its jobs, but of a large group only those that tell something."""

from __future__ import annotations

from collections import deque
from typing import Any, Final

from litequeue.flow import Drawing, DrawnGroup, Edge, Node
from litequeue.store.connection import Database
from litequeue.store.driver import lenient, sqlite3

FEW: Final = 10
"""Members and neighbours that stand for all, where there are too many."""
MOST_NODES: Final = 1_000
"""Jobs in a drawing: nobody reads a larger one."""

FIRST_JOB: Final = "SELECT seq FROM litequeue_job WHERE id = ?"
FIRST_GROUP: Final = "SELECT id FROM litequeue_fanin WHERE name = ?"
JOB: Final = "SELECT id, task, state, phase, flow FROM litequeue_job WHERE seq = ?"
OUT: Final = "SELECT source, target, kind FROM litequeue_edge WHERE source = ? LIMIT ?"
IN: Final = "SELECT source, target, kind FROM litequeue_edge WHERE target = ? LIMIT ?"
GATHERED: Final = "SELECT id FROM litequeue_fanin WHERE target = ?"
FANIN: Final = """
SELECT name, size, waiting, failed, policy, target,
       coalesce(size, (SELECT count(*) FROM litequeue_job WHERE flow = fanin.id AND flow > 0))
FROM litequeue_fanin AS fanin WHERE id = ?
"""
MEMBERS: Final = """
SELECT seq FROM litequeue_job WHERE flow = ? AND flow > 0 ORDER BY seq LIMIT ?
"""
RUNNING: Final = """
SELECT seq FROM litequeue_job INDEXED BY litequeue_job_leased
WHERE phase = 'leased' AND owner > 0 AND flow = ? LIMIT ?
"""
FAILED: Final = """
SELECT seq FROM litequeue_job
WHERE flow = ? AND flow > 0 AND phase = 'done' AND state <> 'SUCCESS' LIMIT ?
"""


def drawing(database: Database, id: str, *, most: int = 50) -> Drawing | None:
    """Return the workflow of a job or group, None for an unknown id or a job of none.

    Of a group with more than ``most`` members those are shown that failed or run, and a few more.
    """
    walk = _Walk(database, most)
    if not walk.begin(id):
        return None
    return walk.drawn()


class _Walk:
    """Goes from job to job, by edges and groups, and notes what it has seen."""

    def __init__(self, database: Database, most: int) -> None:
        self._database = database
        self._most = most
        self._jobs: dict[int, tuple[Any, ...] | None] = {}
        self._groups: dict[int, tuple[Any, ...]] = {}
        self._edges: dict[tuple[int, int, str], None] = {}
        self._ahead: deque[int] = deque()
        self._is_all = True

    def begin(self, id: str) -> bool:
        """Go through all that belongs to ``id``; False where that is no workflow."""
        with self._database.read() as connection:
            job = connection.execute(FIRST_JOB, (id,)).fetchone()
            if job is not None:
                self._see(job[0])
            elif (group := connection.execute(FIRST_GROUP, (id,)).fetchone()) is not None:
                self._enter(connection, group[0])
        while self._ahead:
            with self._database.read() as connection, lenient(connection):
                self._visit(connection, self._ahead.popleft())
        return bool(self._edges or self._groups)

    def _see(self, seq: int) -> None:
        if seq not in self._jobs:
            self._jobs[seq] = None
            self._ahead.append(seq)

    def _visit(self, connection: sqlite3.Connection, seq: int) -> None:
        row = connection.execute(JOB, (seq,)).fetchone()
        self._is_all &= len(self._jobs) - len(self._ahead) <= MOST_NODES
        if row is None or not self._is_all:
            return
        self._jobs[seq] = row
        for statement in (IN, OUT):
            edges = connection.execute(statement, (seq, self._most + 1)).fetchall()
            for edge in edges if len(edges) <= self._most else edges[:FEW]:
                self._edges[edge] = None
                self._see(edge[0])
                self._see(edge[1])
        for (group,) in connection.execute(GATHERED, (seq,)).fetchall():
            self._enter(connection, group)
        if row[4]:
            self._enter(connection, row[4])

    def _enter(self, connection: sqlite3.Connection, group: int) -> None:
        if group in self._groups:
            return
        row = connection.execute(FANIN, (group,)).fetchone()
        if row is None:
            return
        self._groups[group] = row
        *_, failed, _, target, count = row
        if target is not None:
            self._see(target)
        if count <= self._most:
            shown = connection.execute(MEMBERS, (group, self._most)).fetchall()
        else:
            left = max(self._most - FEW, 0)
            shown = connection.execute(MEMBERS, (group, min(FEW, self._most))).fetchall()
            if failed:
                shown += connection.execute(FAILED, (group, min(failed, left))).fetchall()
            shown += connection.execute(RUNNING, (group, left)).fetchall()
        for (member,) in dict.fromkeys(shown[: self._most]):
            self._see(member)

    def drawn(self) -> Drawing:
        """Return what was seen."""
        jobs = {seq: row for seq, row in sorted(self._jobs.items()) if row is not None}
        groups = [
            self._drawn_group(row, [jobs[s][0] for s in jobs if jobs[s][4] == id], jobs)
            for id, row in sorted(self._groups.items())
        ]
        edges = tuple(
            Edge(jobs[source][0], jobs[target][0], kind)
            for source, target, kind in sorted(self._edges)
            if source in jobs and target in jobs
        )
        nodes = tuple(Node(id, task, state, phase) for id, task, state, phase, _ in jobs.values())
        return Drawing(nodes, edges, tuple(groups), self._is_all)

    @staticmethod
    def _drawn_group(
        row: tuple[Any, ...], members: list[str], jobs: dict[int, tuple[Any, ...]]
    ) -> DrawnGroup:
        name, size, waiting, failed, policy, target, count = row
        ended = count - waiting + (size is None)
        body = jobs[target][0] if target in jobs else None
        return DrawnGroup(
            name, size, ended, failed, policy, body, tuple(members), max(count - len(members), 0)
        )
