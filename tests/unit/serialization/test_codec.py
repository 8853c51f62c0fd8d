from __future__ import annotations

import bz2
import json
import lzma
import os
import pickle
import random
import sys
import zlib
from base64 import b64encode
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from litequeue.exceptions import (
    ContentDisallowed,
    ImproperlyConfigured,
    NotSerializable,
    PayloadTooLarge,
    SecurityError,
)
from litequeue.serialization import Codec, Types
from tests.unit.serialization.shapes import VALUES, Point, all_types, same

BIG = 1 << 30
PLAIN = ("json", "yaml", "msgpack")
EVERY = [*PLAIN, "pickle", "signed", "signed+yaml", "signed+msgpack", "signed+pickle"]
METHODS = ("zlib", "bzip2", "lzma")


def codec(**more: Any) -> Codec:
    return Codec(
        **{
            "accept_content": EVERY,
            "security_key": "a key of 18 bytes.",
            "types": all_types(),
            **more,
        }
    )


# --- Serializers ----------------------------------------------------------------------------------


@pytest.mark.parametrize("method", [None, *METHODS])
@pytest.mark.parametrize("name", [name for name in EVERY if "pickle" not in name])
@settings(max_examples=20)
@given(value=VALUES)
def test_every_form_brings_back_the_same(name: str, method: str | None, value: Any) -> None:
    one = codec(
        task_serializer=name,
        result_serializer=name,
        task_compression=method,
        result_compression=method,
        compression_threshold=0,
    )
    text = one.dumps(value, context="c")
    text.encode()
    assert same(one.loads(text, context="c"), value)
    body = one.dumps_arguments((value,), {"k": value}, limit=BIG, context="c")
    assert same(list(one.loads_arguments(body, context="c")), [[value], {"k": value}])


@pytest.mark.parametrize("name", ["pickle", "signed+pickle"])
def test_pickle_keeps_what_pickle_keeps(name: str) -> None:
    one = codec(result_serializer=name)
    value = [1j, {1: (2,)}, Point(1.0)]
    assert same(one.loads(one.dumps(value)), value)
    with pytest.raises(NotSerializable, match="pickle"):
        one.dumps(lambda: None)


FORMS = {
    "json": '[[1],{"a":"ü"}]',
    "yaml": '!yaml,- - 1\n- a: "\\xFC"\n',
    "msgpack": "!msgpack;base64,kpEBgaFhosO8",
}


@pytest.mark.parametrize("name", FORMS)
def test_the_stored_forms(name: str) -> None:
    assert codec().dumps_arguments((1,), {"a": "ü"}, limit=99, serializer=name) == FORMS[name]


def test_signed_json_stays_readable() -> None:
    text = codec().dumps_arguments(([1],), {}, limit=999, serializer="signed")
    assert text.startswith("!signed+json;hmac-sha256:")
    assert text.endswith(",[[[1]],{}]")


@pytest.mark.parametrize("name", ["json", "yaml", "msgpack", "signed", "signed+yaml"])
@pytest.mark.parametrize("value", [float("inf"), "\udfff", 1 << 64, {1: 2}, {"a", 1j}, print])
def test_every_form_refuses_the_same(name: str, value: Any) -> None:
    with pytest.raises(NotSerializable, match=r"^\$\[0\]\.when"):
        codec(result_serializer=name).dumps([{"when": value}])


def test_content_types_are_other_names() -> None:
    one = Codec(
        accept_content=["application/json", "application/x-yaml"],
        task_serializer="application/x-yaml",
    )
    assert one.accept_content == {"json", "yaml"}
    assert one.task_serializer == "yaml"


@pytest.mark.parametrize("name", EVERY)
def test_only_what_is_listed_is_decoded(name: str) -> None:
    text = codec(result_serializer=name).dumps([1])
    others = [other for other in EVERY if other != name]
    reader = codec(accept_content=others, task_serializer=others[0], result_serializer=others[0])
    with pytest.raises(ContentDisallowed, match="accept_content"):
        reader.loads(text)


class Exploit:
    def __reduce__(self) -> Any:
        return os._exit, (1,)


def test_a_pickle_that_was_not_asked_for_is_never_looked_at() -> None:
    packed = b64encode(pickle.dumps(Exploit())).decode()
    for text in (f"!pickle;base64,{packed}", f"!signed+pickle;base64;hmac-sha256:x:y,{packed}"):
        with pytest.raises(ContentDisallowed):
            Codec().loads(text)
    with pytest.raises(SecurityError):
        codec().loads(f"!signed+pickle;base64,{packed}")
    with pytest.raises(SecurityError):
        codec().loads(f"!signed+pickle;base64;hmac-sha256:x:y,{packed}")


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"task_serializer": "yaml"}, "not in accept_content"),
        ({"result_serializer": "pickle"}, "not in accept_content"),
        ({"accept_content": ["json", "xml"]}, "no serializer 'xml'"),
        ({"accept_content": "json"}, "list of names"),
        ({"accept_content": ["json", "signed"]}, "security_key"),
        ({"security_key": ""}, "empty key"),
        ({"security_key": ["a key of 18 bytes.", ""]}, "empty key"),
        ({"security_key": "fifteen letters"}, "15 bytes, which can be guessed"),
        ({"task_compression": "rar"}, "no compression 'rar'"),
    ],
)
def test_settings_that_make_no_sense_are_refused_at_once(
    settings: dict[str, Any], words: str
) -> None:
    if settings.get("security_key") == "":
        settings = {"security_key": [""]}
    with pytest.raises(ImproperlyConfigured, match=words):
        Codec(**settings)


def test_a_call_is_held_to_the_same_rules() -> None:
    with pytest.raises(ImproperlyConfigured, match="not in accept_content"):
        Codec().dumps_arguments((), {}, limit=9, serializer="yaml")
    with pytest.raises(ImproperlyConfigured, match="no compression"):
        Codec().dumps_arguments((), {}, limit=9, compression="rar")


@pytest.mark.parametrize(("name", "module"), [("msgpack", "msgpack"), ("yaml", "yaml")])
def test_a_missing_library_is_named_with_its_extra(
    name: str, module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImproperlyConfigured, match=rf"pip install '\.\[{name}\]'"):
        Codec(accept_content=["json", name])


def test_a_codec_does_not_change() -> None:
    one = Codec()
    with pytest.raises(AttributeError, match="make another one"):
        one.task_serializer = "yaml"
    with pytest.raises(AttributeError, match="make another one"):
        del one.types


def test_arguments_are_bounded_as_they_are_stored() -> None:
    for more in ({}, {"serializer": "msgpack"}):
        args = ("é" * 5_000,)
        body = codec().dumps_arguments(args, {}, limit=BIG, **more)
        size = len(body.encode())
        assert codec().dumps_arguments(args, {}, limit=size, **more) == body
        with pytest.raises(PayloadTooLarge, match="task_max_arguments_size"):
            codec().dumps_arguments(args, {}, limit=size - 1, **more)


def test_arguments_are_bounded_before_they_are_compressed() -> None:
    args = ("é" * 5_000,)
    size = len(codec().dumps_arguments(args, {}, limit=BIG).encode())
    shorter = codec().dumps_arguments(args, {}, limit=size, compression="zlib")
    assert len(shorter) < size / 10
    with pytest.raises(PayloadTooLarge, match=f"{size:,} bytes"):
        codec().dumps_arguments(args, {}, limit=size - 1, compression="zlib")


# --- Signatures -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["signed", "signed+yaml", "signed+msgpack", "signed+pickle"])
def test_a_signature_binds_a_payload_to_its_place(name: str) -> None:
    one = codec(task_serializer=name, result_serializer=name)
    body = one.dumps_arguments((1,), {}, limit=999, context="task;id")
    assert one.loads_arguments(body, context="task;id") == ([1], {})
    with pytest.raises(SecurityError, match="another job"):
        one.loads_arguments(body, context="task;other")
    with pytest.raises(SecurityError, match="another job"):
        one.loads(body, context="task;id")  # arguments are no result
    result = one.dumps([[1], {}], context="task;id")
    with pytest.raises(SecurityError, match="another job"):
        one.loads_arguments(result, context="task;id")


def test_no_character_of_a_signed_text_can_be_changed() -> None:
    one = codec(result_serializer="signed")
    text = one.dumps([1, "two"], context="c")
    for at in range(len(text)):
        changed = text[:at] + ("0" if text[at] != "0" else "1") + text[at + 1 :]
        with pytest.raises(ValueError, match=r".+"):
            codec(
                accept_content=["signed"], task_serializer="signed", result_serializer="signed"
            ).loads(changed, context="c")


def test_a_signature_covers_what_the_text_says_it_is() -> None:
    text = codec(result_serializer="signed").dumps([1])
    with pytest.raises(SecurityError, match="changed"):
        codec().loads(text.replace("!signed+json", "!signed+yaml"))  # JSON is YAML too


OLD, NEW = "an old key of many letters", "a new key of many letters"


def test_keys_rotate() -> None:
    old, new, both = (
        codec(result_serializer="signed", security_key=keys)
        for keys in (OLD, NEW, [NEW, OLD.encode()])
    )
    assert both.loads(old.dumps(1)) == 1
    assert new.loads(both.dumps(1)) == 1
    with pytest.raises(SecurityError, match="add the key"):
        old.loads(both.dumps(1))


def test_keys_are_not_shown() -> None:
    one = codec(security_key="hush-hush-hush-hush")
    assert "hush" not in repr(one)
    assert "hush" not in one.dumps(1)


# --- Compression ----------------------------------------------------------------------------------

ALIASES = {
    "zlib": "zlib", "gzip": "zlib", "application/x-gzip": "zlib", "bzip2": "bzip2", "bz2": "bzip2",
    "bzip": "bzip2", "application/x-bz2": "bzip2", "lzma": "lzma", "xz": "lzma",
}  # fmt: skip


@pytest.mark.parametrize("alias", ALIASES)
def test_celerys_names_of_compressions(alias: str) -> None:
    body = Codec().dumps_arguments(("x" * 9_999,), {}, limit=BIG, compression=alias)
    assert body.startswith(f"!json;{ALIASES[alias]};base64,")
    assert Codec().loads_arguments(body) == (["x" * 9_999], {})


def test_small_and_dense_texts_stay_as_they_are() -> None:
    one = Codec(task_compression="zlib", result_compression="zlib")
    assert one.dumps("x" * 1_000).startswith('"x')
    dense = b64encode(random.Random(1).randbytes(9_000)).decode()
    assert one.dumps(dense) == json.dumps(dense)
    assert one.dumps("x" * 2_000).startswith("!json;zlib;base64,")


@pytest.mark.parametrize("pack", [zlib.compress, bz2.compress, lzma.compress], ids=METHODS)
@pytest.mark.parametrize("size", [1_000, 1_001])
def test_inflation_is_bounded(pack: Any, size: int, request: pytest.FixtureRequest) -> None:
    method = request.node.callspec.id.split("-")[-1]
    text = f"!json;{method};base64,{b64encode(pack(b'1' * 10 + b' ' * (size - 10))).decode()}"
    reader = Codec(max_inflated=1_000)
    if size == 1_000:
        assert reader.loads(text) == 1111111111
    else:
        with pytest.raises(ValueError, match="inflates to more than 1,000 bytes"):
            reader.loads(text)


@pytest.mark.parametrize("pack", [zlib.compress, bz2.compress, lzma.compress], ids=METHODS)
def test_damaged_compression_is_a_value_error(pack: Any, request: pytest.FixtureRequest) -> None:
    packed = pack(b"1" * 10)
    for damaged in (packed[:-1], packed + b"x"):
        method = request.node.callspec.id
        with pytest.raises(ValueError, match="too early, or too late"):
            Codec().loads(f"!json;{method};base64,{b64encode(damaged).decode()}")


def test_a_bomb_is_not_inflated_beyond_the_bound() -> None:
    import tracemalloc

    bomb = f"!json;zlib;base64,{b64encode(zlib.compress(bytes(50_000_000))).decode()}"
    reader = Codec(max_inflated=100_000)
    tracemalloc.start()
    with pytest.raises(ValueError, match="inflates"):
        reader.loads(bomb)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2_000_000


# --- Hostile texts --------------------------------------------------------------------------------

ANCHORS = "!yaml,a: &a [x, x]\nb: &b [*a, *a]\n"


NESTED = b64encode(bytes([0x91]) * 5_000).decode()
HOSTILE = [
    "!", "!,", "!json", "!json,", "!json;,1", "!json;zlib,1", "!json;base64;zlib,MQ==",
    "!json;rot13,1", "!json;base64,%%", "!json;base64,/w==", "!json;zlib;base64,MQ==",
    "!json;bzip2;base64,MQ==", "!json;lzma;base64,MQ==", "!json;hmac-sha256:a:b,1",
    "!msgpack;base64,3g==", "!msgpack;base64,wQ==", "!msgpack,1", f"!msgpack;base64,{NESTED}",
    "!msgpack;base64,1wEAAAAAAAAAAA==", ANCHORS, "!yaml,&a [*a]", "!yaml,{", "!yaml,a: b: c",
    "!yaml,!!python/object/apply:os.getcwd []", "!yaml," + "[" * 9_999, "!yaml,? [1]\n: 2",
    "!yaml,1" + ":59" * 9_999, "!pickle;base64,gASV", "!pickle;base64,Lg==", "!pickle,x",
    "!" + "x" * 999, "!signed+json,1", "!signed+json;hmac-sha256:,1", "!json;base64,\ud800",
]  # fmt: skip


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_texts_are_value_errors(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        codec().loads(text)


def samples() -> list[str]:
    value = [{"p": Point(1.0), "w": (b"\xff", {1, 2}), "x": "y" * 50}]
    return [
        codec(result_serializer=name, result_compression=method, compression_threshold=0).dumps(
            value
        )
        for name in EVERY
        if name != "pickle"  # which may do anything, and is asked for by name
        for method in (None, *METHODS)
    ]


@settings(max_examples=1_000, deadline=None)
@given(
    st.sampled_from(samples()),
    st.lists(st.tuples(st.integers(0, 400), st.text(max_size=3)), min_size=1, max_size=4),
)
def test_mutated_texts_give_a_value_or_a_value_error(text: str, changes: list[Any]) -> None:
    for at, new in changes:
        place = at % (len(text) + 1)
        text = text[:place] + new + text[place + (len(new) or 1) :]
    reader = codec(accept_content=[name for name in EVERY if name != "pickle"])
    for load in (reader.loads, reader.loads_arguments):
        try:
            load(text)
        except ValueError as error:
            assert str(error)  # noqa: PT017 - anything else that is raised fails the test


@pytest.mark.parametrize(
    "body", ["", "{", "1", "[]", "[[]]", "[[],{},1]", "[{},[]]", "!yaml,- []\n- {1: 2}", "!yaml,1"]
)
def test_a_body_of_another_shape_is_refused(body: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        codec().loads_arguments(body)


def test_without_types_no_class_travels() -> None:
    with pytest.raises(NotSerializable, match=r"register it: Types\.add"):
        Codec().dumps(Point(1.0))
    with pytest.raises(ValueError, match="knows no such class"):
        Codec(types=Types()).loads(codec().dumps(Point(1.0)))
