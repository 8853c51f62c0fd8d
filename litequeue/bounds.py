"""How long a name and how large a priority may be: of jobs and of entries alike."""

from __future__ import annotations

from typing import Final

MAX_NAME: Final = 255
"""Bytes of the longest name, task, queue or job id that the file takes."""
MAX_PRIORITY: Final = 1_000_000_000
