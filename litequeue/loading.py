"""Names to modules and back: how tasks are named, how modules of tasks are found and imported."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable, Iterable
from importlib.util import find_spec
from typing import Any


def default_name(function: Callable[..., Any]) -> str:
    """Return "module.function", as Celery does."""
    return f"{importable(function.__module__)}.{function.__name__}"


def type_name(cls: type) -> str:
    """Return the name by which a class is known in payloads, the same in every process."""
    return f"{importable(cls.__module__)}.{cls.__qualname__}"


def importable(module: str) -> str:
    """Return the name under which another process imports ``module``.

    A script that was run as a program is named by its file's stem, so that a worker finds what it
    defines under the name it was sent with.
    """
    if module != "__main__":
        return module
    main = sys.modules["__main__"]
    spec = getattr(main, "__spec__", None)
    file: str | None = getattr(main, "__file__", None)
    if spec is not None and spec.name != "__main__":
        return str(spec.name).removesuffix(".__main__")
    if file is not None:
        name: str = os.path.basename(file)  # noqa: PTH119 - pathlib takes 5 ms to import
        return name.removesuffix(".py")
    return module


def attribute_of(value: object, module: str) -> str | None:
    """Return "module:name" for a global of a module, None where no name leads to ``value``."""
    found = sys.modules.get(module)
    for name, candidate in vars(found).items() if found is not None else ():
        if candidate is value and not name.startswith("_"):
            where = importable(module)
            return None if where == "__main__" else f"{where}:{name}"
    return None


def import_related(packages: Iterable[str], related_name: str | None) -> list[Any]:
    """Import ``package.related_name`` of each package that has one; return the modules.

    What such a module fails to import is raised: only its own absence is none of our business.
    """
    modules = []
    for package in packages:
        found = importlib.import_module(package)
        if not related_name:
            modules.append(found)
            continue
        name = f"{package}.{related_name}"
        if hasattr(found, "__path__") and find_spec(name) is not None:
            modules.append(importlib.import_module(name))
    return modules
