"""Signatures: calls that are made here and sent later, elsewhere, and by other tasks."""

from __future__ import annotations

import json
import pickle
from typing import Any

from celery import signature
from celery.canvas import maybe_signature
from idioms.observe import got, idiom, refused
from idioms.proj import app


@app.task
def join(*parts: Any, **named: Any) -> list[Any]:
    return [list(parts), named]


@app.task
def pair(x: int, y: int = 0) -> list[int]:
    return [x, y]


@app.task(bind=True)
def seen(self: Any, *args: Any) -> dict[str, Any]:
    request = self.request
    return {
        "id": request.id,
        "args": list(request.args),
        "headers": (request.headers or {}).get("tenant"),
        "priority": request.delivery_info["priority"],
        "stamps": [request.stamps or {}, list(request.stamped_headers or [])],
    }


@app.task
def show(call: Any) -> list[Any]:
    return [type(call).__name__, call]


@app.task
def pass_on(call: Any, *args: Any) -> str:
    return signature(call).delay(*args).id


@app.task
def pass_on_maybe(call: Any) -> str:
    return maybe_signature(call, app=app).apply_async().id


@idiom
def signatures_partial() -> Any:
    return [
        got(join.s(1, 2).delay()),
        got(join.s(2, y=3).delay(1, z=4)),
        got(join.s(2, y=3).apply_async((1,), {"y": 4})),
        got(join.si(2, y=3).apply_async((1,), {"y": 4})),
        got(join.s(3).clone((2,)).delay(1)),
        got(join.signature((2,), {"y": 3}, immutable=True).delay(1)),
        got(signature("idioms.signatures.join", (1,), {"y": 2}).delay()),
        got(app.signature(join, args=[1]).set(priority=3).delay()),
    ]


@idiom
def signatures_as_data() -> Any:
    sig = join.s(1, y=2).set(priority=3, headers={"a": 1})
    again = signature(json.loads(json.dumps(sig)))
    return [
        dict(sig),
        repr(sig),
        again == json.loads(json.dumps(sig)),
        got(again.delay(0)),
        got(pickle.loads(pickle.dumps(sig)).delay(0)),
        [sig.task, sig.name, sig.type == join, sig.immutable, sig.options, sig.id],
    ]


@idiom
def signatures_have_options() -> Any:
    sig = seen.s(1).set(headers={"tenant": "ann"}, priority=4)
    first = got(sig.apply_async(priority=7))
    again = got(sig.apply_async((0,), priority=None))
    return [{**each, "id": None} for each in (first, again)]


@idiom
def signatures_are_frozen() -> Any:
    sig = seen.s(1)
    frozen = sig.freeze()
    result = sig.delay()
    told = got(result)
    given = seen.s(2).freeze("a-frozen-one")
    return [
        frozen.id == result.id == told["id"] == sig.id,
        sig.freeze("another").id == frozen.id,
        [given.id, given.state],
    ]


@idiom
def signatures_are_stamped() -> Any:
    sig = seen.s().stamp(tenant="ann").stamp(tenant="bob").stamp(append_stamps=True, tenant="cid")
    return got(sig.delay())["stamps"]


@idiom
def signatures_here_and_now() -> Any:
    return [pair.s(1)(0), pair.s(2).apply((1,)).get(), pair.si(2).apply((1,)).get(), ~pair.s(1, 2)]


@idiom
def signatures_check_arguments_late() -> Any:
    wrong = pair.s(1, 2, 3)
    return [
        len(wrong.args),
        refused(wrong.delay),
        refused(lambda: pair.s().apply_async()),
        refused(lambda: pair.s(z=1).apply_async((1,))),
        refused(lambda: signature("idioms.signatures.unknown").apply()),
    ]


@idiom
def signatures_as_arguments() -> Any:
    ids = [
        got(pass_on.delay(join.s(2, y=3), 1)),
        got(pass_on.delay(join.si(2), 1)),
        got(pass_on_maybe.delay(pair.s(1))),
    ]
    return [
        got(show.delay(join.s(1, y=2).set(priority=3))),
        got(show.delay([join.si()])),
        [got(app.AsyncResult(id)) for id in ids],
    ]
