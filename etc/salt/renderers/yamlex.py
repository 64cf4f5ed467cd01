"""The renderer `yamlex`: YAML in which a key may stand twice, `!aggregate` joins values, `!reset` forgets."""

from __future__ import annotations

import copy
import functools
from typing import TYPE_CHECKING, Any

from saltlite import Failure, Lazy, packed_leaf, yaml_loader

if TYPE_CHECKING:
    import yaml
else:
    yaml = Lazy("yaml")

serial: Any = packed_leaf("pillars", "serial")
KINDS = {"sequence": "tag:yaml.org,2002:seq", "mapping": "tag:yaml.org,2002:map"}


@functools.cache
def loader() -> Any:
    """The loader of all YAML here, with the two tags."""
    together = packed_leaf("requests", "pillar").aggregated

    class Loader(yaml_loader()):  # type: ignore[misc]
        def get_single_data(self) -> Any:
            """The whole document is aggregated."""
            node = self.get_single_node()
            return None if node is None else serial.marked(self.construct_document(node))

        def plain(self, node: Any) -> Any:
            """What a node with a tag of ours is without it."""
            node = copy.copy(node)
            node.tag = KINDS.get(node.id) or self.resolve(yaml.ScalarNode, node.value, (True, False))
            return self.construct_object(node, deep=True)

        def aggregate(self, node: Any) -> Any:
            value = self.plain(node)
            return serial.MarkedList() if value is None else serial.marked(value)

        def mapping(self, node: Any) -> Any:
            if not isinstance(node, yaml.MappingNode):
                raise yaml.YAMLError(f"line {node.start_mark.line + 1}: a map is wanted")
            self.flatten_mapping(node)
            found: dict[Any, Any] = {}
            for key_node, value_node in node.value:
                reset = key_node.tag == "!reset"
                if key_node.tag in ("!reset", "!aggregate"):
                    value_node = copy.copy(value_node)
                    value_node.tag = value_node.tag if reset else "!aggregate"
                    key = self.plain(key_node)
                else:
                    key = self.construct_object(key_node, deep=True)
                value = self.construct_object(value_node, deep=True)
                found[key] = together(found[key], value, False) if key in found and not reset else value
            return found

    Loader.add_constructor("!aggregate", Loader.aggregate)
    Loader.add_constructor("!reset", Loader.plain)
    Loader.add_constructor("tag:yaml.org,2002:map", Loader.mapping)
    return Loader


def render(pillar: Any, sls: Any, data: Any, words: str, defaults: Any) -> Any:
    """The data of a text, {} for nothing."""
    if not isinstance(data, str):
        raise Failure("the renderer yamlex wants a text: what stands before it has made data already.")
    return pillar.files.weighed(yaml.load(data, loader()) or {})
