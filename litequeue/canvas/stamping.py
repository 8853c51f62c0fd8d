"""Stamps of a signature: whose count where several give one, and what a visitor adds.

They are options: ``stamped_headers`` has the names, the other options of these names the values.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, Final

NAMES: Final = "stamped_headers"


class StampingVisitor(ABC):
    """What decides about the stamps of a signature: for `Signature.stamp`."""

    @abstractmethod
    def on_signature(self, sig: Any, **headers: Any) -> dict[str, Any] | None:
        """Return the stamps for ``sig``, beside the ``headers`` that `stamp` was given.

        With ``stamped_headers`` among them, only those that it names are stamps.
        """

    def on_group_start(self, group: Any, **headers: Any) -> dict[str, Any] | None:
        """Return further stamps for the members of ``group``."""
        return {}

    def on_group_end(self, group: Any, **headers: Any) -> None:
        """Hear that the members of ``group`` are stamped."""
        return

    def on_chain_start(self, chain: Any, **headers: Any) -> dict[str, Any] | None:
        """Return further stamps for the steps of ``chain``."""
        return {}

    def on_chain_end(self, chain: Any, **headers: Any) -> None:
        """Hear that the steps of ``chain`` are stamped."""
        return

    def on_chord_header_start(self, sig: Any, **header: Any) -> dict[str, Any] | None:
        """Return further stamps for the header of the chord ``sig``; it becomes a group."""
        return self.on_group_start(sig.header_group(), **header)

    def on_chord_header_end(self, sig: Any, **header: Any) -> None:
        """Hear that the header of the chord ``sig`` is stamped."""
        self.on_group_end(sig.tasks, **header)

    def on_chord_body(self, sig: Any, **header: Any) -> dict[str, Any] | None:
        """Return further stamps for the body of the chord ``sig``."""
        return {}

    def on_callback(self, callback: Any, **header: Any) -> dict[str, Any] | None:
        """Return further stamps for a signature that is linked to another."""
        return {}

    def on_errback(self, errback: Any, **header: Any) -> dict[str, Any] | None:
        """Return further stamps for a signature that is called when another fails."""
        return {}


def stamps(
    headers: Mapping[str, Any],
    visited: Mapping[str, Any] | None,
    options: Mapping[str, Any],
    *,
    append: bool,
) -> dict[str, Any]:
    """Return the options that stamp a signature, which has ``options``.

    Where a stamp is given twice, that of ``headers`` counts, then that of a visitor, then the one
    that is there; with ``append`` they become a list.  Lists are joined in any case.
    """
    made = _with_names(headers)
    if visited is not None:
        made = _merged(made, _with_names(visited), append=append)
    names = [*dict.fromkeys((*made[NAMES], *names_in(options)))]
    there = {name: options[name] for name in names if name in options and name != NAMES}
    return {**_merged(made, there, append=append), NAMES: names}


def names_in(options: Mapping[str, Any]) -> list[str]:
    """Return the names of the stamps among ``options``."""
    names = options.get(NAMES) or ()
    return [names] if isinstance(names, str) else [*names]


def _with_names(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return stamps with the list of their names, which are all of them where none are given."""
    return {**given, NAMES: names_in(given) if NAMES in given else [*given]}


def _merged(first: Mapping[str, Any], second: Mapping[str, Any], *, append: bool) -> dict[str, Any]:
    """Return both; what they share is joined, and dicts are so all the way down."""
    both = {**first, **second}
    for name in first.keys() & second.keys():
        both[name] = _joined(first[name], second[name], append=append)
    return both


def _joined(first: Any, second: Any, *, append: bool) -> Any:
    if isinstance(first, dict) and isinstance(second, dict):
        return _merged(first, second, append=append)
    if isinstance(first, list) and isinstance(second, list):
        return [*first, *second]
    if not append:
        return first
    if first is None:
        return [second]
    if isinstance(first, int | float | str) and isinstance(second, list):
        return [first, *second]
    many = isinstance(first, list | tuple | set | frozenset)
    return [*first, second] if many else [first, second]
