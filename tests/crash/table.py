"""What came of a long run, as a table and as one line of JSON."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table


@dataclass(slots=True)
class Findings:
    """Figures to print, and every broken promise by its name."""

    figures: dict[str, Any] = field(default_factory=dict)
    breaches: dict[str, list[str]] = field(default_factory=dict)

    def add(self, name: str, found: Sequence[object]) -> None:
        """Note what was found of a breach, perhaps nothing."""
        self.breaches.setdefault(name, []).extend(str(each) for each in found)

    @property
    def broken(self) -> dict[str, list[str]]:
        return {name: found for name, found in self.breaches.items() if found}


def show(title: str, findings: Findings) -> None:
    """Print all of it."""
    table = Table(title=title)
    table.add_column("figure")
    table.add_column("found", justify="right")
    table.add_column("verdict")
    for name, value in findings.figures.items():
        table.add_row(name, _shown(value), "")
    for name, found in findings.breaches.items():
        verdict = f"[red]broken[/]: {escape(', '.join(found[:3]))}" if found else "[green]none[/]"
        table.add_row(name, str(len(found)), verdict)
    Console(width=None if os.isatty(1) else 140).print(table)
    counts = {name: len(found) for name, found in findings.breaches.items()}
    summary = {"title": title, "figures": findings.figures, "breaches": counts}
    sys.stdout.write(json.dumps(summary) + "\n")


def _shown(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {each}" for name, each in value.items())
    return f"{value:,}" if isinstance(value, int) else str(value)
