"""What the file tells of workflows: groups and their members, what comes before and after a job."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from litequeue.flow import ERROR, Group, Offspring
from litequeue.store.connection import Database

AT_ONCE: Final = 1_000
"""Members read at a time (1 µs each): no other thread can read meanwhile."""

# The leased jobs are few, the members may be a million: + keeps their index out.
GROUP: Final = """
SELECT name, size, waiting - (size IS NULL), failed, policy,
       (SELECT id FROM litequeue_job WHERE seq = target),
       (SELECT count(*) FROM litequeue_job
        WHERE phase = 'leased' AND owner > 0 AND +flow = fanin.id)
FROM litequeue_fanin AS fanin WHERE name = ?
"""


def group(database: Database, name: str) -> Group | None:
    """Return how far a group is, None for an unknown one."""
    with database.read() as connection:
        row = connection.execute(GROUP, (name,)).fetchone()
    return None if row is None else Group(*row)


NUMBER_OF_GROUP: Final = "SELECT id FROM litequeue_fanin WHERE name = ?"
MEMBERS: Final = """
SELECT seq, id FROM litequeue_job WHERE flow = ? AND flow > 0 AND seq > ? ORDER BY seq LIMIT ?
"""


def members_of(database: Database, name: str, *, at_once: int = AT_ONCE) -> Iterator[list[str]]:
    """Yield the ids of a group's members in their order, some at a time; nothing if unknown."""
    with database.read() as connection:
        row = connection.execute(NUMBER_OF_GROUP, (name,)).fetchone()
    last = 0
    while row is not None:
        with database.read() as connection:
            found = connection.execute(MEMBERS, (row[0], last, at_once)).fetchall()
        if not found:
            return
        last = found[-1][0]
        yield [id for _, id in found]


COUNT_MEMBERS: Final = """
SELECT job.phase = 'done', job.state, count(*)
FROM litequeue_fanin AS fanin JOIN litequeue_job AS job ON job.flow = fanin.id AND job.flow > 0
WHERE fanin.name = ? GROUP BY 1, 2
"""


def count_members(database: Database, name: str) -> dict[tuple[bool, str], int]:
    """Return how many members of a group are (done or not, in this state)."""
    with database.read() as connection:
        rows = connection.execute(COUNT_MEMBERS, (name,)).fetchall()
    return {(bool(done), state): count for done, state, count in rows}


# What was met before a job was replaced counts only where nothing else does.
BEFORE: Final = """
SELECT source.id, edge.spent = 2 FROM litequeue_job AS job
JOIN litequeue_edge AS edge ON edge.target = job.seq
JOIN litequeue_job AS source ON source.seq = edge.source
WHERE job.id = ? AND edge.kind <> 'error' ORDER BY edge.source
"""
COLLECTS: Final = """
SELECT fanin.name FROM litequeue_job AS job JOIN litequeue_fanin AS fanin
ON fanin.target = job.seq WHERE job.id = ? ORDER BY fanin.spent = 2, fanin.id DESC LIMIT 1
"""


def before(database: Database, id: str) -> tuple[list[str], str | None]:
    """Return what a job waits for, or waited: ids of jobs, and the name of the group it gathers."""
    with database.read() as connection:
        sources = connection.execute(BEFORE, (id,)).fetchall()
        collected = connection.execute(COLLECTS, (id,)).fetchone()
    new = [source for source, was_met in sources if not was_met]
    return new or [source for source, _ in sources], collected and collected[0]


# A job has few edges to it, and its parent may have a million: + keeps the index of those out.
# With min() SQLite takes the bare columns from the row of the minimum, the first of the group.
OFFSPRING: Final = """
SELECT job.id,
       (SELECT edge.kind FROM litequeue_edge AS edge
        WHERE edge.target = job.seq
          AND +edge.source = (SELECT seq FROM litequeue_job WHERE id = ?1) LIMIT 1),
       fanin.name, count(*), min(job.seq) AS place
FROM litequeue_job AS job LEFT JOIN litequeue_fanin AS fanin
ON fanin.id = job.flow AND job.flow > 0
WHERE job.parent = ?1
GROUP BY CASE WHEN job.flow > 0 THEN job.flow ELSE -job.seq END ORDER BY place
"""


def offspring(database: Database, id: str) -> list[Offspring]:
    """Return the jobs whose parent is ``id`` in their order; members of one group are one."""
    with database.read() as connection:
        rows = connection.execute(OFFSPRING, (id,)).fetchall()
    return [Offspring(*row[:4]) for row in rows]


AFTER: Final = """
SELECT target.id, edge.kind FROM litequeue_job AS job
JOIN litequeue_edge AS edge ON edge.source = job.seq
JOIN litequeue_job AS target ON target.seq = edge.target
WHERE job.id = ? ORDER BY edge.place
"""
MEMBER_OF: Final = """
SELECT fanin.name FROM litequeue_job AS job JOIN litequeue_fanin AS fanin ON fanin.id = job.flow
WHERE job.id = ?
"""


def after(database: Database, id: str) -> tuple[list[str], list[str], str | None]:
    """Return what waits for a job: ids of jobs, of errbacks, and the group it is a member of."""
    with database.read() as connection:
        targets = connection.execute(AFTER, (id,)).fetchall()
        group = connection.execute(MEMBER_OF, (id,)).fetchone()
    return (
        [target for target, kind in targets if kind != ERROR],
        [target for target, kind in targets if kind == ERROR],
        group and group[0],
    )
