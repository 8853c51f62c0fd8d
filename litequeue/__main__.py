"""Run the command line: ``python -m litequeue``."""

from __future__ import annotations

from litequeue.cli import main

if __name__ == "__main__":
    main()
