"""YAML as Salt reads and writes it, by the names of Salt 3008's salt.utils.yaml.

What is read has the bounds of all YAML here: deep nesting, long numbers and merge keys that swell are errors."""

from __future__ import annotations

import collections
from typing import Any

import yaml
from yaml import YAMLError as YAMLError
from yaml import parser as parser
from yaml import scanner as scanner
from yaml.constructor import ConstructorError

from salt.utils.odict import HashableOrderedDict
from saltlite import safe_yaml, yaml_loader

Base: Any = yaml_loader()
Safe: Any = safe_yaml("Dumper")
Full: Any = getattr(yaml, "CDumper", yaml.Dumper)


class SaltYamlSafeLoader(Base):
    """The loader: dates stay texts, 010 is ten, a key may not stand twice. `dictclass` is what maps become."""

    def __init__(self, stream: Any, dictclass: Any = dict) -> None:
        text = stream.read() if hasattr(stream, "read") else stream
        super().__init__(text.decode() if isinstance(text, bytes) else text)
        self.dictclass = dictclass

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        try:
            return super().construct_mapping(node, deep)
        except ConstructorError:
            raise
        except YAMLError as error:
            raise ConstructorError(None, None, str(error), node.start_mark) from None

    def construct_yaml_map(self, node: Any) -> Any:
        made = self.dictclass()
        yield made
        made.update(self.construct_mapping(node))

    def construct_unicode(self, node: Any) -> Any:
        return node.value


for _kind in ("map", "omap"):
    _plain = Base.yaml_constructors[f"tag:yaml.org,2002:{_kind}"]

    def _construct(loader: Any, node: Any, plain: Any = _plain) -> Any:
        return plain(loader, node) if loader.dictclass is dict else loader.construct_yaml_map(node)

    SaltYamlSafeLoader.add_constructor(f"tag:yaml.org,2002:{_kind}", _construct)
SaltYamlSafeLoader.add_constructor("tag:yaml.org,2002:python/unicode", SaltYamlSafeLoader.construct_unicode)


def load(stream: Any, Loader: Any = SaltYamlSafeLoader) -> Any:
    """Data of a text, bytes or an open file; None for nothing; YAMLError."""
    return yaml.load(stream, Loader=Loader)


safe_load = load


class IndentMixin(Full):
    """Lists in maps stand two blanks to the right of their key; the writer in C does not do it, as in Salt."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> Any:
        return super().increase_indent(flow, False)


class OrderedDumper(Full):
    """A dumper of ordered maps as plain ones."""


class SafeOrderedDumper(Safe):
    """A safe dumper of ordered maps as plain ones; what it does not know is NULL."""


class IndentedSafeOrderedDumper(IndentMixin, SafeOrderedDumper):
    """The same, with lists to the right of their key."""


def _ordered(dumper: Any, data: Any) -> Any:
    return dumper.represent_dict(list(data.items()))


for _dumper in (OrderedDumper, SafeOrderedDumper, IndentedSafeOrderedDumper):
    for _map in (collections.OrderedDict, HashableOrderedDict):
        _dumper.add_representer(_map, _ordered)
for _dumper in (OrderedDumper, SafeOrderedDumper):
    _dumper.add_representer(collections.defaultdict, _dumper.represent_dict)
SafeOrderedDumper.add_representer(None, lambda dumper, _: dumper.represent_scalar("tag:yaml.org,2002:null", "NULL"))


def get_dumper(dumper_name: str) -> Any:
    """The dumper of this name; None if there is none."""
    known = {each.__name__: each for each in (OrderedDumper, SafeOrderedDumper, IndentedSafeOrderedDumper)}
    return known.get(dumper_name)


def dump(data: Any, stream: Any = None, **kwargs: Any) -> Any:
    """Data as YAML, with letters as they are, and lists of plain values in one line."""
    return yaml.dump(data, stream, **{"allow_unicode": True, "default_flow_style": None, **kwargs})


def safe_dump(data: Any, stream: Any = None, **kwargs: Any) -> Any:
    """The same, of plain data and ordered maps; what is neither is NULL."""
    return dump(data, stream, Dumper=SafeOrderedDumper, **kwargs)
