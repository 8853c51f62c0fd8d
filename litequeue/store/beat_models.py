"""The tables of beat, declared with peewee: its entries, and the ticks they had."""

from __future__ import annotations

from typing import Any, Final

from peewee import SQL, Check, CompositeKey, FloatField, IntegerField, TextField

from litequeue.bounds import MAX_NAME, MAX_PRIORITY
from litequeue.entry import (
    MAX_CATCH_UP,
    MAX_JITTER,
    MAX_MOMENT,
    MAX_SPAN,
    MISFIRES,
    OVERLAPS,
)
from litequeue.store.table import Table, among, between, sized


class Entry(Table):
    """One line of beat: a job template, when it is due, and what became of it.

    ``owner`` is the app whose code defines it, NULL for people's.  ``next_*`` is the tick that
    comes next, ``held_*`` one that waits for the run before it.  The checks are those of
    `litequeue.entry.Entry`, so that every row makes one.
    """

    # Ids are not used again: ticks name them, and who has planned one may come late.
    id: Final = IntegerField(primary_key=True, constraints=[SQL("AUTOINCREMENT")])
    name: Final = TextField()
    owner: Final = TextField(null=True)
    version: Final = IntegerField(constraints=[SQL("DEFAULT 1")])
    created: Final = FloatField()
    paused: Final = FloatField(null=True)
    anchor: Final = FloatField(constraints=[between("anchor", -MAX_MOMENT, MAX_MOMENT)])
    planned: Final = FloatField()
    next_key: Final = TextField(null=True)
    next_at: Final = FloatField(null=True)
    next_due: Final = FloatField(null=True)
    held_key: Final = TextField(null=True)
    held_at: Final = FloatField(null=True)
    held_due: Final = FloatField(null=True)
    last_at: Final = FloatField(null=True)
    last_due: Final = FloatField(null=True)
    last_fired: Final = FloatField(null=True)
    last_job: Final = TextField(null=True)
    count: Final = IntegerField(constraints=[SQL("DEFAULT 0")])
    forgotten: Final = TextField(null=True)
    schedule: Final = TextField()
    task: Final = TextField()
    queue: Final = TextField()
    priority: Final = IntegerField(constraints=[between("priority", -MAX_PRIORITY, MAX_PRIORITY)])
    expires: Final = FloatField(null=True, constraints=[between("expires", 0, MAX_SPAN)])
    misfire: Final = TextField(constraints=[among("misfire", MISFIRES)])
    grace: Final = FloatField(null=True, constraints=[between("grace", 0, MAX_SPAN)])
    catch_up: Final = IntegerField(constraints=[between("catch_up", 1, MAX_CATCH_UP)])
    overlap: Final = TextField(constraints=[among("overlap", OVERLAPS)])
    jitter: Final = FloatField(constraints=[between("jitter", 0, MAX_JITTER)])
    starts: Final = FloatField(null=True, constraints=[between("starts", -MAX_MOMENT, MAX_MOMENT)])
    ends: Final = FloatField(null=True, constraints=[between("ends", -MAX_MOMENT, MAX_MOMENT)])
    options: Final = TextField(null=True)
    body: Final = TextField()

    class Meta:
        """Where it is stored."""

        constraints: Final[list[Any]] = [
            Check("(next_key IS NULL) = (next_at IS NULL)"),
            Check("(next_key IS NULL) = (next_due IS NULL)"),
            Check("(held_key IS NULL) = (held_at IS NULL)"),
            Check("(held_key IS NULL) = (held_due IS NULL)"),
            Check("starts < ends"),
            *sized(("name", "task", "queue"), MAX_NAME),
        ]


class Tick(Table):
    """A due moment of an entry that was dealt with: once, because ``key`` is unique.

    ``number`` counts them, so that the oldest can go whatever the clock said.  ``job`` is NULL
    where none was sent; ``note`` says why, or why one was.
    """

    entry: Final = IntegerField()
    key: Final = TextField()
    number: Final = IntegerField()
    at: Final = FloatField()
    due: Final = FloatField()
    fired: Final = FloatField()
    job: Final = TextField(null=True)
    note: Final = TextField(null=True)

    class Meta:
        """Where it is stored."""

        primary_key: Final = CompositeKey("entry", "key")
        without_rowid = True


for _index in (
    Entry.index(Entry.name, name="litequeue_entry_name", unique=True),
    Entry.index(Entry.next_due, name="litequeue_entry_due").where(
        Entry.next_due.is_null(False), Entry.paused.is_null()
    ),
    Entry.index(Entry.held_due, name="litequeue_entry_held").where(
        Entry.held_due.is_null(False), Entry.paused.is_null()
    ),
):
    Entry.add_index(_index)
Tick.add_index(Tick.index(Tick.entry, Tick.number, name="litequeue_tick_number", unique=True))
