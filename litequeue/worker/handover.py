"""What a step of a workflow gets from those before it: arguments in front of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from litequeue import states
from litequeue.canvas import Signature, linking
from litequeue.job import Failure, result_of
from litequeue.result.failures import rebuild
from litequeue.serialization import Codec
from litequeue.task import Task


def handed_on(
    options: Mapping[str, Any],
    task: Task[..., Any],
    args: list[Any],
    kwargs: Mapping[str, Any],
    codec: Codec,
) -> list[Any]:
    """Return the arguments of a job with what its ``options`` say that it was given.

    That is a result, the list of a group's, or, for an errback, what `Signature.link_error` says.
    Raises ValueError for options that the store does not write, and what reading a result raises.
    """
    if "given" in options:
        return [_given(options["given"], options.get("given_by"), codec), *args]
    if "failed" in options:
        errback = Signature(task, args, kwargs, immutable=bool(options.get("immutable")))
        return [*_failed(errback, options["failed"]), *args]
    return args


def _given(texts: object, ids: object, codec: Codec) -> Any:
    if isinstance(texts, list):
        names = ids if isinstance(ids, list) and len(ids) == len(texts) else [None] * len(texts)
        return [_value(text, id, codec) for text, id in zip(texts, names, strict=True)]
    return _value(texts, ids, codec)


def _value(text: object, id: object, codec: Codec) -> Any:
    if text is None:
        return None
    if not isinstance(text, str):
        raise ValueError(f"what it was given is no text but {text!r:.80}")
    return codec.loads(text, context=result_of(id if isinstance(id, str) else ""))


def _failed(errback: Signature[Any], told: object) -> tuple[Any, ...]:
    if not isinstance(told, Mapping) or not isinstance(told.get("id"), str):
        raise ValueError(f"what it was told of a failure is {told!r:.80}")
    if errback.immutable:
        return ()
    id: str = told["id"]
    if not linking.takes_the_error(errback):
        return (id,)
    kind, message = str(told.get("type")), str(told.get("message") or "")
    failure = Failure(kind, message, told.get("traceback"), str(told.get("args") or "[]"))
    request = linking.Failed(id, told.get("task"))
    return request, rebuild(failure, states.FAILURE), failure.traceback
