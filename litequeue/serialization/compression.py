"""Compression under the names that Celery has for it, and inflation within bounds."""

from __future__ import annotations

from typing import Any, Final

from litequeue.exceptions import ImproperlyConfigured

_NAMES: Final = {
    "application/x-bz2": "bzip2",
    "application/x-gzip": "zlib",
    "application/x-lzma": "lzma",
    "bz2": "bzip2",
    "bzip": "bzip2",
    "bzip2": "bzip2",
    "gzip": "zlib",
    "lzma": "lzma",
    "xz": "lzma",
    "zlib": "zlib",
}
METHODS: Final = frozenset(_NAMES.values())
_LZMA_MEMORY: Final = 32 << 20
"""Bytes that a stream may make lzma reserve; what `deflate` writes needs 9 MB."""


def canonical(name: str) -> str:
    """Return our name of a compression; raises `ImproperlyConfigured` for one unknown here."""
    try:
        return _NAMES[name]
    except (KeyError, TypeError):
        known = ", ".join(sorted(METHODS))
        raise ImproperlyConfigured(f"no compression {name!r:.80}; choose {known}") from None


def deflate(method: str, data: bytes) -> bytes:
    """Return ``data`` compressed."""
    if method == "zlib":
        import zlib

        return zlib.compress(data)
    if method == "bzip2":
        import bz2

        return bz2.compress(data)
    import lzma

    return lzma.compress(data)


def inflate(method: str, data: bytes, limit: int) -> bytes:
    """Return ``data`` decompressed; raises ValueError if it is damaged or above ``limit`` bytes.

    Stops there: a bomb costs what the limit does.
    """
    machine, broken = _inflater(method)
    try:
        inflated: bytes = machine.decompress(data, limit + 1)
    except broken as error:
        raise ValueError(f"damaged {method} data: {error}") from error
    if len(inflated) > limit:
        raise ValueError(f"the {method} data inflates to more than {limit:,} bytes (max_inflated)")
    if not machine.eof or machine.unused_data:
        raise ValueError(f"damaged {method} data: it ends too early, or too late")
    return inflated


def _inflater(method: str) -> tuple[Any, type[Exception]]:
    if method == "zlib":
        import zlib

        return zlib.decompressobj(), zlib.error
    if method == "bzip2":
        import bz2

        return bz2.BZ2Decompressor(), OSError
    import lzma

    return lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_LZMA_MEMORY), lzma.LZMAError
