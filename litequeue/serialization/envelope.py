"""What a stored text that is not JSON says about itself, before the first comma."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from litequeue.exceptions import SecurityError
from litequeue.serialization.compression import METHODS
from litequeue.serialization.serializers import is_signed
from litequeue.serialization.signing import METHOD

_LONGEST: Final = 300


@dataclass(frozen=True, slots=True)
class Head:
    """What stands before the payload; ``signed`` is all of it but the signature."""

    serializer: str
    compression: str | None
    base64: bool
    signature: str | None
    signed: str


def parsed(text: str) -> tuple[Head, str]:
    """Return what the text says about itself, and its payload.

    Raises ValueError for a form that nobody writes, `SecurityError` for a signature that is
    missing or not announced.
    """
    at = text.find(",", 0, _LONGEST)
    if at < 0:
        raise ValueError("the payload begins with ! and says no serializer")
    name, *words = text[1:at].split(";")
    signature = words.pop() if words and words[-1].startswith(f"{METHOD}:") else None
    signed = "!" + ";".join([name, *words])
    method = words.pop(0) if words and words[0] in METHODS else None
    base64 = words == ["base64"]
    if words and not base64:
        raise ValueError(f"the payload is in a form unknown here: {text[:at]!r}")
    if method is not None and not base64:
        raise ValueError("the payload is compressed and not in base64")
    if is_signed(name) is not (signature is not None):
        has = "no" if signature is None else "a"
        raise SecurityError(f"the payload is called {name:.80} and has {has} signature")
    return Head(name, method, base64, signature, signed), text[at + 1 :]
