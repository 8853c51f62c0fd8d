"""The tables of workflows, declared with peewee, and the triggers that keep their books.

Whatever ends a job, or opens it again (a worker, a command, somebody's own SQL), the triggers note
in the same transaction: they count at the fan-in that it reports to, and put the jobs that are to
be looked at into `Advance`, which `workflows.advance` empties.  They fire on ``finished``, which
is set where and only where a job is done, because claims and promotions do not touch it.
"""

from __future__ import annotations

from typing import Final

from peewee import SQL, CompositeKey, FloatField, IntegerField, TextField

from litequeue import flow
from litequeue.store.table import Table, among


class Edge(Table):
    """What becomes of ``target`` when ``source`` has ended; both are numbers of jobs.

    ``spent``: the target was ended because of it, or (of an errback) is not needed.
    """

    source: Final = IntegerField()
    place: Final = IntegerField()
    target: Final = IntegerField()
    kind: Final = TextField(constraints=[among("kind", flow.KINDS)])
    spent: Final = IntegerField(constraints=[SQL("DEFAULT 0")])

    class Meta:
        """Where it is stored."""

        primary_key: Final = CompositeKey("source", "place")
        without_rowid = True


class FanIn(Table):
    """A group: its members are the jobs whose ``flow`` is ``id``, in the order of their numbers.

    ``target`` is the number of the job that gets their results.  ``waiting`` counts members that
    have not ended, and one more until the group is complete in the file: then it gets its
    ``size``.  ``spent``: the target was ended because members failed.
    """

    id: Final = IntegerField(primary_key=True)
    name: Final = TextField()
    policy: Final = TextField(constraints=[among("policy", flow.POLICIES)])
    target: Final = IntegerField(null=True)
    size: Final = IntegerField(null=True)
    waiting: Final = IntegerField(constraints=[SQL("DEFAULT 1")])
    failed: Final = IntegerField(constraints=[SQL("DEFAULT 0")])
    spent: Final = IntegerField(constraints=[SQL("DEFAULT 0")])


class Advance(Table):
    """A job to be looked at: it has ended or is open again, or all that it waited for has ended.

    ``place`` is from which of its edges on.
    """

    job: Final = IntegerField(primary_key=True)
    place: Final = IntegerField(constraints=[SQL("DEFAULT 0")])


class Part(Table):
    """Numbers of jobs, of a workflow that is not all in the file yet: ``at`` is when it began."""

    workflow: Final = TextField()
    first: Final = IntegerField()
    last: Final = IntegerField()
    at: Final = FloatField()

    class Meta:
        """Where it is stored."""

        primary_key: Final = CompositeKey("workflow", "first")
        without_rowid = True


class Remembered(Table):
    """The result of a step inside one job, for its next attempts."""

    job: Final = IntegerField()
    name: Final = TextField()
    result: Final = TextField()

    class Meta:
        """Where it is stored."""

        table_name = "litequeue_step"
        primary_key: Final = CompositeKey("job", "name")
        without_rowid = True


Edge.add_index(Edge.index(Edge.target, name="litequeue_edge_target"))
FanIn.add_index(FanIn.index(FanIn.name, name="litequeue_fanin_name", unique=True))
FanIn.add_index(
    FanIn.index(FanIn.target, name="litequeue_fanin_target").where(FanIn.target.is_null(False))
)

Part.add_index(Part.index(Part.at, name="litequeue_part_at"))

TABLES: Final = (Edge, FanIn, Advance, Part, Remembered)


# An UPDATE OR REPLACE (or IGNORE) rules every statement in here: each is free of conflicts.
def _target_if_all_ended(fanin: str) -> str:
    return f"""
    INSERT INTO litequeue_advance (job)
    SELECT target FROM litequeue_fanin
    WHERE {fanin} AND waiting = 0 AND target IS NOT NULL
      AND NOT EXISTS (SELECT 1 FROM litequeue_advance WHERE job = target);
"""


def _sane(counter: str) -> str:
    """A number from outside at SQLite's end would become a REAL, which no column takes.

    By no function: SQLite takes each for one that may fail, and copies pages before a job ends.
    """
    most = 2**62
    return (
        f"CASE WHEN {counter} > {most} THEN {most} WHEN {counter} < -{most} THEN -{most} "
        f"ELSE {counter} END"
    )


MOVED: Final = f"""
CREATE TRIGGER litequeue_job_moved AFTER UPDATE OF finished ON litequeue_job
WHEN NEW.flow IS NOT NULL AND (OLD.finished IS NULL) <> (NEW.finished IS NULL)
BEGIN
    DELETE FROM litequeue_advance WHERE job = NEW.seq;
    INSERT INTO litequeue_advance (job)
    SELECT NEW.seq WHERE (NEW.finished IS NULL AND (NEW.flow > 0 OR NEW.phase = 'waiting'))
      OR EXISTS (SELECT 1 FROM litequeue_edge WHERE source = NEW.seq);
    INSERT INTO litequeue_advance (job)
    SELECT DISTINCT source.seq FROM litequeue_edge AS edge
    JOIN litequeue_job AS source ON source.seq = edge.source
    WHERE NEW.phase = 'waiting' AND edge.target = NEW.seq AND source.finished IS NOT NULL
      AND NOT EXISTS (SELECT 1 FROM litequeue_advance WHERE job = source.seq);
    UPDATE litequeue_fanin
    SET waiting = {_sane("waiting")} + CASE WHEN NEW.finished IS NULL THEN 1 ELSE -1 END,
        failed = {_sane("failed")} + CASE WHEN NEW.finished IS NULL THEN -(OLD.state <> 'SUCCESS')
                               ELSE NEW.state <> 'SUCCESS' END
    WHERE id = NEW.flow;
{_target_if_all_ended("id = NEW.flow")}END
"""
# Who deletes a job that has not ended ends it: what waits for it is looked at.  The next job may
# get its number, so that what is left of it goes on under the negative one.
DELETED: Final = f"""
CREATE TRIGGER litequeue_job_deleted AFTER DELETE ON litequeue_job WHEN OLD.flow IS NOT NULL
BEGIN
    DELETE FROM litequeue_advance WHERE job = -OLD.seq;
    UPDATE litequeue_advance SET job = -job WHERE job = OLD.seq;
    INSERT INTO litequeue_advance (job)
    SELECT -OLD.seq WHERE OLD.finished IS NULL
      AND EXISTS (SELECT 1 FROM litequeue_edge WHERE source = OLD.seq)
      AND NOT EXISTS (SELECT 1 FROM litequeue_advance WHERE job = -OLD.seq);
    UPDATE litequeue_fanin
    SET waiting = {_sane("waiting")} - 1, failed = {_sane("failed")} + 1
    WHERE id = OLD.flow AND OLD.finished IS NULL;
{_target_if_all_ended("id = OLD.flow AND OLD.finished IS NULL")}
    DELETE FROM litequeue_edge WHERE target = OLD.seq;
    DELETE FROM litequeue_edge WHERE source = -OLD.seq;
    UPDATE litequeue_edge SET source = -source
    WHERE source = OLD.seq AND EXISTS (SELECT 1 FROM litequeue_advance WHERE job = -OLD.seq);
    DELETE FROM litequeue_edge WHERE source = OLD.seq;
    DELETE FROM litequeue_fanin
    WHERE (id = OLD.flow OR target = OLD.seq) AND size IS NOT NULL
      AND NOT EXISTS (SELECT 1 FROM litequeue_job WHERE flow = litequeue_fanin.id AND flow > 0)
      AND NOT EXISTS (SELECT 1 FROM litequeue_job AS body WHERE body.seq = litequeue_fanin.target);
    UPDATE litequeue_fanin SET target = NULL WHERE target = OLD.seq;
END
"""
TRIGGERS: Final = (MOVED, DELETED)
