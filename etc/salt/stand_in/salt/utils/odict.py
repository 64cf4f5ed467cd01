"""Maps that keep their order, by the names of Salt 3008's salt.utils.odict."""

from __future__ import annotations

import copy
from collections import OrderedDict
from typing import Any


class DefaultOrderedDict(OrderedDict[Any, Any]):
    """A map that makes the value of a key which is missing."""

    def __init__(self, default_factory: Any = None, *args: Any, **kwargs: Any) -> None:
        if default_factory is not None and not callable(default_factory):
            raise TypeError("first argument must be callable")
        super().__init__(*args, **kwargs)
        self.default_factory = default_factory

    def __missing__(self, key: Any) -> Any:
        if self.default_factory is None:
            raise KeyError(key)
        self[key] = value = self.default_factory()
        return value

    def __reduce__(self) -> Any:
        return type(self), (self.default_factory,) if self.default_factory else (), None, None, iter(self.items())

    def copy(self) -> DefaultOrderedDict:
        return type(self)(self.default_factory, self)

    __copy__ = copy

    def __deepcopy__(self, memo: Any = None) -> DefaultOrderedDict:
        return type(self)(self.default_factory, copy.deepcopy(list(self.items())))

    def __repr__(self) -> str:
        return f"DefaultOrderedDict({self.default_factory}, {super().__repr__()})"


class HashableOrderedDict(OrderedDict[Any, Any]):
    """A map that can be a key, as itself alone."""

    def __init__(self) -> None:
        super().__init__()

    def __hash__(self) -> int:  # type: ignore[override]
        return id(self)
