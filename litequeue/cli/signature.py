"""Checking a call against the signature that the file remembers of a task, without its code."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def misfit(signature: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> str | None:
    """Say why a task with this signature cannot be called so; None where it can, or may.

    The text is read as Python, and nothing of it is run.
    """
    import ast
    import inspect

    try:
        (function,) = ast.parse(f"def task{signature}: ...").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None  # a default whose text is no Python
    if not isinstance(function, ast.FunctionDef):
        return None
    made, kinds = [], inspect.Parameter
    given = function.args
    positional = [*given.posonlyargs, *given.args]
    required = len(positional) - len(given.defaults)
    for place, one in enumerate(positional):
        is_only = place < len(given.posonlyargs)
        kind = kinds.POSITIONAL_ONLY if is_only else kinds.POSITIONAL_OR_KEYWORD
        default = kinds.empty if place < required else None
        made.append(inspect.Parameter(one.arg, kind, default=default))
    if given.vararg:
        made.append(inspect.Parameter(given.vararg.arg, kinds.VAR_POSITIONAL))
    for one, value in zip(given.kwonlyargs, given.kw_defaults, strict=True):
        default = kinds.empty if value is None else None
        made.append(inspect.Parameter(one.arg, kinds.KEYWORD_ONLY, default=default))
    if given.kwarg:
        made.append(inspect.Parameter(given.kwarg.arg, kinds.VAR_KEYWORD))
    try:
        inspect.Signature(made).bind(*args, **kwargs)
    except TypeError as error:
        return str(error)
    return None
