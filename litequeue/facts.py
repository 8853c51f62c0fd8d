"""What the file may know of an app, for people who look into it: names and signatures, no code."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TaskFacts:
    """A task as people want to see it: its call, and the first line of its docstring."""

    name: str
    signature: str
    summary: str
    queue: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AppFacts:
    """An app: ``name`` is "module:attribute", None for one that no worker could import."""

    name: str | None
    root: str
    tasks: Sequence[TaskFacts]
