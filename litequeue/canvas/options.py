"""Options of a signature: which of them a call takes, and what a group may say of its failures."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from litequeue.context import current_request

OF_WORKFLOWS: Final = ("chain", "chord", "group_id", "group_index", "parent_id", "root_id")
"""What a workflow gives its steps, as Celery's `freeze` notes it."""
NOT_EAGER: Final = (*OF_WORKFLOWS, "reply_to")
HOMES: Final = {
    "chain": "chains", "chord": "chords", "chunks": "maps", "group": "groups", "xmap": "maps",
    "xstarmap": "maps",
}  # fmt: skip
"""The modules of the kinds of signatures, each loaded when one is met."""
_POLICY: Final = "policy"
_OWN: Final = (*OF_WORKFLOWS, "link", "link_error", "task_id")
"""Options of a group that are not for the chord which is made of it."""


def said(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options that ask for something."""
    return {name: value for name, value in options.items() if value is not None}


def shown(value: object) -> str:
    """Return the value as text; one that cannot be shown stops no log line."""
    try:
        return repr(value)
    except Exception:  # the user's own __repr__, which may raise anything
        return f"<{type(value).__name__}>"


def sendable(options: dict[str, Any]) -> dict[str, Any]:
    """Return the options of a call; raises ValueError for those of workflows."""
    for name in OF_WORKFLOWS:
        if options.get(name) is not None:
            raise ValueError(
                f"the option {name!r} is what a workflow gives its steps; send the workflow, or a "
                "clone without the option"
            )
    # Where Celery's rpc:// has a result sent; here whoever has the id finds it in the file.
    return {name: value for name, value in options.items() if name not in NOT_EAGER}


def adds_to(app: Any, group: str) -> Callable[[Any], Any] | None:
    """Return what makes a call a member of a group, None where no member of it runs here."""
    request = current_request.get()
    if request is None or request.is_eager or request.group != group:
        return None
    task = app.tasks[request.task]

    def add(sig: Any) -> Any:
        del sig.options["group_id"]
        return task.add_to_chord(sig)

    return add


def check_policy(kind: str | None, options: Mapping[str, Any]) -> None:
    """Raise ValueError for a policy that makes no sense, or not for this kind of signature."""
    policy = options.get(_POLICY)
    if policy is None:
        return
    from litequeue.flow import POLICIES

    if kind not in ("group", "chord"):
        raise ValueError(
            "a policy says what a failed member of a group means for what waits for the group; "
            "give it to a group or to a chord"
        )
    if policy not in POLICIES:
        raise ValueError(
            f"the policy of a {kind} is one of {', '.join(POLICIES)}, not {policy!r:.80}"
        )


def of_header(header: Any, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of a chord, with those of the group that its header is made of.

    Celery loses them.
    """
    if not isinstance(header, Mapping) or header.get("subtask_type") != "group":
        return {**options}
    own = header.get("options") or {}
    return {**{name: own[name] for name in own if name not in _OWN}, **options}
