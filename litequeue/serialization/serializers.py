"""The serializers by name, and `register` for more of them.

A registered pair of functions gets values as they are.  Ours get lowered ones, so that every
type comes back the same from all of them; pickle alone does that by itself.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from litequeue.exceptions import ImproperlyConfigured

Encoder = Callable[[Any], str | bytes]
Decoder = Callable[[Any], Any]

SIGNED: Final = "signed"


class Serializer:
    """How values become text or bytes; ``lowered`` if it takes plain values only."""

    # No NamedTuple or dataclass: making one of those takes longer than the whole module.
    __slots__ = (
        "binary", "content_type", "decode", "encode", "encoding", "lowered", "name", "needs"
    )  # fmt: skip

    def __init__(
        self,
        name: str,
        encode: Encoder | None,
        decode: Decoder | None,
        *,
        content_type: str,
        encoding: str = "utf-8",
        binary: bool = False,
        lowered: bool = False,
        needs: str | None = None,
    ) -> None:
        self.name: str = name
        self.encode: Encoder | None = encode
        self.decode: Decoder | None = decode
        self.content_type: str = content_type
        self.encoding: str = encoding
        self.binary: bool = binary
        self.lowered: bool = lowered
        self.needs: str | None = needs


def register(
    name: str,
    encoder: Encoder | None,
    decoder: Decoder | None,
    content_type: str | None = None,
    content_encoding: str = "utf-8",
    *,
    binary: bool | None = None,
) -> None:
    """Add a serializer for all apps of this process, in the way of `kombu.serialization.register`.

    ``binary`` says that ``encoder`` returns bytes that are no text; by default if
    ``content_encoding`` is "binary".  None for one of the functions makes it one-way.
    Raises `ImproperlyConfigured` for a name that is built in or has other characters than
    letters, digits, ``-``, ``_`` and ``.``.
    """
    if not str(name).replace("-", "").replace(".", "").isidentifier():
        raise ImproperlyConfigured(f"{name!r:.80} cannot name a serializer; use letters and digits")
    if name in _BUILT_IN or name == SIGNED or not name.isascii():
        raise ImproperlyConfigured(f"the serializer {name!r} is built in; choose another name")
    if binary is None:
        binary = content_encoding.lower() in ("binary", "ascii-8bit")
    encoding = "utf-8" if binary else content_encoding
    kind = content_type or f"application/x-{name}"
    if _CONTENT_TYPES.get(kind, name) != name:
        raise ImproperlyConfigured(
            f"{kind} is {_CONTENT_TYPES[kind]}'s; choose another content_type"
        )
    _SERIALIZERS[name] = Serializer(
        name, encoder, decoder, content_type=kind, encoding=encoding, binary=binary
    )
    _CONTENT_TYPES[kind] = name


def unregister(name: str) -> None:
    """Take a registered serializer away; raises `ImproperlyConfigured` if there is none."""
    if name in _BUILT_IN or name not in _SERIALIZERS:
        raise ImproperlyConfigured(f"no registered serializer {name!r:.80}")
    del _CONTENT_TYPES[_SERIALIZERS.pop(name).content_type]


def canonical(name: str) -> str:
    """Return the full name of a serializer: of a content type, of "signed".

    Raises `ImproperlyConfigured` for an unknown one, or one whose library is missing.
    """
    plain = "json" if name == SIGNED else str(name).removeprefix(f"{SIGNED}+")
    signed = name == SIGNED or str(name).startswith(f"{SIGNED}+")
    found = _SERIALIZERS.get(_CONTENT_TYPES.get(plain, plain))
    if found is None:
        known = ", ".join(sorted(_SERIALIZERS))
        raise ImproperlyConfigured(
            f"no serializer {name!r:.80}; choose {known}, {SIGNED}+ any of them, or register one"
        )
    if found.needs is not None:
        from importlib.util import find_spec

        if find_spec(found.needs) is None:
            raise ImproperlyConfigured(
                f"the serializer {found.name} needs a library that is not installed: it is in the "
                f"extra {found.name} (in a clone: pip install '.[{found.name}]')"
            )
    return f"{SIGNED}+{found.name}" if signed else found.name


def is_signed(name: str) -> bool:
    """Return whether a full name is that of a signed form."""
    return name.startswith(f"{SIGNED}+")


def get(name: str) -> Serializer:
    """Return the serializer of a full name, signed or not.

    Raises `ImproperlyConfigured` if it was taken away.
    """
    try:
        return _SERIALIZERS[name.removeprefix(f"{SIGNED}+")]
    except KeyError:
        raise ImproperlyConfigured(f"the serializer {name} was unregistered") from None


def _to_yaml(value: Any) -> str:
    import yaml

    class Dumper(yaml.SafeDumper):
        """Writes a value as often as it occurs: the loader takes no aliases."""

        def ignore_aliases(self, _data: Any) -> bool:
            return True

    # ASCII, since PyYAML takes U+0085 and its like for line breaks when it reads them.
    text: str = yaml.dump(value, Dumper=Dumper, allow_unicode=False, sort_keys=False)
    return text


def _from_yaml(text: str) -> Any:
    import yaml

    from litequeue.serialization.yaml_loader import Loader

    try:
        return yaml.load(text, Loader=Loader)  # noqa: S506 - a SafeLoader that takes even less
    except yaml.YAMLError as error:
        raise ValueError(f"not YAML: {error}") from error


def _to_msgpack(value: Any) -> bytes:
    import msgpack

    packed: bytes = msgpack.packb(value)
    return packed


def _no_extension(code: int, _data: bytes) -> Any:
    raise ValueError(f"an unknown extension of msgpack ({code})")


def _from_msgpack(data: bytes) -> Any:
    import msgpack

    try:
        return msgpack.unpackb(data, ext_hook=_no_extension, timestamp=3)
    except ValueError as error:
        raise ValueError(f"not msgpack: {type(error).__name__} {error}") from error


def _to_pickle(value: Any) -> bytes:
    import pickle

    return pickle.dumps(value)


def _from_pickle(data: bytes) -> Any:
    import pickle

    return pickle.loads(data)  # noqa: S301 - only where accept_content asks for it by name


_SERIALIZERS: Final = {
    each.name: each
    for each in (
        # JSON's functions are the codec's own: they know its types.
        Serializer("json", None, None, content_type="application/json", lowered=True),
        Serializer(
            "msgpack",
            _to_msgpack,
            _from_msgpack,
            content_type="application/x-msgpack",
            binary=True,
            lowered=True,
            needs="msgpack",
        ),
        Serializer(
            "pickle",
            _to_pickle,
            _from_pickle,
            content_type="application/x-python-serialize",
            binary=True,
        ),
        Serializer(
            "yaml",
            _to_yaml,
            _from_yaml,
            content_type="application/x-yaml",
            lowered=True,
            needs="yaml",
        ),
    )
}
_BUILT_IN: Final = frozenset(_SERIALIZERS)
_CONTENT_TYPES: Final = {each.content_type: each.name for each in _SERIALIZERS.values()}
