"""From the name of an app to the app: what ``-A`` means."""

from __future__ import annotations

import importlib
from importlib.util import find_spec
from types import ModuleType
from typing import Any

from litequeue.app import LiteQueue
from litequeue.exceptions import ImproperlyConfigured, NotRegistered


def find_app(name: str) -> LiteQueue:
    """Import ``name`` ("module:attribute", or "module" with one app in it) and return the app.

    What the app wants imported with it is imported, too.  Raises ImportError, `NotRegistered` for
    a missing attribute, `ImproperlyConfigured` for something that is no app.
    """
    module_name, _, attribute = name.partition(":")
    if not all(part.isidentifier() for part in module_name.split(".")):
        raise ImproperlyConfigured(
            f"{name!r} names no module; say -A MODULE:APP, as myapp.tasks:app"
        )
    module = importlib.import_module(module_name)
    if not attribute:
        module, module_name = _module_with_app(module, module_name)
        apps = {
            key: value for key, value in vars(module).items() if issubclass(type(value), LiteQueue)
        }
        if len(set(map(id, apps.values()))) != 1:
            found = ", ".join(f"{module_name}:{key}" for key in apps) or "none"
            raise ImproperlyConfigured(
                f"which app in {module_name}? found {found}; say -A {module_name}:NAME"
            )
        attribute = next(iter(apps))
    app: Any = module
    for part in attribute.split("."):
        if not hasattr(app, part):
            raise NotRegistered(f"module {module_name!r} has no attribute {attribute!r}")
        app = getattr(app, part)
    if not isinstance(app, LiteQueue):
        raise ImproperlyConfigured(f"{name} is a {type(app).__name__}, not a LiteQueue app")
    app.import_modules()
    return app


def _module_with_app(module: ModuleType, name: str) -> tuple[ModuleType, str]:
    """Return the module of an app: itself, or a package's ``celery`` module, as Celery has it."""
    below = f"{name}.celery"
    if (
        any(issubclass(type(value), LiteQueue) for value in vars(module).values())
        or not hasattr(module, "__path__")
        or find_spec(below) is None
    ):
        return module, name
    return importlib.import_module(below), below
