"""Make the campaign's file: `python -m tests.crash.programs.create PATH`."""

from __future__ import annotations

import sys

from litequeue.store import Database


def main(path: str) -> None:
    database = Database(path, create=True)
    database.data_version()
    database.close()


if __name__ == "__main__":
    main(sys.argv[1])
