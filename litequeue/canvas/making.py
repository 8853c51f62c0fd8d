"""From a task, its name, or what JSON gives back, to a signature."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, overload

from litequeue.canvas.members import Callee
from litequeue.canvas.signatures import Signature
from litequeue.result.async_result import R


@overload
def signature(varies: Signature[R], *args: Any, **kwargs: Any) -> Signature[R]: ...
@overload
def signature(varies: Mapping[str, Any] | str, *args: Any, **kwargs: Any) -> Signature[Any]: ...
@overload
def signature(varies: Callee[R], *args: Any, **kwargs: Any) -> Signature[R]: ...
def signature(varies: Any, *args: Any, **kwargs: Any) -> Signature[Any]:
    """Return a signature of a task, or of the name of one: Celery's `signature`.

    Arguments are those of `Signature`.  A signature is cloned, and a mapping that describes one,
    as a task gets it for an argument, becomes one again; of other arguments only ``app`` counts
    then.  Raises as `Signature.from_dict` does, and ValueError for one that is nested too deep.
    """
    if isinstance(varies, Mapping):
        try:
            if isinstance(varies, Signature):
                return varies.clone()
            return Signature.from_dict(varies, app=kwargs.get("app"))
        except RecursionError:
            from litequeue.canvas.nesting import too_deep

            raise too_deep() from None
    if not isinstance(varies, str) and not isinstance(getattr(varies, "name", None), str):
        raise TypeError(f"a signature is of a task or of the name of one, not of {varies!r:.80}")
    return Signature(varies, *args, **kwargs)


subtask = signature


@overload
def maybe_signature(d: Signature[R], app: Any = None, clone: bool = False) -> Signature[R]: ...
@overload
def maybe_signature(
    d: Mapping[str, Any], app: Any = None, clone: bool = False
) -> Signature[Any]: ...
@overload
def maybe_signature(d: None, app: Any = None, clone: bool = False) -> None: ...
def maybe_signature(
    d: Mapping[str, Any] | None, app: Any = None, clone: bool = False
) -> Signature[Any] | None:
    """Return the signature that ``d`` is or describes, or None for None.

    It becomes one of ``app``; ``clone`` leaves ``d`` itself alone.  Raises as `signature` does.
    """
    if d is None:
        return None
    sig = d if isinstance(d, Signature) and not clone else signature(d)
    if app is not None:
        sig._app = app
    return sig
