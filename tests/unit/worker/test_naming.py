from __future__ import annotations

import socket

import pytest

from litequeue.exceptions import ImproperlyConfigured
from litequeue.worker.naming import expand

HOST = "mail7.shop.example"


@pytest.mark.parametrize(
    ("name", "expanded"),
    [
        ("w@%h", "w@mail7.shop.example"),
        ("w@%n", "w@mail7"),
        ("w.%d", "w.shop.example"),
        ("100%%", "100%"),
        ("%%h", "%h"),
        ("%n%n", "mail7mail7"),
        ("plain", "plain"),
        ("", ""),
    ],
)
def test_letters_stand_for_parts_of_the_host(name: str, expanded: str) -> None:
    assert expand(name, HOST) == expanded


def test_a_host_without_a_domain_has_an_empty_one() -> None:
    assert expand("%n|%d|%h", "box") == "box||box"


def test_the_host_is_this_one() -> None:
    assert expand("%h") == socket.gethostname()


@pytest.mark.parametrize("name", ["%i", "w@%H", "50%", "% h"])
def test_any_other_letter_is_refused(name: str) -> None:
    with pytest.raises(ImproperlyConfigured, match="%h is the host"):
        expand(name, HOST)
