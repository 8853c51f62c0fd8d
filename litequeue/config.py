"""Settings, under Celery's lower-case names where Celery has one.

They are read and written as attributes, as a mapping, or from a module of settings; every value
is checked where it is set.  What came from the environment wins over code.
"""

from __future__ import annotations

import copy
import importlib
import logging
import os
from collections.abc import Iterator, Mapping, MutableMapping
from dataclasses import dataclass, field, fields
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar, Final

from litequeue.celery_names import NOT_BUILT, without_effect
from litequeue.exceptions import ImproperlyConfigured
from litequeue.nearest import did_you_mean

logger: Final = logging.getLogger("litequeue")

ENVIRONMENT_PREFIX: Final = "LITEQUEUE_"
_YES: Final = frozenset({"1", "true", "yes", "on"})
_NO: Final = frozenset({"0", "false", "no", "off", ""})


@dataclass(slots=True, kw_only=True, eq=False)
class Settings(MutableMapping[str, Any]):
    """What can be set.  Durations are seconds (or a timedelta), sizes bytes.

    Raises `ImproperlyConfigured`, wherever one is set, for an unknown name or a value that makes
    no sense.  docs/reference/settings.md describes each.
    """

    accept_content: tuple[str, ...] = ("json",)
    beat_cron_starting_deadline: float | None = None
    beat_max_loop_interval: float = 0.0
    beat_schedule: Any = field(default_factory=dict)
    broker_url: str | None = None
    compression_threshold: int = 1024
    durability: str = "full"
    event_ring_size: int = 100_000
    imports: tuple[str, ...] = ()
    include: tuple[str, ...] = ()
    queue_busy_timeout: float = 5.0
    result_backend: str | None = None
    result_compression: str | None = None
    result_expires: float = 86_400.0
    result_failure_expires: float = 7 * 86_400.0
    result_max_size: int = 16 << 20
    result_serializer: str = "json"
    security_key: tuple[str, ...] = field(default=(), repr=False)
    task_acks_late: bool = True
    task_allow_error_cb_on_chord_header: bool = False
    task_always_eager: bool = False
    task_annotations: Any = None
    task_capture_output: int = 0
    task_compression: str | None = None
    task_create_missing_queues: bool = True
    task_default_exchange: str | None = None
    task_default_exchange_type: str = "direct"
    task_default_priority: int = 0
    task_default_queue: str = "default"
    task_default_routing_key: str | None = None
    task_eager_propagates: bool = False
    task_ignore_result: bool = False
    task_inherit_parent_priority: bool = False
    task_max_arguments_size: int = 1 << 20
    task_max_deliveries: int = 3
    task_publish_retry: bool = True
    task_publish_retry_policy: Any = None
    task_queues: Any = None
    task_reject_on_worker_lost: bool = True
    task_routes: Any = None
    task_send_sent_event: bool = False
    task_serializer: str = "json"
    task_soft_time_limit: float | None = None
    task_store_eager_result: bool = False
    task_time_limit: float | None = None
    task_track_started: bool = True
    timezone: Any = None
    visibility_timeout: float = 60.0
    worker_autoscale_keepalive: float = 30.0
    worker_concurrency: int = 0
    worker_enable_remote_control: bool = True
    worker_grace: float = 30.0
    worker_hijack_root_logger: bool = False
    worker_log_format: str | None = None
    worker_max_memory_per_child: int | None = None
    worker_max_tasks_per_child: int | None = None
    worker_pool: str = "prefork"
    worker_pool_start_method: str = ""
    worker_proc_alive_timeout: float = 15.0
    worker_redirect_stdouts: bool = False
    worker_redirect_stdouts_level: str = "WARNING"
    worker_send_task_events: bool = False
    worker_soft_shutdown_timeout: float = 0.0
    worker_task_log_format: str | None = None

    _version: int = field(default=0, init=False, repr=False)
    _fixed: frozenset[str] = field(default=frozenset(), repr=False)

    NAMES: ClassVar[tuple[str, ...]]
    """The names of all settings."""

    @property
    def version(self) -> int:
        """Grow with every change, so that what was made of the settings can be made anew."""
        return self._version

    if not TYPE_CHECKING:  # a type checker would take every name for a setting

        def __setattr__(self, name: str, value: object) -> None:
            """Check and store a setting.  One that the environment set stays as it is."""
            if name[0] == "_":
                object.__setattr__(self, name, value)
                return
            if name not in _KINDS:
                self._set_foreign(name)
                return
            if name in getattr(self, "_fixed", ()):
                return
            object.__setattr__(self, name, checked(name, value))
            object.__setattr__(self, "_version", getattr(self, "_version", 0) + 1)

    def overrule(self, **given: Any) -> None:
        """Set what the command line said: it wins over the environment, and over code."""
        self._fixed -= given.keys()
        self.update(given)
        self._fixed |= given.keys()

    def _set_foreign(self, name: str) -> None:
        """Refuse a setting we do not have, or say why a name of Celery's changes nothing here."""
        if name in NOT_BUILT:
            raise NotImplementedError(f"setting {name!r}")
        reason = without_effect(name)
        if reason is None:
            raise unknown_setting(name)
        # Without the value, which may be a password of a broker's.
        logger.warning("the setting %s changes nothing here: %s", name, reason)

    # A mapping, as Celery's configuration is

    def __getitem__(self, name: str) -> Any:
        """Return the setting ``name``; raises KeyError."""
        if name not in _KINDS:
            raise KeyError(name)
        return getattr(self, name)

    def __setitem__(self, name: str, value: Any) -> None:
        """Set as an attribute does."""
        setattr(self, name, value)

    def __delitem__(self, name: str) -> None:
        """Set back to the default; raises KeyError."""
        if name not in _KINDS:
            raise KeyError(name)
        setattr(self, name, copy.copy(getattr(_DEFAULTS, name)))

    def __iter__(self) -> Iterator[str]:
        """Iterate over the names."""
        return iter(self.NAMES)

    def __len__(self) -> int:
        """Return how many settings there are."""
        return len(self.NAMES)

    def __eq__(self, other: object) -> bool:
        """Compare the values."""
        return isinstance(other, Settings) and dict(self) == dict(other)

    __hash__ = None  # type: ignore[assignment]  # they change

    def read(self, source: object, namespace: str | None = None) -> None:
        """Set what ``source`` holds: a module, its name, "module:attribute", a class, a mapping.

        With ``namespace`` "CELERY", settings are the names that begin with ``CELERY_``; without,
        those in lower case (a module may hold other names, and they are left alone).  Raises
        `ImproperlyConfigured` for an unknown setting, ImportError.
        """
        found = _settings_in(source, namespace)
        for name, value in found.items():  # all of them make sense, or none is set
            if name in _KINDS:
                found[name] = checked(name, value)
            elif name in NOT_BUILT:
                raise NotImplementedError(f"setting {name!r}")
            elif without_effect(name) is None:
                raise unknown_setting(name)
        for name, value in found.items():
            setattr(self, name, value)


Settings.NAMES = tuple(each.name for each in fields(Settings) if each.name[0] != "_")
_A_CENTURY: Final = 100 * 366 * 86_400
_LARGEST_VALUE: Final = 32 << 20
_A_LOT: Final = 1_000_000_000
_BOUNDS: Final = {
    "beat_cron_starting_deadline": (0.001, _A_CENTURY),
    "event_ring_size": (1, _A_LOT),
    "task_capture_output": (0, _LARGEST_VALUE),
    "task_default_priority": (-_A_LOT, _A_LOT),
    "task_max_deliveries": (1, 1_000_000),
    "task_max_arguments_size": (0, _LARGEST_VALUE),
    "result_max_size": (0, _LARGEST_VALUE),
    "queue_busy_timeout": (0.01, 86_400),
    "task_soft_time_limit": (0.001, _A_CENTURY),
    "task_time_limit": (0.001, _A_CENTURY),
    "visibility_timeout": (0.1, 86_400),
    "worker_max_memory_per_child": (1, _A_LOT),
    "worker_max_tasks_per_child": (1, _A_LOT),
    "worker_proc_alive_timeout": (0.1, 86_400),
}
_CHOICES: Final = {
    "durability": ("full", "process"),
    "worker_pool_start_method": ("", "fork", "forkserver", "spawn"),
    "worker_redirect_stdouts_level": ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"),
}
_KINDS: Final = {each.name: str(each.type) for each in fields(Settings) if each.name[0] != "_"}
_NO_END: Final = frozenset({"result_expires", "result_failure_expires"})


def load_settings(
    given: Mapping[str, Any], environment: Mapping[str, str] = os.environ
) -> Settings:
    """Build the settings: environment over ``given`` over defaults.

    Raises `ImproperlyConfigured` for an unknown name or a value of the wrong type.
    """
    settings = Settings()
    for name, kind in _KINDS.items():
        text = environment.get(ENVIRONMENT_PREFIX + name.upper())
        if text is not None and (kind != "Any" or name == "timezone"):
            setattr(settings, name, text)
            settings._fixed |= {name}
    settings.update(given)
    return settings


def checked(name: str, value: object) -> Any:
    """Return ``value`` as the setting ``name`` holds it; raises `ImproperlyConfigured`."""
    kind = _KINDS[name]
    if value is None and name in _NO_END:  # Celery's None: never
        return float(_A_CENTURY)
    if kind == "Any" or (value is None and kind.endswith("| None")):
        return _as_it_is(name, value)
    if isinstance(value, timedelta) and kind.startswith("float"):
        value = value.total_seconds()
    convert, words = _TYPES[kind.removesuffix(" | None")]
    try:
        converted: Any = convert(value)
    except (TypeError, ValueError) as error:
        if name == "security_key":  # it may hold one that is right; so may the cause
            raise ImproperlyConfigured(f"{name} is {words}, not what was given") from None
        raise ImproperlyConfigured(f"{name} is {words}, not {value!r}") from error
    if name == "worker_redirect_stdouts_level":
        converted = converted.upper()
    choices = _CHOICES.get(name)
    if choices is not None and converted not in choices:
        listed = " or ".join(f'"{each}"' for each in choices)
        raise ImproperlyConfigured(f"{name} is {listed}, not {value!r}")
    least, most = _BOUNDS.get(name, (0, _A_CENTURY))
    if isinstance(converted, int | float) and not least <= converted <= most:
        raise ImproperlyConfigured(f"{name} is between {least:,} and {most:,}, not {value}")
    if name in _NO_END and not converted:  # Celery's 0: never
        return float(_A_CENTURY)
    return converted


def _as_it_is(name: str, value: object) -> object:
    """Return a value that is kept as it was given; a time zone must exist."""
    if name != "timezone" or not isinstance(value, str):
        return value
    from zoneinfo import ZoneInfo

    try:
        ZoneInfo(value)
    except (KeyError, ValueError, OSError) as error:
        more = '; a schedule may say tz="local"' if value == "local" else ""
        raise ImproperlyConfigured(
            f"timezone {value!r} is not in this machine's time zone database; say it as "
            f'"Europe/Berlin", or None for where this machine is{more}'
        ) from error
    return value


def _to_int(value: Any) -> int:
    if isinstance(value, bool) or (isinstance(value, float) and not value.is_integer()):
        raise ValueError
    return int(value)


def _to_float(value: Any) -> float:
    if isinstance(value, bool):
        raise TypeError
    return float(value)


def _to_bool(value: Any) -> bool:
    if isinstance(value, str) and value.lower() in _YES | _NO:
        return value.lower() in _YES
    if not isinstance(value, bool | int):
        raise TypeError
    return bool(value)


def _to_str(value: Any) -> str:
    if not isinstance(value, str | os.PathLike):
        raise TypeError
    return str(os.fspath(value))


def _to_tuple(value: Any) -> tuple[str, ...]:
    if isinstance(value, bytes):
        value = value.decode()
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    items = sorted(value) if isinstance(value, set | frozenset) else value
    return tuple(_to_str(item.decode() if isinstance(item, bytes) else item) for item in items)


_TYPES: Final = {
    "int": (_to_int, "an int"),
    "float": (_to_float, "a float"),
    "bool": (_to_bool, "true or false"),
    "str": (_to_str, "a str"),
    "tuple[str, ...]": (_to_tuple, "a list of texts"),
}


def unknown_setting(name: str) -> ImproperlyConfigured:
    """Return the error for a setting that nobody has, with the nearest one."""
    return ImproperlyConfigured(
        f"no setting {name!r}{did_you_mean(name, _KINDS)}; "
        f"the settings are {', '.join(sorted(_KINDS))}"
    )


def _settings_in(source: object, namespace: str | None) -> dict[str, Any]:
    if isinstance(source, str):
        source = _import(source)
    if source is None or isinstance(source, bytes | int | float | list | tuple | set):
        raise ImproperlyConfigured(
            f"settings come from a module, a class or a mapping, not {source!r}"
        )
    if isinstance(source, Mapping):
        found = {str(name): value for name, value in source.items()}
    else:
        found = {name: getattr(source, name) for name in dir(source) if name[0] != "_"}
    if namespace:
        prefix = namespace.rstrip("_") + "_"
        return {
            name[len(prefix) :].lower(): value
            for name, value in found.items()
            if name.startswith(prefix)
        }
    old = next((name for name in found if name.startswith("CELERY_")), None)
    if old is not None:
        raise ImproperlyConfigured(
            f'{old} is a name with a prefix: say config_from_object(..., namespace="CELERY")'
        )
    if isinstance(source, Mapping):
        return found
    return {name: value for name, value in found.items() if _looks_like_a_setting(name)}


_HEADS: Final = frozenset(
    ["accept", "beat", "event", "queue", "result", "security", "task", "worker"]
)


def _looks_like_a_setting(name: str) -> bool:
    """Tell settings from a module's other names, such as what it imported; typing errors too."""
    head, underscore, _ = name.partition("_")
    return (
        name in _KINDS
        or name in NOT_BUILT
        or without_effect(name) is not None
        or (bool(underscore) and head in _HEADS)
    )


def _import(name: str) -> object:
    module, _, attribute = name.partition(":")
    try:
        found: object = importlib.import_module(module)
    except ModuleNotFoundError as error:
        head, _, tail = module.rpartition(".")
        if attribute or not head or error.name != module:
            raise
        found, attribute = importlib.import_module(head), tail  # "module.Class"
        if not hasattr(found, tail):
            raise error from None
    for part in filter(None, attribute.split(".")):
        found = getattr(found, part)
    return found


_DEFAULTS: Final = Settings()
