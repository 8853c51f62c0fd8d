"""How fast litequeue is, beside what the disk allows and beside the rivals. See README.md."""

from __future__ import annotations
