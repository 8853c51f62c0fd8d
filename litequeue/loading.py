"""Names to modules and back: how tasks are named, how modules of tasks are found and imported."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterable
from importlib.util import find_spec
from types import ModuleType
from typing import Any


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
        stem = name.removesuffix(".py")
        return stem if stem.isidentifier() else module
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
        found, place = _package(package)
        if not related_name:
            modules.append(found)
            continue
        name = f"{place}.{related_name}"
        if hasattr(found, "__path__") and find_spec(name) is not None:
            modules.append(importlib.import_module(name))
    return modules


def _package(name: str) -> tuple[ModuleType, str]:
    """Import a package, or the one that a class in it names, as Django's INSTALLED_APPS does."""
    try:
        return importlib.import_module(name), name
    except ModuleNotFoundError as error:
        above = name.rpartition(".")[0]
        if not above or error.name != name:
            raise
        return importlib.import_module(above), above
