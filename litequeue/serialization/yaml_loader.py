"""PyYAML's safe loader without the parts that let a short text take for ever."""

from __future__ import annotations

from typing import Any, Final

import yaml

_LONGEST_NUMBER: Final = 400
"""Characters; a float of JSON has at most 24, while base 60 takes the square of its length."""


class Loader(yaml.SafeLoader):
    """Loads plain values; no aliases (one line of them can stand for billions of values)."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        """Return the next node; raises YAMLError for an alias or an endless number."""
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("aliases are not taken")
        node = super().compose_node(parent, index)
        if (
            isinstance(node, yaml.ScalarNode)
            and node.tag.endswith((":int", ":float"))
            and len(node.value) > _LONGEST_NUMBER
        ):
            raise yaml.YAMLError("a number is too long")
        return node
