"""What the workers load: for each system the program a user would write, and nothing else."""

from __future__ import annotations
