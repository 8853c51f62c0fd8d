"""A thousand rows that nobody of good will would write, and where each may end.

They are written by plain sqlite3: through the view that is open to everybody, and into the
tables themselves with whatever the constraints let through.
"""

from __future__ import annotations

import base64
import bz2
import json
import lzma
import pickle
import random
import sqlite3
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Final

HOME: Final = "tests.hostile.app"
FAILURE, SUCCESS, REVOKED, PARKED = "done/FAILURE", "done/SUCCESS", "done/REVOKED", "parked"
FAILS: Final = frozenset({FAILURE})
PARKS: Final = frozenset({PARKED})
RUNS: Final = frozenset({SUCCESS, FAILURE})
"""Odd, and yet a call of a task: it may run."""
STAYS: Final = frozenset({"as it was"})
LATER: Final = frozenset({"scheduled", *RUNS, REVOKED})
ANYWHERE: Final = frozenset({SUCCESS, FAILURE, REVOKED, PARKED})

ESCAPES: Final = (
    "\x1b[2J\x1b[31mred", "\x1b]0;title\x07", "\x9b31m", "\u202eevil", "\u2066x\u2069", "a\rb",
    "a\nb",
    "\x00", "a\x00b", "[bold red]markup[/]", "[/]", "[link=file:///etc/passwd]x[/link]", "\u2028",
    "\x7f", "\x08\x08", "\ufeff", "\u200b", "\U000e0041", "%s%n", "{0.__class__}",
    "'; DROP TABLE--",
    "../../etc/passwd", "-rf", "--help", "é" * 100, "\U0001f4a3",
)  # fmt: skip
BAD_UTF8: Final = (b"\xff", b"[[\xff],{}]", b"\xc3", b"\xed\xa0\x80", b"a\xf5b", b"\xc0\x80")
NUMBERS: Final = (
    2**63 - 1, -(2**63), 2**62, -1, 0, 2**31, -(2**31), 10**15, float("inf"), float("-inf"), 1e308,
    -1e308, 5e-324, 1e18, -0.0,
)  # fmt: skip
NAMES: Final = (
    "os.system", "__main__.x", "builtins.eval", "builtins.exec", "subprocess.Popen", "__import__",
    "hostile_canary", "hostile_canary.app", "hostile_canary:app", f"{HOME}.never ",
    f" {HOME}.never",
    f"{HOME}._hidden", f"{HOME}.Hidden", f"{HOME}.Secret", f"{HOME}:never", f"{HOME}.NEVER",
    f"{HOME}.app.close", f"{HOME}.app.tasks.clear", f"{HOME}.echo.run", f"{HOME}.echo.__call__",
    f"{HOME}.__dict__", f"{HOME}.double\x00", f"{HOME}.doubl\u0435", "double", "echo", "never", "*",
    f"{HOME}.*", "tests.hostile.app.doubl", "tests.hostile.app.doublee", "__class__", "__init__",
    "__missing__", "__getattr__", "pop", "clear", "update", "celery.backend_cleanup", "None",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Row:
    """One hostile row.  ``job`` are its columns; through the view, ``body`` is (args, kwargs)."""

    kind: str
    ends: frozenset[str]
    job: dict[str, Any] = field(default_factory=dict)
    body: Any = "[[],{}]"
    options: Any = None
    view: bool = False
    listed: bool = True
    """Its queue is in the table of queues."""


Maker = Callable[[random.Random], Row]


def any_of(rng: random.Random, *choices: Any) -> Any:
    return rng.choice(choices)


def task(name: str) -> str:
    return f"{HOME}.{name}"


# Bodies


def broken_json(rng: random.Random) -> Row:
    whole = '[[1,"text",{"a":[null,true]}],{"key":{"b":2.5}}]'
    cut = whole[: rng.randrange(len(whole))]
    body = any_of(
        rng, cut, cut, "", " ", "nul", "[[],{}]]", "[[],{}] x", "[[NaN],{}]", "[[Infinity],{}]",
        "[['a'],{}]", "[[01],{}]", "[[1,],{}]", '[["\n"],{}]', '[["\x00"],{}]', "[[],{}]\x00",
        '[["\\ud8"],{}]', "\ufeff[[],{}]", "[[0x1],{}]", "[[],{a:1}]", "//[[],{}]",
        "".join(rng.choices('[]{}",:1a\\', k=30)) + "?",
    )  # fmt: skip
    return Row("broken JSON", FAILS, {"task": task("echo")}, body)


def wrong_shape(rng: random.Random) -> Row:
    body = any_of(
        rng, "null", "5", '"x"', "[]", "{}", "[[]]", "[[],[]]", "[{},{}]", "[[],{},{}]", "true",
        "[null,null]", '{"args":[],"kwargs":{}}', '[[],"x"]', '["ab",{}]', '[{"0":1},{}]', "[1,2]",
        '[{"__type__":"tuple","__value__":[]},{}]', '[[],{"__type__":"tuple","__value__":[]}]',
    )  # fmt: skip
    return Row("wrong shape", FAILS, {"task": task("echo")}, body)


def nested(rng: random.Random) -> Row:
    depth = any_of(rng, 150, 900, 5_000, 100_000)
    balanced = f"[[{'[' * depth}{']' * depth}],{{}}]"
    body = any_of(rng, "[" * depth, '[[{"a":' * depth, balanced, balanced)
    return Row("nested", RUNS, {"task": task(any_of(rng, "echo", "mirror"))}, body)


def huge_number(rng: random.Random) -> Row:
    number = any_of(rng, "9" * 5000, "9" * 4000, "1e999", "-1e999", "1E+400",
                    "0." + "0" * 9000 + "1",
                    "-" + "9" * 30, "1e-999")  # fmt: skip
    return Row(
        "huge number", RUNS, {"task": task(any_of(rng, "echo", "mirror"))}, f"[[{number}],{{}}]"
    )


def wrong_arguments(rng: random.Random) -> Row:
    body = any_of(
        rng, "[[],{}]", "[[1,2],{}]", '[[1],{"x":1}]', '[[],{"self":1}]', '[[1],{"self":1}]',
        '[[null],{}]', '[[],{"y":1}]', '[[{}],{}]', '[[],{"":1}]', '[[],{"__class__":1}]',
    )  # fmt: skip
    return Row("wrong arguments", FAILS, {"task": task("double")}, body)


def tagged(rng: random.Random) -> Row:
    name, value = any_of(
        rng, ("subprocess.Popen", {"args": "touch canary-popen", "shell": True}),
        ("os.system", "touch canary-system"), ("builtins.eval", "open('canary-eval','w')"),
        (task("Secret"), {"command": "x"}), (task("Hidden"), {}), ("Secret", {}),
        ("hostile_canary.Canary", {}), (task("Point"), {"x": 1, "z": 2}), (task("Point"), [1]),
        (task("Point"), {}), (task("Point"), [{"x": 1}, ["x"], 3]), ("", 1), ("x" * 100_000, 1),
        ("datetime", 5), ("datetime", "not a date"), ("uuid", {"hex": "zz"}), ("uuid", []),
        ("decimal", "x"), ("decimal", 1), ("timedelta", [10**30, 0, 0]), ("timedelta", "1"),
        ("datetime-exact", ["2024-01-01T00:00:00", 0, "../../../etc/passwd"]),
        ("datetime-exact", ["2024-01-01T00:00:00", 0, "hostile_canary"]),
        ("datetime-exact", ["2024-01-01T00:00:00", 7, None]), ("time-exact", {}),
        ("set", [[1]]), ("set", "abc"), ("dict", [[[], 1]]), ("dict", [[1]]), ("tuple", {"a": 1}),
        ("base64", "?"), ("bytes", 5), ("frozenset", None), ("\x1b[2J", 1), ([], 1), (None, 1),
        ({"__type__": "str", "__value__": "set"}, 1), ("__main__.X", {}), ("path", {}),
    )  # fmt: skip
    tag = json.dumps({"__type__": name, "__value__": value})
    inside = any_of(rng, tag, f"[[{tag}]]", f'{{"a":{tag}}}')
    body = any_of(rng, f"[[{inside}],{{}}]", f'[[],{{"a":{inside}}}]')
    return Row("tagged", FAILS, {"task": task("echo")}, body)


def odd_tag(rng: random.Random) -> Row:
    value = any_of(
        rng, {"__type__": "decimal", "__value__": "1e999999999"}, {"__type__": "set"},
        {"__type__": "path", "__value__": "\x00"}, {"__type__": "path", "__value__": "/etc/passwd"},
        {"__type__": "evil", "__value__": 1, "more": 2}, {"__value__": 1},
        {"__reduce__": ["os.system"]},
        {"__type__": "decimal", "__value__": "sNaN"}, {"__type__": "dict",
        "__value__": [["__type__", 1]]},
    )  # fmt: skip
    return Row("odd tag", RUNS, {"task": task(any_of(rng, "echo", "mirror", "locate"))},
               json.dumps([[value], {}]))  # fmt: skip


class Bomb:
    """Runs what it holds when it is unpickled."""

    def __init__(self, code: str) -> None:
        self.code = code

    def __reduce__(self) -> tuple[Any, ...]:
        return eval, (self.code,)


def other_form(rng: random.Random) -> Row:
    pickled = pickle.dumps([[Bomb("open('canary-pickle', 'w').close()")], {}])
    text = base64.b64encode(pickled).decode()
    key = "hmac-sha256:deadbeef:" + "0" * 64
    yaml = "!!python/object/apply:os.system ['touch canary-yaml']"
    body = any_of(
        rng, f"!pickle;base64,{text}", f"!pickle,{text}", f"!signed+pickle;base64;{key},{text}",
        f"!signed+json;{key},[[],{{}}]", f"!pickle;base64;{key},{text}", f"!yaml,{yaml}",
        f"!yaml;base64,{base64.b64encode(yaml.encode()).decode()}", "!msgpack;base64,kpCA",
        f"!application/x-python-serialize;base64,{text}", f"!PICKLE;base64,{text}", "!", "!;,",
        "!json", "!json;zlib,x", "!json;base64,?", f"!json;pickle;base64,{text}", "!signed,[]",
        f"!{'a' * 500},[]", f"!\x1b[2J,{text}", f"!signed+pickle;base64,{text}", "!,",
        "!os.system,touch canary-name", "!json;lzma;base64,/Td6WFoAAAA=", "!json,[[],{}] x",
        "!json;zlib;base64,",
    )  # fmt: skip
    return Row("other form", FAILS, {"task": task("echo")}, body)


PRESSES: Final = {"zlib": zlib.compress, "bzip2": bz2.compress, "lzma": lzma.compress}


@cache
def bomb(name: str) -> str:
    pressed = PRESSES[name](b"[" + b" " * (80 << 20))
    return f"!json;{name};base64,{base64.b64encode(pressed).decode()}"


def inflated(rng: random.Random) -> Row:
    text = bomb(any_of(rng, *PRESSES))
    body = any_of(rng, text, text[: len(text) // 2])
    return Row("bomb", FAILS, {"task": task("echo")}, body)


def large(rng: random.Random) -> Row:
    text = "x" * (20 << 20)
    body = any_of(rng, text, f'[["{text}"],{{}}]', f"[[{'1,' * (10 << 20)}1],{{}}]")
    return Row("20 MB", RUNS, {"task": task("echo")}, body)


# Names


def unknown_name(rng: random.Random) -> Row:
    name = any_of(rng, *NAMES)
    return Row("unknown name", PARKS, {"task": name}, view=rng.random() < 0.5)


def unprintable(rng: random.Random) -> Row:
    words = rng.choice(ESCAPES)
    where = any_of(rng, "task", "queue", "id", "parent", "state")
    words += f"-{rng.random()}" if where == "id" else ""
    job = {"task": task("echo"), where: words}
    ends = PARKS if where == "task" else RUNS
    arguments = json.dumps([[words], {words: words}])
    return Row("unprintable", ends, job, arguments, view=where in ("task", "queue", "id"))


def bad_utf8(rng: random.Random) -> Row:
    bad = rng.choice(BAD_UTF8)
    where = any_of(rng, "body", "options", "task", "queue", "parent", "id")
    value = bad + str(rng.random()).encode() if where == "id" else bad
    job = {"task": task("echo")}
    if where in ("body", "options"):
        return Row("bad UTF-8", FAILS, job, **{where: value})
    phase = any_of(rng, "ready", "ready", "scheduled", "parked")
    job |= {where: value, "phase": phase}
    if phase == "scheduled":
        job["eta"] = 1.0
    ends = FAILS if phase != "parked" or where != "task" else PARKS
    return Row("bad UTF-8", ends, job)


def parked_unreadable(rng: random.Random) -> Row:
    """What waits for a worker that knows it, and cannot be read by it."""
    bad = rng.choice(BAD_UTF8)
    return Row("parked, unreadable", FAILS, {"task": task("echo"), "phase": "parked"}, bad)


def late_unreadable(rng: random.Random) -> Row:
    where = any_of(rng, "id", "task", "queue", "parent")
    bad = rng.choice(BAD_UTF8) + str(rng.random()).encode()
    job = {"task": task("echo"), where: bad, "expires": 1.0}
    phase = any_of(rng, "scheduled", "parked", "ready")
    job |= {"phase": phase, "eta": 9e9 if phase == "scheduled" else None}
    return Row("late, unreadable", frozenset({REVOKED, FAILURE}), job)


# Options and numbers


def odd_options(rng: random.Random) -> Row:
    options = any_of(
        rng, "", "{", "[]", "5", '"x"', "null", "true", '{"headers":[1]}', '{"headers":5}',
        '{"headers":null}', '{"root":5}', '{"root":[]}', '{"root":null}', '{"shadow":{}}',
        '{"shadow":"\x1b[2J"}', '{"ignore_result":"x"}', '{"ignore_result":{}}', "[" * 5000,
        '{"a":' * 5000, '{"headers":{"__class__":1}}', "!pickle,x", '{"__type__":"os.system"}',
        '{"root":"' + "r" * 300 + '"}', "9" * 5000, '{"headers":{"a":"\\ud800"}}', "\x00",
        '{"root":"\\ud800"}', '{"shadow":"\\u001b[2J\\u202e"}', "NaN",
    )  # fmt: skip
    name = any_of(rng, "echo", "look_around", "look_around", "stumble")
    return Row("odd options", RUNS, {"task": task(name)}, options=options)


def odd_number(rng: random.Random) -> Row:
    where = any_of(rng, "priority", "retries", "claims", "deaths", "once", "pid", "started",
                   "runtime", "created", "keep_until", "owner")  # fmt: skip
    whole = where in ("priority", "retries", "claims", "deaths", "once", "pid", "owner")
    numbers = [n for n in NUMBERS if isinstance(n, int) or not whole]
    if where == "retries":  # from far below zero, it would be tried again for years
        numbers = [n for n in numbers if n >= -1]
    number = any_of(rng, *numbers)
    name = any_of(rng, "echo", "stumble", "look_around")
    return Row("odd number", RUNS, {"task": task(name), where: number})


def overflowing(rng: random.Random) -> Row:
    """One more, and the counter is no whole number any more."""
    where = any_of(rng, "claims", "deaths", "retries")
    job = {"task": task(any_of(rng, "echo", "stumble")), where: 2**63 - 1}
    if rng.random() < 0.4:
        job |= {"phase": "leased", "token": rng.getrandbits(63), "owner": rng.randrange(500, 509)}
    elif rng.random() < 0.3:
        job["phase"] = "parked"
    return Row("overflowing", RUNS, job)


def odd_moment(rng: random.Random) -> Row:
    number = any_of(rng, *NUMBERS)
    name = any_of(rng, "echo", "look_around", "stumble")
    where = any_of(rng, "eta", "expires")
    job = {"task": task(name), where: float(number)}
    if where == "eta" and rng.random() < 0.5:
        job["phase"] = "scheduled"
    return Row("odd moment", LATER, job, view="phase" not in job and rng.random() < 0.5)


def odd_seq(rng: random.Random) -> Row:
    seq = any_of(rng, 0, -1, -(2**63), 2**63 - 1, 2**62, rng.randrange(-(2**40), 0))
    return Row("odd seq", RUNS, {"task": task("echo"), "seq": seq})


def odd_phase(rng: random.Random) -> Row:
    """A known task that says it is parked, scheduled, or running already."""
    phase = any_of(rng, "parked", "scheduled")
    job = {
        "task": task("echo"),
        "phase": phase,
        "state": any_of(rng, "SUCCESS", "", "\x1b[2J", "STARTED"),
    }
    if phase == "scheduled":
        job["eta"] = 0.0
    return Row("odd phase", RUNS, job)


def no_ones_lease(rng: random.Random) -> Row:
    owner = any_of(rng, None, -1, 0, 9_999, 2**63 - 1)
    job = {"task": task("echo"), "phase": "leased", "token": rng.getrandbits(63), "owner": owner}
    return Row("no one's lease", STAYS, job)


def dead_ones_lease(rng: random.Random) -> Row:
    """A lease of a worker that is registered (see `litter`), and was never alive."""
    where = any_of(rng, "id", "task", "queue", "parent", "state")
    job = {"task": task("echo"), "phase": "leased", "token": rng.getrandbits(63),
           "owner": rng.randrange(500, 509)}  # fmt: skip
    if where == "state":
        return Row("a dead one's lease", RUNS, job)
    bad = rng.choice(BAD_UTF8) + str(rng.random()).encode()
    return Row("a dead one's lease, unreadable", FAILS, {**job, where: bad})


def ended(rng: random.Random) -> Row:
    result = any_of(rng, *ESCAPES, "{", "NaN", "[" * 5000, "!pickle,x", "1e999", "9" * 5000,
                    '{"__type__":"os.system","__value__":"touch canary-result"}',
                    b"\xff")  # fmt: skip
    state = any_of(
        rng, *ESCAPES, "SUCCESS", "FAILURE", "REVOKED", "", "PENDING", "x" * 1000, b"\xff"
    )
    moment = any_of(rng, *NUMBERS)
    job = {"task": task("echo"), "phase": "done", "state": state, "result": result,
           "finished": float(moment), "started": float(any_of(rng, *NUMBERS)),
           "runtime": float(any_of(rng, *NUMBERS)), "keep_until": None}  # fmt: skip
    return Row("ended", STAYS, job)


def unlisted_queue(rng: random.Random) -> Row:
    job = {"task": task("echo"), "queue": f"nowhere-{rng.choice(ESCAPES)}"}
    return Row("unlisted queue", STAYS, job, listed=False)


def no_payload(rng: random.Random) -> Row:
    return Row("no payload", FAILS, {"task": task("echo")}, None)


MAKERS: Final[tuple[tuple[Maker, int], ...]] = (
    (broken_json, 110), (wrong_shape, 60), (nested, 40), (huge_number, 40), (wrong_arguments, 40),
    (tagged, 130), (odd_tag, 40), (other_form, 90), (inflated, 6), (large, 3), (unknown_name, 90),
    (unprintable, 90), (bad_utf8, 60), (parked_unreadable, 6), (late_unreadable, 15),
    (odd_options, 60), (odd_number, 50), (overflowing, 15), (odd_moment, 30), (odd_seq, 12),
    (odd_phase, 10),
    (no_ones_lease, 5), (dead_ones_lease, 12), (ended, 40), (unlisted_queue, 5), (no_payload, 10),
)  # fmt: skip


def hostile_rows(seed: int, count: int) -> Iterator[Row]:
    """Yield ``count`` rows, a few of each kind among the first."""
    rng = random.Random(seed)
    makers = [maker for maker, share in MAKERS for _ in range(share)]
    for number in range(count):
        maker = MAKERS[number][0] if number < len(MAKERS) else rng.choice(makers)
        while maker is large and number >= len(MAKERS) + 2:  # 20 MB each: three will do
            maker = rng.choice(makers)
        yield maker(rng)


# Writing them


def write(connection: sqlite3.Connection, row: Row, number: int, now: float) -> int | None:
    """Insert a row as another program would; return its seq, None if the file refused it."""
    connection.execute("SAVEPOINT hostile")
    try:
        id = (
            _by_view(connection, row, number)
            if row.view
            else _by_hand(connection, row, number, now)
        )
    except (sqlite3.IntegrityError, sqlite3.OperationalError):
        connection.execute("ROLLBACK TO hostile")
        return None
    found = connection.execute("SELECT seq FROM litequeue_job WHERE id = CAST(? AS TEXT)", (id,))
    return int(found.fetchone()[0])


def _by_view(connection: sqlite3.Connection, row: Row, number: int) -> Any:
    args, kwargs = json.loads(row.body)
    columns = {
        "id": f"v{number}",
        **row.job,
        "args": json.dumps(args),
        "kwargs": json.dumps(kwargs),
    }
    connection.execute(*_insert("litequeue_enqueue", columns))
    return columns["id"]


def _by_hand(connection: sqlite3.Connection, row: Row, number: int, now: float) -> Any:
    columns = {"id": f"h{number}", "queue": "default", "phase": "ready", "created": now, **row.job}
    cursor = connection.execute(*_insert("litequeue_job", columns))
    if row.body is not None:
        payload = {"seq": cursor.lastrowid, "body": row.body, "options": row.options}
        connection.execute(*_insert("litequeue_payload", payload))
    if row.listed:
        connection.execute(*_insert("litequeue_queue", {"name": columns["queue"]}, "OR IGNORE"))
    return columns["id"]


def _insert(table: str, columns: dict[str, Any], how: str = "") -> tuple[str, list[Any]]:
    """Return a statement and its values; bytes stand for text that is no UTF-8."""
    marks = ", ".join("CAST(? AS TEXT)" if isinstance(v, bytes) else "?" for v in columns.values())
    return f"INSERT {how} INTO {table} ({', '.join(columns)}) VALUES ({marks})", [*columns.values()]


def litter(
    connection: sqlite3.Connection, *, path: Path, innocent: int, space: str, boot: str
) -> None:
    """Fill the other tables: apps, tasks, queues, errors, and workers that never were."""
    status = path.stat()
    where = {"root": "/", "python": "3", "path": str(path), "device": str(status.st_dev),
             "inode": str(status.st_ino)}  # fmt: skip
    evil = ("hostile_canary:app", "hostile_canary", "os:system", "../../evil:app", "a:b()", "os;x",
            "__import__('hostile_canary'):x", "hostile_canary:app.run", *ESCAPES,
            b"\xff:a")  # fmt: skip
    add = _adding(connection)
    for number, name in enumerate(evil):
        add("litequeue_app", {"name": name, **where, "recorded": NUMBERS[number % 15] * 1.0})
        add("litequeue_task", {"name": name, "signature": name, "summary": name, "queue": name,
                               "app": name, "seen": NUMBERS[number % 15] * 1.0})  # fmt: skip
        add("litequeue_queue", {"name": name})
        add("litequeue_error", {"job": number, "claim": 1, "at": NUMBERS[number % 15] * 1.0,
                                "state": name, "type": name, "message": name, "args": name,
                                "traceback": name})  # fmt: skip
        add("litequeue_worker_name", {"id": 1000 + number, "name": name, "seen": 0.0})
    pids = (innocent, innocent, 1, 0, -1, 2**31, 2**63 - 1, -(2**63), 4_000_000)
    for number, pid in enumerate(pids):
        add("litequeue_worker", {
            "id": 500 + number, "name": (*ESCAPES[:8], b"\xff")[number], "nonce": f"{number:x}" * 4,
            "namespace": space, "boot": boot if number % 3 else "another", "pid": pid,
            "start_time": number, "started": 0.0, "heartbeat": NUMBERS[number] * 1.0,
            "beats": 2**63 - 1,
        })  # fmt: skip


def _adding(connection: sqlite3.Connection) -> Callable[[str, dict[str, Any]], object]:
    return lambda table, columns: connection.execute(*_insert(table, columns, "OR IGNORE"))
