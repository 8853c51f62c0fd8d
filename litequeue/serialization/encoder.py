"""Plain values to JSON text, as fast as the standard library can."""

from __future__ import annotations

import json
import json.encoder
from collections.abc import Callable
from typing import Any, Final, NoReturn


def _refuse(value: object) -> NoReturn:
    raise TypeError(f"{type(value).__name__} was not lowered")


def _encoder() -> Callable[[Any], str]:
    """Return json's own encoder, made once: `JSONEncoder.encode` makes one for every call."""
    make = getattr(json.encoder, "c_make_encoder", None)
    if make is None:  # another Python than CPython
        return json.JSONEncoder(allow_nan=False, ensure_ascii=False, separators=(",", ":")).encode
    text = json.encoder.encode_basestring
    # Circles were refused by their depth, so it need not remember where it is (None).
    encode = make(None, _refuse, text, None, ":", ",", False, False, False)
    join = "".join
    return lambda value: join(encode(value, 0))


encode_plain: Final = _encoder()
