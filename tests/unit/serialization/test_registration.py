from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from litequeue import serialization
from litequeue.exceptions import ImproperlyConfigured, NotSerializable
from tests.unit.serialization.test_codec import codec


@pytest.fixture
def shouting() -> Iterator[None]:
    serialization.register(
        "shout", lambda value: json.dumps(value).upper(), lambda text: json.loads(text.lower()),
        content_type="application/x-shout", content_encoding="utf-8",
    )  # fmt: skip
    yield
    serialization.unregister("shout")


@pytest.mark.usefixtures("shouting")
def test_a_registered_serializer_is_one_like_the_others() -> None:
    one = codec(accept_content=["shout", "signed+shout"], task_serializer="application/x-shout",
                result_serializer="signed+shout")  # fmt: skip
    assert one.dumps_arguments(("a",), {}, limit=99) == '!shout,[["A"], {}]'
    assert one.loads_arguments('!shout,[["A"], {}]') == (["a"], {})
    assert one.loads(one.dumps("a")) == "a"


def test_binary_and_one_way_serializers() -> None:
    serialization.register("raw", bytes, list, content_encoding="binary")
    serialization.register("in", None, json.loads)
    serialization.register("out", json.dumps, None, binary=False)
    try:
        one = codec(
            accept_content=["raw", "in", "out"], task_serializer="raw", result_serializer="raw"
        )
        assert one.dumps([1, 2]) == "!raw;base64,AQI="
        assert one.loads("!raw;base64,AQI=") == [1, 2]
        with pytest.raises(NotSerializable, match="raw"):
            one.dumps([300])
        assert one.loads("!in,[1]") == [1]
        with pytest.raises(ImproperlyConfigured, match="cannot encode"):
            one.dumps_arguments((), {}, limit=9, serializer="in")
        with pytest.raises(ValueError, match="cannot decode"):
            one.loads("!out,[1]")
    finally:
        for name in ("raw", "in", "out"):
            serialization.unregister(name)
    with pytest.raises(ImproperlyConfigured, match="unregistered"):
        one.dumps([1])


@pytest.mark.parametrize("name", ["json", "pickle", "signed", "a;b", "a,b", "signed+x", "", "a b"])
def test_names_that_cannot_be_registered(name: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=r"built in|cannot name"):
        serialization.register(name, json.dumps, json.loads)


def test_what_was_never_registered_cannot_be_taken_away() -> None:
    for name in ("json", "nothing"):
        with pytest.raises(ImproperlyConfigured, match="no registered serializer"):
            serialization.unregister(name)
