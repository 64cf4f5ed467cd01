"""Versions, and what goes away with one, by the names of Salt 3008's salt.utils.versions.

Version, StrictVersion, parse and Requirement stand on the package `packaging`, and need it on this machine."""

from __future__ import annotations

import collections
import datetime
import importlib
import logging
import operator
import os
import re
import sys
import warnings
from collections.abc import Callable
from typing import Any

from salt.utils.decorators import PAST
from saltlite import SALT_VERSION

log = logging.getLogger(__name__)

COMPARISONS = {"<": (-1,), "<=": (-1, 0), "==": (0,), ">=": (0, 1), ">": (1,), "!=": (-1, 1)}
YEARS = [(2014, 1), (2014, 7), (2015, 5), (2015, 8), (2016, 3), (2016, 11), (2017, 7), (2018, 3), (2019, 2)]
FIRST_NUMBER = 3000  # of the release after those
FIRST_WITH_POINT = 3006  # releases since this one have a point in any case
NAMES = (
    PAST
    + """
    Potassium Calcium Scandium Titanium Vanadium Chromium Manganese Iron Cobalt Nickel Copper Zinc Gallium
    Germanium Arsenic Selenium Bromine Krypton Rubidium Strontium Yttrium Zirconium Niobium Molybdenum
    Technetium Ruthenium Rhodium Palladium Silver Cadmium Indium Tin Antimony Tellurium Iodine Xenon Cesium
    Barium Lanthanum Cerium Praseodymium Neodymium Promethium Samarium Europium Gadolinium Terbium Dysprosium
    Holmium Erbium Thulium Ytterbium Lutetium Hafnium Tantalum Tungsten Rhenium Osmium Iridium Platinum Gold
    Mercury Thallium Lead Bismuth Polonium Astatine Radon Francium Radium Actinium Thorium Protactinium Uranium
    Neptunium Plutonium Americium Curium Berkelium Californium Einsteinium Fermium Mendelevium Nobelium
    Lawrencium Rutherfordium Dubnium Seaborgium Bohrium Hassium Meitnerium Darmstadtium Roentgenium Copernicium
    Nihonium Flerovium Moscovium Livermorium Tennessine Oganesson""".split()
)
RELEASES = [*YEARS, *((FIRST_NUMBER + n,) for n in range(len(NAMES) - len(YEARS)))]


def _packaging() -> Any:
    """The package whose versions are ordered by Python's own rules; ImportError says that it is not there."""
    try:
        return importlib.import_module("packaging.version")
    except ImportError:
        raise ImportError("salt.utils.versions needs the package packaging for this, on this machine") from None


def parse(version: str) -> Any:
    """A version by Python's own rules."""
    return _packaging().parse(version)


def _against(how: str) -> Callable[[Any, Any], Any]:
    def compared(self: Any, other: Any) -> Any:
        return getattr(_packaging().Version, how)(self, type(self)(other) if isinstance(other, str) else other)

    return compared


def __getattr__(name: str) -> Any:
    """Version and StrictVersion, which can be held against texts, are made when they are asked for."""
    if name not in ("Version", "StrictVersion"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    base = _packaging().Version
    compared = {how: _against(how) for how in ("__lt__", "__le__", "__eq__", "__ge__", "__gt__", "__ne__")}
    made = type(name, (base,), {**compared, "__hash__": base.__hash__, "__module__": __name__})
    globals()[name] = made
    return made


class LooseVersion:
    """A version of any form: its numbers and its words, from left to right."""

    def __init__(self, vstring: str | None = None) -> None:
        if vstring:
            self.parse(vstring)

    def parse(self, vstring: str) -> None:
        parts = [part for part in re.split(r"(\d+|[a-z]+|\.)", vstring) if part and part != "."]
        self.vstring = vstring
        self.version: list[Any] = [int(part) if part.isdecimal() else part for part in parts]

    def __str__(self) -> str:
        return self.vstring

    def __repr__(self) -> str:
        return f"LooseVersion ('{self}')"

    def _cmp(self, other: Any) -> Any:
        """-1, 0 or 1. Where a word is in one of the two, numbers are words of eight digits."""
        if isinstance(other, str):
            other = type(self)(other)
        if not isinstance(other, LooseVersion):
            return NotImplemented
        sides: list[list[Any]] = [self.version, other.version]
        if any(isinstance(part, str) for side in sides for part in side):
            sides = [[part if isinstance(part, str) else str(part).zfill(8) for part in side] for side in sides]
        return (sides[0] > sides[1]) - (sides[0] < sides[1])

    def _is(self, other: Any, oper: str) -> Any:
        compared = self._cmp(other)
        return compared if compared is NotImplemented else compared in COMPARISONS[oper]

    def __eq__(self, other: object) -> Any:
        return self._is(other, "==")

    def __lt__(self, other: Any) -> Any:
        return self._is(other, "<")

    def __le__(self, other: Any) -> Any:
        return self._is(other, "<=")

    def __gt__(self, other: Any) -> Any:
        return self._is(other, ">")

    def __ge__(self, other: Any) -> Any:
        return self._is(other, ">=")


def version_cmp(pkg1: Any, pkg2: Any, ignore_epoch: bool = False) -> int | None:
    """-1, 0 or 1, as the first is lower than the second, the same or higher; None if it cannot be said."""
    one, other = (
        str(each).partition(":")[2] if ignore_epoch and ":" in str(each) else str(each) for each in (pkg1, pkg2)
    )
    try:
        compared: int = LooseVersion(one)._cmp(LooseVersion(other))
    except Exception as error:  # an empty text has no version
        log.exception(error)
        return None
    return compared


def compare(ver1: Any = "", oper: str = "==", ver2: Any = "", cmp_func: Any = None, ignore_epoch: bool = False) -> bool:
    """Whether `ver1 oper ver2`, by LooseVersion or by another function of two versions."""
    if oper not in COMPARISONS:
        log.error("Invalid operator '%s' for version comparison", oper)
        return False
    compared = (cmp_func or version_cmp)(ver1, ver2, ignore_epoch=ignore_epoch)
    if compared is None:
        return False
    if not isinstance(compared, int):
        log.error("The version comparison function did not return an integer/long.")
        return False
    return (compared > 0) - (compared < 0) in COMPARISONS[oper]


# What goes away with a release, or on a day


def _numbers(version: Any) -> tuple[int, ...]:
    """A release by its name, number or numbers; RuntimeError for what is none."""
    if isinstance(version, str):
        named = {name.lower(): release for name, release in zip(NAMES, RELEASES, strict=True)}
        if version.lower() not in named:
            raise RuntimeError(
                "Incorrect spelling for the release name in the warn_utils call. Expecting one of these release names: "
                f"{NAMES}"
            )
        return named[version.lower()]
    if isinstance(version, int | tuple):
        return (version,) if isinstance(version, int) else version
    raise RuntimeError("The 'version' argument should be passed as a tuple, integer or string, the name of a release.")


def _formatted(release: tuple[int, ...]) -> str:
    """A release as one reads it: `3009.0 (Potassium)`."""
    wanted = release[:2] if release[0] < FIRST_NUMBER else release[:1]
    shown = [*release[: len(wanted) + 1], *[0] * (release[0] < FIRST_NUMBER or release[0] >= FIRST_WITH_POINT)]
    text = ".".join(map(str, shown[: len(wanted) + 1]))
    return f"{text} ({NAMES[RELEASES.index(wanted)]})" if wanted in RELEASES else text


def _place(level: int) -> str:
    """Who has called the function that asks, so many levels above it."""
    caller = sys._getframe(level)
    return f"filename '{caller.f_code.co_filename}', line number {caller.f_lineno}"


def _told(overdue: str, message: str, category: Any, stacklevel: int, silent: bool) -> None:
    """A warning, and on stderr that it has outlived itself (RAISE_DEPRECATIONS_RUNTIME_ERRORS=1: a RuntimeError)."""
    if overdue and os.environ.get("RAISE_DEPRECATIONS_RUNTIME_ERRORS", "0") == "1":
        raise RuntimeError(overdue)
    if overdue:
        print(f"\n{overdue}", file=sys.stderr, flush=True)
    if not silent and os.environ.get("PYTHONWARNINGS") != "ignore":
        warnings.warn(message, category, stacklevel=stacklevel + 1)


def warn_until(
    version: Any,
    message: str,
    category: Any = DeprecationWarning,
    stacklevel: int | None = None,
    _version_info_: Any = None,
    _dont_call_warnings: bool = False,
) -> None:
    """A warning of something that goes away with a release, whose name `{version}` is in the message."""
    level = stacklevel or 2
    release, current = _numbers(version), tuple(_version_info_ or map(int, SALT_VERSION.split(".")))
    overdue = current >= release and (
        f"The warning triggered on {_place(level)}, is supposed to be shown until version {_formatted(release)} is "
        f"released. Current version is now {_formatted(current)}. Please remove the warning."
    )
    message = message.format(version=_formatted(release))
    _told(overdue or "", message, category, level, _dont_call_warnings)


def warn_until_date(
    date: Any,
    message: str,
    category: Any = DeprecationWarning,
    stacklevel: int | None = None,
    _current_date: Any = None,
    _dont_call_warnings: bool = False,
) -> None:
    """A warning of something that goes away on a day (a date, or 20300131); `{date}` and `{today}` are in the
    message."""
    if not isinstance(date, str | datetime.date):
        raise RuntimeError("The 'date' argument should be passed as a date, a datetime or a text such as 20300131.")
    day = datetime.datetime.strptime(date, "%Y%m%d") if isinstance(date, str) else date
    day = day.date() if isinstance(day, datetime.datetime) else day
    today = _current_date or datetime.datetime.now(datetime.timezone.utc).date()
    level = stacklevel or 2
    message = message.format(date=day.isoformat(), today=today.isoformat())
    overdue = today >= day and (
        f"{message} This warning(now exception) triggered on {_place(level)}, is supposed to be shown until "
        f"{day.isoformat()}. Today is {today.isoformat()}. Please remove the warning."
    )
    _told(overdue or "", message, category, level, _dont_call_warnings)


def kwargs_warn_until(
    kwargs: Any,
    version: Any,
    category: Any = DeprecationWarning,
    stacklevel: int | None = None,
    _version_info_: Any = None,
    _dont_call_warnings: bool = False,
) -> None:
    """The same of keyword arguments that a function no longer heeds."""
    if not isinstance(version, tuple | str):
        raise RuntimeError("The 'version' argument should be passed as a tuple or a string, the name of a release.")
    release, current = _numbers(version), tuple(_version_info_ or map(int, SALT_VERSION.split(".")))
    if not kwargs and current < release:
        return
    names = ", ".join(f"'{name}'" for name in kwargs)
    number = _formatted(release).partition(" ")[0]
    message = f"The following parameter(s) have been deprecated and will be removed in '{number}': {names}."
    warn_until(version, message, category, stacklevel or 3, _version_info_, _dont_call_warnings)


# Packages that others need


def check_boto_reqs(
    boto_ver: Any = None,
    boto3_ver: Any = None,
    botocore_ver: Any = None,
    check_boto: bool = True,
    check_boto3: bool = True,
) -> Any:
    """True if the packages for AWS are there and new enough, else False and why not."""
    wanted = [("boto", boto_ver or "2.0.0", ".")] * (check_boto is True)
    if check_boto3 is True:
        wanted += [("boto3", boto3_ver or "1.2.6", "."), ("botocore", botocore_ver or "1.3.23", "")]
    for name, version, dot in wanted:
        module = default_module_getter(name)
        if not module or version_cmp(module.__version__, version) == -1:
            return False, f"A minimum version of {name} {version} is required{dot}"
    return True


class RequirementNotRegistered(AttributeError):
    """A package that `reqs` does not know."""


Getters = collections.namedtuple("Getters", "module_getter, version_getter")


def default_version_getter(module: Any) -> Any:
    """The version that a module says it has; Exception if it says nothing."""
    version = getattr(module, "version", getattr(module, "__version__", None))
    if version is None:
        raise Exception("Version info not found")
    return ".".join(map(str, version)) if isinstance(version, tuple) else version


def default_module_getter(name: str) -> Any:
    """A module; None if it is not there."""
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


def msgpack_module_getter(name: str) -> Any:
    return default_module_getter("msgpack") or default_module_getter("msgpack_pure")


class Requirement:
    """A package that may be there: true if it is, and held against versions."""

    def __init__(
        self,
        name: str,
        module_getter: Any = default_module_getter,
        version_getter: Any = default_version_getter,
        has_depend: bool | None = None,
        version: Any = None,
    ) -> None:
        self.name, self.module_getter, self.version_getter = name, module_getter, version_getter
        self.has_depend, self.version = has_depend, version
        self.populate()

    @property
    def module(self) -> Any:
        return self.module_getter(self.name)

    def populate(self) -> None:
        """Look whether it is there, unless that was said."""
        if self.has_depend is None:
            module = self.module
            self.has_depend = bool(module)
            self.version = self.version_getter(module) if module else self.version

    def __bool__(self) -> bool:
        return bool(self.has_depend)

    def _is(self, other: Any, how: Callable[[Any, Any], bool], absent: bool = False) -> bool:
        """Whether its version compares so with another, given as a text or as numbers; `absent` if it is not there."""
        if not self.has_depend:
            return absent
        texts = (
            ".".join(map(str, each)) if isinstance(each, list | tuple) else str(each) for each in (self.version, other)
        )
        return how(*map(parse, texts))

    def __eq__(self, other: object) -> bool:
        return self._is(other, operator.eq)

    def __ne__(self, other: object) -> bool:
        return self._is(other, operator.ne, True)

    def __lt__(self, other: Any) -> bool:
        return self._is(other, operator.lt)

    def __le__(self, other: Any) -> bool:
        return self._is(other, operator.le)

    def __gt__(self, other: Any) -> bool:
        return self._is(other, operator.gt)

    def __ge__(self, other: Any) -> bool:
        return self._is(other, operator.ge)


DEPS_MAP = {"msgpack": Getters(msgpack_module_getter, None), "gnupg": Getters(None, None)}


class Requirements:
    """The packages of a table, each looked for when it is asked for."""

    def __init__(self, deps_map: Any = None) -> None:
        self.deps_map = DEPS_MAP if deps_map is None else deps_map
        self._cached_reqs: dict[str, Requirement] = {}

    def clear(self) -> None:
        """Forget what was found."""
        self._cached_reqs = {}

    def __getattr__(self, val: str) -> Requirement:
        if val not in self.deps_map:
            raise RequirementNotRegistered(f"Unknown dependency: {val}")
        if val not in self._cached_reqs:
            module_getter, version_getter = self.deps_map[val]
            getters = module_getter or default_module_getter, version_getter or default_version_getter
            self._cached_reqs[val] = Requirement(val, *getters)
        return self._cached_reqs[val]


reqs = Requirements()
