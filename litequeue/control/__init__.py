"""Remote control, the side that asks: `app.control`.

A command is a row, and so is a reply; `litequeue.worker.panel` answers.  Revoking is no command
but a fact in the file: it holds for workers that start later, too.
"""

from __future__ import annotations

from litequeue.control.addressing import ALIASES, QUESTIONS, is_meant
from litequeue.control.client import Control
from litequeue.control.inspecting import Inspect

__all__ = ["ALIASES", "QUESTIONS", "Control", "Inspect", "is_meant"]
