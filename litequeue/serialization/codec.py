"""`Codec`: how one app turns arguments and results into stored text, and back.

The text is JSON, or ``!serializer;compression;base64;signature,payload`` with the parts that
apply.  A text is only decoded if `accept_content` lists its serializer, signed or not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from litequeue.exceptions import (
    ContentDisallowed,
    ImproperlyConfigured,
    NotSerializable,
    PayloadTooLarge,
)
from litequeue.serialization import serializers
from litequeue.serialization.faults import Fault, check
from litequeue.serialization.json_text import decoder, encode_json
from litequeue.serialization.tags import lower, lower_arguments, untag_all

if TYPE_CHECKING:
    from litequeue.serialization.envelope import Head
    from litequeue.serialization.signing import Keyring
    from litequeue.serialization.types import Types

THRESHOLD: Final = 1024
"""Bytes: below, a few hundred are saved, in a page of 4 KiB that is written anyway."""
MAX_INFLATED: Final = 64 << 20
_ARGUMENTS: Final = "arguments"
_RESULT: Final = "result"


class Codec:
    """The forms in which one app writes, and those that it reads.

    ``compression_threshold`` and ``max_inflated`` are bytes.  Raises `ImproperlyConfigured` for
    names that nobody knows, a serializer that is not accepted, a signature without a key.
    """

    # No dataclass: making one takes 2 ms, and every program that imports us would pay.
    __slots__ = (
        "_decode_json", "_keys", "_plain_arguments", "_plain_results", "accept_content", "binds",
        "compression_threshold", "max_inflated", "result_compression", "result_serializer",
        "task_compression", "task_serializer", "types",
    )  # fmt: skip

    _decode_json: Callable[[str], Any]
    _keys: Keyring | None
    _plain_arguments: bool
    _plain_results: bool
    accept_content: frozenset[str]
    binds: bool
    """There are keys, so that signatures may bind texts to a context; without, none is looked at.
    """
    compression_threshold: int
    max_inflated: int
    result_compression: str | None
    result_serializer: str
    task_compression: str | None
    task_serializer: str
    types: Types | None

    def __init__(
        self,
        *,
        task_serializer: str = "json",
        result_serializer: str = "json",
        accept_content: Iterable[str] = ("json",),
        task_compression: str | None = None,
        result_compression: str | None = None,
        compression_threshold: int = THRESHOLD,
        security_key: str | bytes | Sequence[str | bytes] = (),
        types: Types | None = None,
        max_inflated: int = MAX_INFLATED,
    ) -> None:
        if isinstance(accept_content, str):
            raise ImproperlyConfigured(
                f"accept_content is a list of names; write [{accept_content!r}]"
            )
        settle = super().__setattr__
        settle("_keys", _keyring(security_key))
        settle("binds", self._keys is not None)
        settle("accept_content", frozenset(map(self._named, accept_content)))
        settle("task_serializer", self._writable(task_serializer))
        settle("result_serializer", self._writable(result_serializer))
        settle("task_compression", _method(task_compression))
        settle("result_compression", _method(result_compression))
        settle("compression_threshold", compression_threshold)
        settle("max_inflated", max_inflated)
        settle("types", types)
        settle("_decode_json", decoder(types))
        plain = self.task_serializer == "json" and self.task_compression is None
        settle("_plain_arguments", plain)
        plain = self.result_serializer == "json" and self.result_compression is None
        settle("_plain_results", plain)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"a Codec does not change; make another one to set {name}")

    def __delattr__(self, name: str) -> None:
        self.__setattr__(name, None)

    def dumps_arguments(
        self,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        *,
        limit: int,
        context: str = "",
        serializer: str | None = None,
        compression: str | None = None,
    ) -> str:
        """Return the body of a job; ``context`` is what a signature binds it to.

        Raises `NotSerializable`, `PayloadTooLarge` above ``limit`` bytes, `ImproperlyConfigured`
        for a ``serializer`` or ``compression`` that cannot be used.
        """
        if self._plain_arguments and serializer is None and compression is None:
            text = self._json_arguments(args, kwargs)
        else:
            name = self.task_serializer if serializer is None else self._writable(serializer)
            method = self.task_compression if compression is None else _method(compression)
            value = [list(args), dict(kwargs)]
            text = self._write(
                value, name, method, purpose=_ARGUMENTS, context=context, limit=limit
            )
        if (size := _size(text)) > limit:
            raise _too_large(size, limit)
        return text

    def loads_arguments(self, body: str, *, context: str = "") -> tuple[list[Any], dict[str, Any]]:
        """Return (args, kwargs) of a job's body.

        Raises ValueError where it has another shape, `ContentDisallowed`, `SecurityError`.
        """
        value = self._read(body, purpose=_ARGUMENTS, context=context)
        if (
            type(value) is not list
            or len(value) != 2
            or type(value[0]) is not list
            or type(value[1]) is not dict
        ):
            raise ValueError("the body is not [args, kwargs]")
        args, kwargs = value
        # Not from JSON, whose keys are texts, but from the others.
        if body.startswith("!") and not all(type(key) is str for key in kwargs):
            raise ValueError("the body has names of arguments that are no text")
        return args, kwargs

    def dumps(self, value: Any, *, context: str = "") -> str:
        """Return a result as text; raises `NotSerializable`."""
        if self._plain_results:
            return self._to_json(value)
        name, method = self.result_serializer, self.result_compression
        return self._write(value, name, method, purpose=_RESULT, context=context)

    def loads(self, text: str, *, context: str = "") -> Any:
        """Return the result in ``text``.

        Raises ValueError, `ContentDisallowed`, `SecurityError`.
        """
        return self._read(text, purpose=_RESULT, context=context)

    # --- Writing ----------------------------------------------------------------------------------

    def _write(
        self,
        value: Any,
        name: str,
        method: str | None,
        *,
        purpose: str,
        context: str,
        limit: int | None = None,
    ) -> str:
        made: str | bytes
        serializer = serializers.get(name)
        made = (
            self._to_json(value) if serializer.name == "json" else self._encode(value, serializer)
        )
        if limit is not None and (size := _size(made)) > limit:  # who reads it has it in full again
            raise _too_large(size, limit)
        if method is not None:
            shorter = self._deflated(made, method)
            method = None if shorter is None else method
            made = made if shorter is None else shorter
        if name == "json" and method is None:
            return str(made)
        return self._wrap(name, method, made, purpose=purpose, context=context)

    def _json_arguments(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> str:
        try:
            return encode_json(lower_arguments(args, kwargs, self.types))
        except (Fault, RecursionError) as error:
            raise _refusal(error) from error

    def _to_json(self, value: Any) -> str:
        try:
            return encode_json(lower(value, self.types))
        except (Fault, RecursionError) as error:
            raise _refusal(error) from error

    def _encode(self, value: Any, serializer: serializers.Serializer) -> str | bytes:
        if serializer.encode is None:
            raise ImproperlyConfigured(f"the serializer {serializer.name} cannot encode")
        try:
            if serializer.lowered:
                value = lower(value, self.types)
                check(value)
            made = serializer.encode(value)
            if serializer.binary:
                return made.encode() if isinstance(made, str) else bytes(made)
            text = made if isinstance(made, str) else bytes(made).decode(serializer.encoding)
            text.encode()
            return text
        except Fault as fault:
            raise fault.refusal() from fault
        except Exception as error:
            raise NotSerializable(
                f"the value is refused by the serializer {serializer.name}: {error}"
            ) from error

    def _deflated(self, made: str | bytes, method: str) -> bytes | None:
        """Return ``made`` compressed, None where that is not worth it."""
        data = made.encode() if isinstance(made, str) else made
        if len(data) < self.compression_threshold or len(data) > self.max_inflated:
            return None
        from litequeue.serialization.compression import deflate

        shorter = deflate(method, data)
        # As text, four bytes stand for three.  Binary data pays for that in any case.
        room = len(data) if isinstance(made, bytes) else (len(data) - 32) * 3 // 4
        return shorter if len(shorter) < room else None

    def _wrap(
        self,
        name: str,
        method: str | None,
        made: str | bytes,
        *,
        purpose: str,
        context: str,
    ) -> str:
        words = [name]
        if method is not None:
            words.append(method)
        if isinstance(made, bytes):
            from binascii import b2a_base64

            words.append("base64")
            made = b2a_base64(made, newline=False).decode()
        head = "!" + ";".join(words)
        if serializers.is_signed(name):
            from litequeue.serialization.signing import message

            assert self._keys is not None  # noqa: S101 - _named asks for keys
            signature = self._keys.sign(message(purpose, context, head, made))
            head = f"{head};{signature}"
        return f"{head},{made}"

    # --- Reading ----------------------------------------------------------------------------------

    def _read(self, text: str, *, purpose: str, context: str) -> Any:
        try:
            if not text.startswith("!"):
                self._require("json")
                return self._decode_json(text)
            from litequeue.serialization.envelope import parsed

            head, payload = parsed(text)
            self._require(head.serializer)
            if head.signature is not None and self._keys is not None:
                from litequeue.serialization.signing import message

                signed = message(purpose, context, head.signed, payload)
                self._keys.verify(signed, head.signature)
            return self._decode(head, payload)
        except (ValueError, ImproperlyConfigured):
            raise
        except Exception as error:
            # Whatever a decoder, or a class, makes of data that nobody sent: it is no value.
            raise ValueError(
                f"the payload cannot be decoded: {type(error).__name__}: {error}"
            ) from error

    def _require(self, name: str) -> None:
        accepted: Any = self.accept_content
        if name not in accepted:
            raise ContentDisallowed(
                f"the payload is {name:.80} and accept_content allows "
                f"{', '.join(sorted(accepted)) or 'nothing'}; add it on both sides if you trust "
                "whoever writes to the file"
            )

    def _decode(self, head: Head, payload: str) -> Any:
        made: str | bytes = payload
        if head.base64:
            from binascii import a2b_base64

            made = a2b_base64(payload.encode(), strict_mode=True)
        if head.compression is not None:
            assert isinstance(made, bytes)  # noqa: S101 - parsed asks for base64
            from litequeue.serialization.compression import inflate

            made = inflate(head.compression, made, self.max_inflated)
        serializer = serializers.get(head.serializer)
        if not serializer.binary and isinstance(made, bytes):
            made = made.decode()
        if serializer.name == "json":
            return self._decode_json(str(made))
        if serializer.decode is None:
            raise ValueError(f"the serializer {serializer.name} cannot decode")
        value = serializer.decode(made)
        return untag_all(value, self.types) if serializer.lowered else value

    # --- Names ------------------------------------------------------------------------------------

    def _named(self, name: str) -> str:
        full = serializers.canonical(name)
        if serializers.is_signed(full) and self._keys is None:
            raise ImproperlyConfigured(f"{name} needs a security_key, the same on both sides")
        return full

    def _writable(self, name: str) -> str:
        full = self._named(name)
        accepted: Any = self.accept_content
        if full not in accepted:
            raise ImproperlyConfigured(
                f"the serializer {full} is not in accept_content, so nobody would decode what it "
                f"makes; set accept_content to {sorted({*accepted, full})}"
            )
        return full


def _refusal(error: Fault | RecursionError) -> NotSerializable:
    if isinstance(error, Fault):
        return error.refusal()
    return NotSerializable("the stack is too deep to serialize anything here")


def _size(made: str | bytes) -> int:
    """Return how many bytes it takes."""
    return len(made) if isinstance(made, bytes) or made.isascii() else len(made.encode())


def _too_large(size: int, limit: int) -> PayloadTooLarge:
    return PayloadTooLarge(
        f"the arguments take {size:,} bytes and task_max_arguments_size is {limit:,}; "
        "store the data elsewhere and send its name, or raise the setting"
    )


def _keyring(keys: str | bytes | Sequence[str | bytes]) -> Keyring | None:
    if isinstance(keys, str | bytes):
        keys = (keys,)
    if not keys:
        return None
    from litequeue.serialization.signing import Keyring

    return Keyring(keys)


def _method(compression: str | None) -> str | None:
    if compression is None:
        return None
    from litequeue.serialization.compression import canonical

    return canonical(compression)
