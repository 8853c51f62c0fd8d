"""Settings, under Celery's lower-case names where Celery has one."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Final

from litequeue.exceptions import ImproperlyConfigured

ENVIRONMENT_PREFIX: Final = "LITEQUEUE_"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What can be set.  Durations are seconds, sizes bytes.

    ``durability``: "full" syncs every accepted job and every result to the disk; "process"
    survives any kill, but a power cut may take back the last commits.
    ``queue_busy_timeout``: how long a write waits for other writers before `QueueBusy`.
    ``visibility_timeout``: how long a worker that cannot be seen from here may stay silent.
    ``worker_grace``: how long a warm stop lets running jobs finish.
    """

    task_default_queue: str = "default"
    task_default_priority: int = 0
    task_max_deliveries: int = 3
    task_max_arguments_size: int = 1 << 20
    result_max_size: int = 16 << 20
    result_expires: float = 86_400.0
    result_failure_expires: float = 7 * 86_400.0
    durability: str = "full"
    queue_busy_timeout: float = 5.0
    visibility_timeout: float = 60.0
    worker_concurrency: int = 0
    worker_grace: float = 30.0

    def __post_init__(self) -> None:
        """Refuse values that make no sense."""
        if self.durability not in ("full", "process"):
            raise ImproperlyConfigured(
                f'durability is "full" or "process", not {self.durability!r}'
            )
        for field in fields(self):
            value = getattr(self, field.name)
            least, most = _BOUNDS.get(field.name, (0, _A_CENTURY))
            if isinstance(value, int | float) and not least <= value <= most:
                raise ImproperlyConfigured(
                    f"{field.name} is between {least:,} and {most:,}, not {value}"
                )


_A_CENTURY: Final = 100 * 366 * 86_400
_LARGEST_VALUE: Final = 32 << 20
_BOUNDS: Final = {
    "task_default_priority": (-1_000_000_000, 1_000_000_000),
    "task_max_deliveries": (1, 1_000_000),
    "task_max_arguments_size": (0, _LARGEST_VALUE),
    "result_max_size": (0, _LARGEST_VALUE),
    "queue_busy_timeout": (0.01, 86_400),
    "visibility_timeout": (0.1, 86_400),
}
_TYPES: Final = {field.name: str(field.type) for field in fields(Settings)}


def load_settings(given: Mapping[str, Any], environment: Mapping[str, str]) -> Settings:
    """Build the settings: environment over ``given`` over defaults.

    Raises `ImproperlyConfigured` for an unknown name or a value of the wrong type.
    """
    unknown = sorted(given.keys() - _TYPES.keys())
    if unknown:
        raise ImproperlyConfigured(
            f"no setting {unknown[0]!r}{_did_you_mean(unknown[0])}; "
            f"the settings are {', '.join(sorted(_TYPES))}"
        )
    values = {name: _convert(name, value) for name, value in given.items()}
    for name in _TYPES:
        text = environment.get(ENVIRONMENT_PREFIX + name.upper())
        if text is not None:
            values[name] = _convert(name, text)
    return Settings(**values)


def settings_from_environment(**given: Any) -> Settings:
    """Build the settings of this process from ``given`` and the environment."""
    return load_settings(given, os.environ)


def _convert(name: str, value: Any) -> Any:
    kind = {"int": int, "float": float, "str": str}[_TYPES[name]]
    if (
        isinstance(value, bool)
        or (kind is str and not isinstance(value, str))
        or (kind is int and isinstance(value, float) and not value.is_integer())
    ):
        raise ImproperlyConfigured(f"{name} is a {kind.__name__}, not {value!r}")
    try:
        return kind(value)
    except (TypeError, ValueError) as error:
        raise ImproperlyConfigured(f"{name} is a {kind.__name__}, not {value!r}") from error


def _did_you_mean(name: str) -> str:
    import difflib

    close = difflib.get_close_matches(name, _TYPES, n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""
