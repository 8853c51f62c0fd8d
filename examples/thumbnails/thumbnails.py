"""Small pictures of large ones, made in the background, and then one sheet of them all.

In one terminal:   litequeue worker thumbnails.sqlite -A thumbnails:app
In another:        python thumbnails.py pictures
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

from litequeue import LiteQueue, group
from litequeue.progress import watch

app = LiteQueue("thumbnails.sqlite")


@app.task(autoretry_for=(OSError,), max_retries=3, retry_backoff=True)
def thumbnail(picture: str, width: int = 64) -> str:
    """Write a small copy beside a PPM picture and return its path.

    A worker may die at any line, and the job then runs again.  That does no harm here: the result
    goes to a file of its own first and takes its place in one step.
    """
    source = Path(picture)
    target = source.with_suffix(".small.ppm")
    write_whole(target, shrink(source.read_bytes(), width))
    return str(target)


@app.task
def sheet(pictures: list[str], target: str) -> str:
    """Put the small pictures into one, below each other, and return its path.

    It is called once, when the last of them is made: it is the body of a chord.
    """
    parts = [parse(Path(picture).read_bytes()) for picture in pictures]
    width = min(columns for columns, _, _ in parts)
    lines = [
        pixels[3 * columns * y : 3 * (columns * y + width)]
        for columns, rows, pixels in parts
        for y in range(rows)
    ]
    write_whole(Path(target), b"P6 %d %d 255\n%b" % (width, len(lines), b"".join(lines)))
    return target


def write_whole(target: Path, content: bytes) -> None:
    unfinished = target.with_suffix(f".{os.getpid()}")
    unfinished.write_bytes(content)
    unfinished.replace(target)


def parse(picture: bytes) -> tuple[int, int, bytes]:
    """Return columns, rows and pixels of a PPM picture."""
    header = re.match(rb"P6\s+(\d+)\s+(\d+)\s+255\s", picture)
    if header is None:
        raise ValueError("not a PPM picture with 255 shades")
    return int(header[1]), int(header[2]), picture[header.end() :]


def shrink(picture: bytes, width: int) -> bytes:
    """Return the picture at this width, every new pixel the mean of those it stands for."""
    columns, rows, pixels = parse(picture)
    step = max(1, columns // width)
    small = bytearray()
    for top in range(0, rows - step + 1, step):
        lines = [pixels[3 * columns * y : 3 * columns * (y + 1)] for y in range(top, top + step)]
        for left in range(0, columns - step + 1, step):
            for channel in range(3):
                first, last = 3 * left + channel, 3 * (left + step)
                total = sum(sum(line[first:last:3]) for line in lines)
                small.append(total // step**2)
    return b"P6 %d %d 255\n%b" % (columns // step, rows // step, small)


def paint(folder: Path, count: int = 12, size: int = 512) -> None:
    """Make some pictures to start with."""
    folder.mkdir()
    for number in range(count):
        pixels = bytes(
            shade % 256
            for y in range(size)
            for x in range(size)
            for shade in (x * (number + 1) // 8, y // 2, (x + y) // 4)
        )
        (folder / f"{number:02}.ppm").write_bytes(b"P6 %d %d 255\n%b" % (size, size, pixels))


def main() -> None:
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "pictures").resolve()
    if not folder.exists():
        paint(folder)
    pictures = [path for path in sorted(folder.glob("*.ppm")) if ".small" not in path.name]
    small = group((thumbnail.s(str(picture)) for picture in pictures), policy="ignore")
    everything = small | sheet.s(str(folder / "all.small.ppm"))
    print(watch(everything.delay(), "thumbnails", timeout=60))


if __name__ == "__main__":
    main()
