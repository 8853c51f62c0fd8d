"""The app of the campaign of chords, and one of its producers.

Which chord has a number, and what comes of it, can be computed again: `header_of`, `list_of`.  A
killed producer's successor sends the very same chord again, with the same ids, so that one which
was half stored goes on.
"""

from __future__ import annotations

import os
import sys
import time
from random import Random
from typing import Any, Final

from litequeue import LiteQueue, chain, chord
from litequeue.store import workflows
from tests.crash.programs.app import note
from tests.crash.programs.producer import Arguments, Producer, go_on

BURST: Final = 3
KINDS: Final = ("one", "one", "line", "again", "instead", "inner", "further")
"""What members are; each is a call of the task of its name, or begins with one."""
LARGEST: Final = 9
CHUNK: Final = 4
"""Of so many steps at a time half of the producers store their chords."""

# Every process is killed so often that the same innocent job may be hit many times.
app = LiteQueue(os.environ.get("LITEQUEUE_URL", "unbound.sqlite"), task_max_deliveries=1000)


def header_of(number: int) -> list[str]:
    """Return the kinds of the members of a chord; only one of them has a further member."""
    random = Random(number)
    kinds = random.choices(KINDS, k=random.randint(1, LARGEST))
    first = kinds.index("further") if "further" in kinds else -1
    return ["one" if each == "further" and at > first else each for at, each in enumerate(kinds)]


def list_of(number: int) -> list[Any]:
    """Return what the body of a chord is given."""
    kinds = header_of(number)
    found: list[Any] = [
        [value_of(number, place), place] if kind == "inner" else value_of(number, place)
        for place, kind in enumerate(kinds)
    ]
    return found + [value_of(number, LARGEST)] * ("further" in kinds)


def jobs_of(number: int) -> int:
    """Return how many jobs a chord is in the end, its body included."""
    more = {"line": 1, "instead": 1, "inner": 2, "further": 1}
    return 1 + sum(1 + more.get(kind, 0) for kind in header_of(number))


def value_of(number: int, place: int) -> str:
    return f"{number}/{place}"


def work(request: Any, value: Any, seconds: float) -> Any:
    note("S", request)
    time.sleep(seconds)
    note("E", request)
    return value


@app.task(bind=True)
def one(self: Any, value: Any, seconds: float) -> Any:
    return work(self.request, value, seconds)


@app.task(bind=True, max_retries=None)
def again(self: Any, value: str, seconds: float) -> Any:
    """Retry once, after a while."""
    if self.request.retries == 0:
        work(self.request, value, seconds / 2)
        raise self.retry(countdown=seconds)
    return work(self.request, value, seconds / 2)


@app.task(bind=True)
def instead(self: Any, value: str, seconds: float) -> Any:
    """Be two jobs."""
    work(self.request, value, seconds / 3)
    return self.replace(chain(one.si(value, seconds / 3), one.s(seconds / 3)))


@app.task(bind=True)
def further(self: Any, value: str, seconds: float) -> Any:
    """Have another member added."""
    number = int(value.partition("/")[0])
    self.add_to_chord(one.si(value_of(number, LARGEST), seconds))
    return work(self.request, value, seconds)


@app.task(bind=True)
def body(self: Any, results: list[Any], seconds: float) -> Any:
    return work(self.request, results, seconds)


def canvas_of(id: str, number: int, seconds: float) -> Any:
    """Return the chord of a number, whose body has this id, as the others have one of theirs."""
    members = [
        member_of(kind, value_of(number, place), seconds, f"{id}-{place}")
        for place, kind in enumerate(header_of(number))
    ]
    canvas = chord(members, body.s(seconds).set(task_id=id))
    canvas.header_group().set(task_id=f"{id}-header")
    for member in canvas.tasks.tasks:  # what a chord is made of are copies
        if member.subtask_type == "chord":
            member.header_group().set(task_id=f"{member.body.id}-header")
    return canvas


def member_of(kind: str, value: str, seconds: float, id: str) -> Any:
    if kind == "line":
        first = one.si(value, seconds / 2).set(task_id=f"{id}-first")
        return chain(first, one.s(seconds / 2).set(task_id=id))
    if kind == "inner":
        place = int(value.rpartition("/")[2])
        both = [
            one.si(each, seconds / 2).set(task_id=f"{id}-{side}")
            for side, each in enumerate((value, place))
        ]
        return chord(both, one.s(seconds / 2).set(task_id=id))
    task = {"one": one, "again": again, "instead": instead, "further": further}[kind]
    return task.s(value, seconds).set(task_id=id)


def send(id: str, arguments: Arguments) -> None:
    number, seconds, _ = arguments
    canvas_of(id, number, seconds).delay()


def main(journal: str, first: str, last: str, seed: str, pause: str, longest: str) -> None:
    """Send the chords ``first`` to ``last``, and more until the file JOURNAL.stop is there."""
    if int(first):
        defaults: Any = workflows.insert.__kwdefaults__
        defaults["chunk"] = CHUNK
    producer = Producer(journal, int(first), seed, send)
    producer.repeat(1.0)
    go_on(producer, int(last), pause=float(pause), longest=float(longest), burst=BURST)


if __name__ == "__main__":
    main(*sys.argv[1:])
