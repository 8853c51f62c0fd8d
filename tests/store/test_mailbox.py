from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from litequeue.config import Settings
from litequeue.store import Database, Store, mailbox
from litequeue.store.mailbox import Command, NewCommand
from litequeue.store.wakeup import Bell, Ringer
from tests.store.steps import NOW, rows

PING = NewCommand(name="ping", reply=True, expires=NOW + 10)


@pytest.fixture
def store(queue_path: Path) -> Iterator[Store]:
    store = Store(str(queue_path), Settings())
    yield store
    store.close()


def test_a_command_arrives_as_it_was_posted(database: Database) -> None:
    sent = NewCommand(
        name="pool_grow", arguments='{"n": 2}', destination='["w@a"]', pattern="w*", matcher="glob",
        reply=True, expires=NOW + 5,
    )  # fmt: skip
    number = mailbox.post(database, sent, NOW)
    assert mailbox.since(database, 0, NOW) == [
        Command(
            id=number, name="pool_grow", arguments='{"n": 2}', destination='["w@a"]', pattern="w*",
            matcher="glob", reply=True, expires=NOW + 5,
        )
    ]  # fmt: skip


def test_a_worker_reads_what_is_new_and_has_not_expired(database: Database) -> None:
    assert mailbox.newest(database) == 0
    first, second, late = (
        mailbox.post(database, NewCommand(name="x", expires=NOW + end), NOW) for end in (9, 9, 1)
    )
    assert (second, late, mailbox.newest(database)) == (first + 1, first + 2, first + 2)
    assert [each.id for each in mailbox.since(database, 0, NOW + 1)] == [first, second]
    assert [each.id for each in mailbox.since(database, first, NOW)] == [second, late]
    assert mailbox.since(database, late, NOW) == []


def test_a_number_is_never_used_again(database: Database) -> None:
    first = mailbox.post(database, PING, NOW)
    mailbox.discard(database, first)
    assert mailbox.newest(database) == 0
    assert mailbox.post(database, PING, NOW) == first + 1


def test_replies_are_read_by_who_asked(database: Database) -> None:
    mine, other = (mailbox.post(database, PING, NOW) for _ in range(2))
    assert mailbox.replies(database, mine) == {}
    mailbox.answer(database, [(mine, "w2", "2"), (other, "w1", "3")], NOW)
    mailbox.answer(database, [(mine, "w1", "1"), (mine, "w2", "4")], NOW)
    assert mailbox.replies(database, mine) == {"w1": "1", "w2": "4"}
    mailbox.discard(database, mine)
    assert mailbox.replies(database, mine) == {}
    assert mailbox.replies(database, other) == {"w1": "3"}


def test_a_reply_that_comes_too_late_is_not_kept(database: Database) -> None:
    number = mailbox.post(database, PING, NOW)
    mailbox.discard(database, number)
    mailbox.answer(database, [(number, "w", "1")], NOW)
    assert rows(database.path, "SELECT count(*) FROM litequeue_reply") == [(0,)]


def test_old_commands_go_with_their_replies(database: Database) -> None:
    old, young = (
        mailbox.post(database, NewCommand(name="x", expires=NOW + end), NOW) for end in (1, 60)
    )
    mailbox.answer(database, [(old, "w", "1"), (young, "w", "2")], NOW)
    mailbox.prune(database, NOW + mailbox.REPLIES_STAY)
    assert mailbox.replies(database, old) == {"w": "1"}, "whoever asked may still look"
    mailbox.prune(database, NOW + 1 + mailbox.REPLIES_STAY)
    assert rows(database.path, "SELECT id FROM litequeue_command") == [(young,)]
    assert rows(database.path, "SELECT command FROM litequeue_reply") == [(young,)]


def test_a_posted_command_wakes_a_worker_that_is_busy_too(store: Store) -> None:
    bell = Bell(store.path, "worker")
    try:
        number = store.post_command(PING)
        assert bell.wait(5) == b"\1"
        assert bell.has_post()
        assert not bell.has_post()
        assert [each.id for each in mailbox.since(store.database, 0, NOW)] == [number]
    finally:
        bell.close()


def test_who_waits_for_a_reply_is_woken(store: Store) -> None:
    number = store.post_command(PING)
    waiting = store.wait_for(mailbox.reply_mark(number))
    ringer = Ringer(store.path)
    try:
        assert store.replies(number) == {}
        mailbox.answer(store.database, [(number, "w", "{}")], NOW)
        ringer.ring_waiters([f"command-{number}"])
        waiting.wait(5)
        assert waiting.event.is_set()
        assert store.replies(number) == {"w": "{}"}
        store.discard_command(number)
        assert store.replies(number) == {}
    finally:
        ringer.close()
        waiting.close()
