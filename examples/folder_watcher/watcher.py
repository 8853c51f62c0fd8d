"""Tells about every file that lands in a folder: its checksum, and how many lines it has.

In one terminal:   litequeue worker watcher.sqlite -A watcher:app
In another:        python watcher.py inbox
"""

from __future__ import annotations

import hashlib
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from litequeue import AsyncResult, LiteQueue

app = LiteQueue("watcher.sqlite")


@app.task(autoretry_for=(OSError,), dont_autoretry_for=(FileNotFoundError,), retry_backoff=True)
def describe(path: str) -> tuple[str, int]:
    """Return the SHA-256 of a file and the number of its lines."""
    checksum, lines = hashlib.sha256(), 0
    with Path(path).open("rb") as file:
        while part := file.read(1 << 20):
            checksum.update(part)
            lines += part.count(b"\n")
    return checksum.hexdigest(), lines


def changes(folder: Path) -> Iterator[None]:
    """Return now, and whenever the folder may have changed."""
    yield
    try:
        from watchfiles import watch
    except ImportError:
        while True:
            time.sleep(1)
            yield
    # Once a second in any case: a file may have come before the watching began.
    for _ in watch(folder, rust_timeout=1000, yield_on_timeout=True):
        yield


def enqueue(path: Path) -> AsyncResult[tuple[str, int]]:
    """Send one job for this state of the file, however often it is asked for."""
    key = f"{path}@{path.stat().st_mtime_ns}"
    return describe.apply_async((str(path),), idempotency_key=key)


def tell(name: str, result: AsyncResult[tuple[str, int]]) -> None:
    checksum, lines = result.get()
    print(f"{name}: {lines} lines, {checksum[:12]}", flush=True)


def complain(name: str, error: BaseException) -> None:
    print(f"{name}: {error}", flush=True)


def main() -> None:
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "inbox").resolve()
    folder.mkdir(exist_ok=True)
    seen: set[str] = set()
    for _ in changes(folder):
        for path in sorted(folder.glob("[!.]*")):
            try:
                job = enqueue(path)
            except FileNotFoundError:
                continue  # gone again
            if job.id not in seen:
                seen.add(job.id)
                job.then(partial(tell, path.name), on_error=partial(complain, path.name))


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        print("stopped")
