"""Revoking jobs: by their ids, and by the stamps they carry."""

from __future__ import annotations

import contextlib
import signal as signals
from collections.abc import Iterable, Mapping

from litequeue import states
from litequeue.exceptions import JobNotFound, TimeoutError
from litequeue.result.home import Home
from litequeue.result.revoked import tell_revoked
from litequeue.result.waiting import Patience, until_ended
from litequeue.store.revocations import Revoked

Signal = str | int | None


def signal_name(signal: Signal) -> str:
    """Return the full name of an operating system's signal: "SIGTERM" for "term" or 15.

    None means that.  Raises ValueError for one that this system does not have.
    """
    if signal is None:
        return signals.SIGTERM.name
    if isinstance(signal, int):
        return signals.Signals(signal).name
    name = signal.upper()
    name = name if name.startswith("SIG") else f"SIG{name}"
    if name not in signals.Signals.__members__:
        raise ValueError(f"{signal!r} is no signal; say SIGTERM, SIGKILL, SIGINT or another one")
    return name


def revoke(home: Home, ids: Iterable[str], *, terminate: bool, signal: Signal) -> Revoked:
    """End the jobs that wait, and have it stand for the others; send `task_revoked`.

    With ``terminate`` those that run are ended by ``signal``.
    """
    name = signal_name(signal) if terminate else None
    revoked = home.store.revoke_all(list(ids), terminate=terminate, signal=name)
    tell_revoked(home, revoked.ended)
    return revoked


def revoke_workflow(home: Home, ids: Iterable[str], *, terminate: bool, signal: Signal) -> Revoked:
    """Do the same to all jobs of the workflows that ``ids``, of jobs or groups, belong to."""
    name = signal_name(signal) if terminate else None
    all_of_them = Revoked()
    met = set[str]()
    for id in ids:
        if id in met:  # it went with another one
            continue
        revoked = home.store.revoke_workflow(id, terminate=terminate, signal=name)
        tell_revoked(home, revoked.ended)
        all_of_them.ended.extend(revoked.ended)
        all_of_them.stands.extend(revoked.stands)
        all_of_them.followed.extend(revoked.followed)
        met.update(revoked.ended, revoked.stands, revoked.followed)
    return all_of_them


def await_end(home: Home, revoked: Revoked, timeout: float | None) -> list[str]:
    """Wait until the revoked jobs have ended, at most ``timeout`` seconds; return those REVOKED.

    Whose revocation stands for a job that is not there is not waited for.
    """
    patience = Patience(home, timeout)
    ended = list(revoked.ended)
    for id in revoked.stands:
        with contextlib.suppress(JobNotFound, TimeoutError):
            if until_ended(home, id, patience).state == states.REVOKED:
                ended.append(id)
    return ended


def revoke_stamped(
    home: Home, headers: Mapping[str, str | Iterable[str]], *, terminate: bool, signal: Signal
) -> Revoked:
    """Do the same to all jobs that carry one of the stamps, also to those sent later."""
    name = signal_name(signal) if terminate else None
    both = Revoked()
    for header, values in headers.items():
        held = [values] if isinstance(values, str) else list(values)
        revoked = home.store.revoke_stamped(header, held, terminate=terminate, signal=name)
        tell_revoked(home, revoked.ended)
        both.ended.extend(revoked.ended)
        both.stands.extend(revoked.stands)
    return both
