"""Signatures: HMAC-SHA256 over a payload, what it is for, and where it belongs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from litequeue.exceptions import ImproperlyConfigured, SecurityError

METHOD: Final = "hmac-sha256"
SHORTEST: Final = 16
"""Bytes of the shortest key that is taken."""


class Keyring:
    """The keys of an app: the first signs, all of them verify."""

    __slots__ = ("_first", "_keys")

    def __init__(self, keys: Iterable[object]) -> None:
        self._keys: dict[str, bytes] = {}
        self._first = ""
        for key in keys:
            if not isinstance(key, str | bytes) or not key:
                raise ImproperlyConfigured(
                    "security_key holds an empty key, or one that is neither text nor bytes; "
                    "make one with: python -c 'import secrets; print(secrets.token_hex(32))'"
                )
            secret = key.encode() if isinstance(key, str) else key
            if len(secret) < SHORTEST:
                raise ImproperlyConfigured(
                    f"security_key holds a key of {len(secret)} bytes, which can be guessed; "
                    "make one with: python -c 'import secrets; print(secrets.token_hex(32))'"
                )
            name = _digest(secret, b"litequeue: the name of this key")[:8]
            self._keys[name] = secret
            self._first = self._first or name

    def __bool__(self) -> bool:
        return bool(self._keys)

    def sign(self, message: bytes) -> str:
        """Return "method:key:signature" by the first key."""
        return f"{METHOD}:{self._first}:{_digest(self._keys[self._first], message)}"

    def verify(self, message: bytes, signature: str) -> None:
        """Raise `SecurityError` unless one of the keys made ``signature``."""
        import hmac

        name, _, given = signature.removeprefix(f"{METHOD}:").partition(":")
        key = self._keys.get(name)
        if key is None:
            raise SecurityError(
                f"the payload is signed with the key {name!r:.80}, which this app does not have; "
                "add the key to security_key"
            )
        if not hmac.compare_digest(_digest(key, message).encode(), given.encode()):
            raise SecurityError(
                "the signature is wrong: the payload was changed, or belongs to another job"
            )


def message(purpose: str, context: str, head: str, payload: str) -> bytes:
    """Return the bytes that are signed.

    The length in front of ``context`` says where it ends, whatever is in it.
    """
    return f"litequeue;{purpose};{len(context)}:{context};{head},{payload}".encode()


def _digest(key: bytes, text: bytes) -> str:
    import hmac

    return hmac.digest(key, text, "sha256").hex()
