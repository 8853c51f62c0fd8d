"""What ``litequeue show`` prints of attempts: why they failed, how they died, what they said."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from litequeue.cli.output import clean, decoded, note, print_block, say, when

if TYPE_CHECKING:
    from litequeue.store.listing import Attempt, Detail


def print_attempt(number: int, failed: Attempt | None, log: str | None, now: float) -> None:
    """Print one attempt: its error and the evidence if it ``failed``, and its captured output."""
    say("")
    if failed is None:
        say(f"attempt {number}")
    else:
        what = f"attempt {number} ended" if number else "it never began, and ended"
        say(f"{what} as {failed.state}, {when(failed.at, now)}")
        print_block(failed.traceback or f"{failed.type}: {failed.message}")
        for title, text in _evidence(failed.evidence):
            _print_part(title, text)
    if log is not None:
        _print_part("output", log)


def print_logs(detail: Detail) -> None:
    """Print the captured output of every attempt, as it was, but for what steers a terminal."""
    if not detail.logs:
        note("nothing was captured; see the setting task_capture_output")
    for number, text in sorted(detail.logs.items()):
        if len(detail.logs) > 1:
            note(f"attempt {number}")
        for line in text.removesuffix("\n").split("\n"):
            click.echo(clean(line.expandtabs()), color=False)


def _evidence(text: str | None) -> Iterator[tuple[str, str]]:
    """Yield what is known of how a process died, in parts with titles."""
    found, readable = decoded(text)
    if not readable or not isinstance(found, dict):
        if text is not None:
            yield "evidence", text
        return
    if facts := "; ".join(_facts(found)):
        yield "how it died", facts
    for key, title in (("stacks", "its stacks"), ("output", "its last output")):
        if isinstance(found.get(key), str):
            yield title, found[key]
    if found.get("progress") is not None:
        yield "its last progress", _words(found["progress"])


def _facts(found: dict[str, Any]) -> Iterator[str]:
    """Yield in words what `worker.evidence.collect` says in JSON."""
    if "signal" in found:
        by = f", sent by the {found['killed_by']}" if "killed_by" in found else ""
        yield f"killed by {found['signal']}{by}"
    if "exit_code" in found:
        yield f"exited with code {found['exit_code']}"
    if "out_of_memory" in found:
        yield f"out of memory ({found['out_of_memory']})"
    if isinstance(found.get("max_rss"), int):
        yield f"{found['max_rss'] / 1e6:,.0f} MB of memory at most"
    if isinstance(found.get("cpu_seconds"), int | float):
        yield f"{found['cpu_seconds']:g} s of CPU time"


def _words(progress: object) -> str:
    """Return a state of the task's own and what came with it: JSON, or its beginning."""
    import json

    if isinstance(progress, dict) and isinstance(progress.get("state"), str):
        return f"{progress['state']} {progress.get('result') or ''}".rstrip()
    return progress if isinstance(progress, str) else json.dumps(progress)


def _print_part(title: str, text: str) -> None:
    say(f"  {title}:")
    print_block(text)
