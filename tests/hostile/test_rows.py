"""A worker in front of a file that an enemy writes to: it stays up, and runs what it should."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from tests.hostile import rows
from tests.hostile.battle import BOUND, Battle
from tests.integration.processes import is_alive

pytestmark = pytest.mark.timeout(240)


def test_no_process_of_the_worker_ended(battle: Battle) -> None:
    before, after = battle.pids
    assert after == before, battle.site.workers[0].said()[-5000:]
    assert all(is_alive(pid) for pid in before)


def test_all_good_jobs_ended_well_in_time(battle: Battle) -> None:
    found = battle.query("SELECT id, state, result FROM litequeue_job WHERE id GLOB 'good-*'")
    assert {id: (state, result) for id, state, result in found} == {
        id: ("SUCCESS", str(2 * x)) for id, x in battle.good.items()
    }
    assert battle.seconds < BOUND


def test_nothing_ran_that_should_not(battle: Battle) -> None:
    names = dict(battle.query("SELECT id, task FROM litequeue_job"))
    for line in battle.site.journal.path.read_text().splitlines():
        ran, id = json.loads(line)
        assert ran == names[id]
    assert sorted(path.name for path in battle.site.folder.glob("canary-*")) == []
    assert sorted(Path.cwd().glob("canary-*")) == []


def test_only_jobs_that_may_run_did(battle: Battle) -> None:
    seqs = {id: seq for seq, id in battle.query("SELECT seq, id FROM litequeue_job")}
    ran = {json.loads(line)[1] for line in battle.site.journal.path.read_text().splitlines()}
    for id in ran & seqs.keys():
        row = battle.rows.get(int(str(seqs[id])))
        assert row is None or row.kind == "wrong arguments" or rows.SUCCESS in row.ends, row


def test_every_hostile_row_ended_where_it_may_and_says_why(battle: Battle) -> None:
    found = {
        seq: (phase, state, message)
        for seq, phase, state, message in battle.query(
            "SELECT seq, phase, state, (SELECT max(message) FROM litequeue_error AS error "
            "WHERE error.job = job.seq) FROM litequeue_job AS job"
        )
    }
    wrong = Counter[object]()
    for seq, row in battle.rows.items():
        phase, state, message = found.get(seq, ("gone", "", ""))
        end = f"{phase}/{state}" if phase == "done" else str(phase)
        fits = end in row.ends or (
            row.ends is rows.STAYS and phase == row.job.get("phase", "ready")
        )
        if not fits or (end == rows.FAILURE and row.ends is not rows.STAYS and not message):
            wrong[row.kind, end, message if fits else str(row.job)[:150] + str(row.body)[:50]] += 1
    assert not wrong, "\n".join(map(str, wrong.most_common(50)))


def test_a_process_that_a_row_calls_a_dead_worker_is_left_alone(battle: Battle) -> None:
    assert is_alive(battle.innocent)


def test_the_log_holds_nothing_that_a_terminal_obeys(battle: Battle) -> None:
    said = battle.site.workers[0].log.read_bytes().decode()
    strange = {letter for letter in said if not letter.isprintable() and letter != "\n"}
    assert strange == set()


def test_the_file_is_whole(battle: Battle) -> None:
    assert battle.query("PRAGMA integrity_check") == [("ok",)]


def test_without_a_name_no_app_is_chosen(battle: Battle) -> None:
    done = battle.site.run("-m", "litequeue", "worker", str(battle.site.path))
    assert done.returncode == 4, done.stderr
    assert "Traceback" not in done.stderr
    assert not (battle.site.folder / "canary-imported").exists()
