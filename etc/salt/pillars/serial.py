"""YAML, JSON and other writings of data: how pillar's files are read, and Salt's filters that write and read them."""

from __future__ import annotations

import collections
import functools
import io
import json
import pprint
import re
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from saltlite import Failure, Lazy, packed_leaf, safe_yaml, yaml_loader

if TYPE_CHECKING:
    import markupsafe
    import yaml
    import yaml.emitter
    import yaml.representer

    emitter, representer = yaml.emitter, yaml.representer
else:
    yaml, emitter, representer = Lazy("yaml"), Lazy("yaml.emitter"), Lazy("yaml.representer")
    markupsafe = Lazy("markupsafe")

MAX_SLOW = 1 << 18  # bytes, as `weigh` counts them


class MarkedMap(dict[Any, Any]):
    """A map that is put together with another one of its place."""


class MarkedList(list[Any]):
    """A list that is put together with another one of its place."""


def is_marked(value: Any) -> bool:
    return isinstance(value, MarkedMap | MarkedList)


def marked(value: Any) -> Any:
    """The value as one that is put together with another."""
    if is_marked(value):
        return value
    return MarkedMap(value) if isinstance(value, dict) else MarkedList(value if isinstance(value, list) else [value])


def textual(value: Any) -> Any:
    """A text, or a template that was imported as one; Failure for anything else."""
    text = load_text(value)
    if not isinstance(text, str | bytes):
        raise Failure(f"a text is wanted, to be read as data, and not a {type(value).__name__}.")
    return text


def load_yaml(text: Any) -> Any:
    """The filter and tag `load_yaml`, and the renderer: data, None for nothing; YAMLError, ValueError."""
    return yaml.load(textual(text), yaml_loader())


def load_json(text: Any) -> Any:
    try:
        return json.loads(textual(text))
    except ValueError as error:
        raise Failure(f"this is not JSON: {error}.") from None


def load_text(text: Any) -> Any:
    """A block, or a file that was imported, as its text."""
    return str(text) if type(text).__name__ == "TemplateModule" else text


@functools.cache
def dumper() -> Any:
    """The dumper of the filter `yaml`: an ordered map keeps its order, what another filter has printed is a text."""

    class Dumper(safe_yaml("Dumper")):  # type: ignore[misc]
        def ordered(self, value: Any) -> Any:
            return self.represent_dict(list(value.items()))

        def text(self, value: str) -> Any:
            return self.represent_str(str.__str__(value))

    Dumper.add_representer(collections.OrderedDict, Dumper.ordered)
    Dumper.add_multi_representer(str, Dumper.text)
    return Dumper


def small(value: Any) -> Any:
    """A value that is written slowly; Failure if it is large."""
    if packed_leaf("pillars", "sandbox").weigh(value, MAX_SLOW) > MAX_SLOW:
        raise Failure(f"the filters xml and python write no more than {MAX_SLOW >> 10} KiB.")
    return value


def dumped(value: Any, flow_style: Any) -> str:
    text: str = yaml.dump(value, Dumper=dumper(), default_flow_style=flow_style, allow_unicode=True)
    return text


def to_yaml(value: Any, flow_style: bool = True) -> Any:
    """The filter `yaml`: one line, or `flow_style=False`."""
    return markupsafe.Markup(dumped(value, flow_style).strip().removesuffix("\n..."))


def to_sls_params(value: dict[Any, Any], flow_style: bool = False) -> Any:
    """A map as the list of one-key maps that a state is written with."""
    return to_yaml([{key: each} for key, each in value.items()], flow_style)


def to_json(value: Any, sort_keys: bool = True, indent: Any = None) -> Any:
    """The filter `json`."""
    return markupsafe.Markup(json.dumps(value, sort_keys=sort_keys, indent=indent, ensure_ascii=False).strip())


def tojson(value: Any, indent: Any = None, **options: Any) -> str:
    """The filter `tojson`: JSON that HTML may hold."""
    options = {"ensure_ascii": True, **options} | ({} if indent is None else {"indent": indent})
    if strange := options.keys() - {"ensure_ascii", "indent", "sort_keys", "separators"}:
        raise Failure(f"tojson takes no {', '.join(strange)}.")
    text = json.dumps(value, **options)
    return re.sub("[<>&']", lambda found: f"\\u{ord(found[0]):04x}", text)


def to_python(value: Any) -> Any:
    return markupsafe.Markup(pprint.pformat(small(value)).strip())


def scalar(style: str, text: Any) -> str:
    """A text in double or single quotes, as YAML reads it back, on one line."""
    stream = io.StringIO()
    writer = emitter.Emitter(stream, width=sys.maxsize)
    (writer.write_double_quoted if style == '"' else writer.write_single_quoted)(str(text))
    return stream.getvalue()


def yaml_encode(value: Any) -> Any:
    """One value as YAML reads it back, a text always in double quotes."""
    node = representer.SafeRepresenter().represent_data(value)
    if not isinstance(node, yaml.ScalarNode):
        raise Failure(f"yaml_encode takes a text, a number or a truth value, not a {type(value).__name__}.")
    return scalar('"', node.value) if node.tag.endswith(":str") else node.value


def inside(value: Any) -> list[tuple[Any, Any]]:
    """What of a value is an XML element of its own: pairs of a tag and what it holds."""
    if isinstance(value, Mapping):
        return list(value.items())
    if not isinstance(value, list | tuple):
        raise Failure("the filter xml takes a list or a map.")
    return list(value) if value and isinstance(value[0], str) else []


def to_xml(value: Any) -> Any:
    """The filter `xml`: the values of a map in a map are attributes, lists are elements of one tag."""
    import xml.dom.minidom
    import xml.etree.ElementTree as etree

    def grow(pairs: Any, parent: Any) -> Any:
        element = None
        for tag, held in pairs:
            if isinstance(held, list):
                for each in held:
                    grow([(tag, each)], parent)
                continue
            element = etree.Element(tag) if parent is None else etree.SubElement(parent, tag)
            if isinstance(held, str | int | float):
                element.text = str(held)
                continue
            if isinstance(held, dict):
                element.attrib = {key: str(each) for key, each in held.items() if not isinstance(each, dict | list)}
            grow([pair for pair in inside(held) if isinstance(pair[1], dict | list)], element)
        return element

    root = grow(inside(small(value)), None)
    if root is None:
        raise Failure("the filter xml finds no one element that holds all others.")
    text = etree.tostring(root)
    return markupsafe.Markup(xml.dom.minidom.parseString(text).toprettyxml(indent=" "))


FILTERS = {
    "yaml": to_yaml,
    "json": to_json,
    "tojson": tojson,
    "xml": to_xml,
    "python": to_python,
    "load_yaml": load_yaml,
    "load_json": load_json,
    "load_text": load_text,
    "dict_to_sls_yaml_params": to_sls_params,
    "yaml_encode": yaml_encode,
    "yaml_dquote": functools.partial(scalar, '"'),
    "yaml_squote": functools.partial(scalar, "'"),
}
GLOBALS = {"odict": collections.OrderedDict}
