"""The event task-sent of jobs that beat sends: as of all others, if the app wants it."""

from __future__ import annotations

import sys
from contextlib import closing

import pytest

from litequeue import LiteQueue
from tests.conftest import wait_until
from tests.integration.processes import Site

SHOP = """
from litequeue import LiteQueue

app = LiteQueue("jobs.sqlite", task_send_sent_event={wanted})


@app.task(name="loud")
def loud(): ...


@app.task(name="quiet", send_events=False)
def quiet(): ...


app.add_periodic_task(0.1, loud, name="loud")
app.add_periodic_task(0.1, quiet, name="quiet")
"""


def begin(site: Site, how: str) -> None:
    if how == "worker":
        site.worker(app="shop:app")
        return
    line = [sys.executable, "-m", "litequeue", "beat", str(site.path), "-A", "shop:app"]
    site.start(line)


@pytest.mark.parametrize("how", ["worker", "beat"])
@pytest.mark.parametrize("wanted", [True, False])
def test_those_of_silent_tasks_and_silent_apps_have_none(
    site: Site, how: str, wanted: bool
) -> None:
    site.write("shop.py", SHOP.format(wanted=wanted))
    begin(site, how)
    with closing(LiteQueue(site.path, set_as_current=False)) as app:

        def both_sent() -> bool:
            counts = {each.name: each.count for each in app.entries}
            return min(counts.get("loud", 0), counts.get("quiet", 0)) >= 2

        wait_until(both_sent)
        told = {(event["type"], event["name"]) for event in app.events.follow(after=0, timeout=0)}
    assert told == ({("task-sent", "loud")} if wanted else set())
