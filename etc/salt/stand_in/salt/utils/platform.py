"""Which system this is, by the names of Salt 3008's salt.utils.platform; here it is always Linux, and no proxy."""

from __future__ import annotations

import functools
import multiprocessing
import os
import platform
from collections.abc import Callable
from typing import Any

import distro


def real_memoize(func: Callable[..., Any]) -> Callable[..., Any]:
    """A function that remembers what it gave for the same arguments."""
    known: dict[Any, Any] = {}

    @functools.wraps(func)
    def remembered(*args: Any, **kwargs: Any) -> Any:
        key = args, tuple(sorted(kwargs.items()))
        if key not in known:
            known[key] = func(*args, **kwargs)
        return known[key]

    return remembered


def linux_distribution(full_distribution_name: bool = True) -> tuple[str, str, str]:
    """Name (or id), version and code name of the distribution."""
    name = distro.name() if full_distribution_name else distro.id()
    return name, distro.version(best=True), distro.codename()


def is_linux() -> bool:
    return True


def _never() -> bool:
    return False


is_windows = is_proxy = is_darwin = is_sunos = is_smartos = is_smartos_globalzone = is_smartos_zone = _never
is_junos = is_freebsd = is_netbsd = is_openbsd = is_aix = _never


@real_memoize
def is_fedora() -> bool:
    return linux_distribution()[0] == "Fedora"


@real_memoize
def is_photonos() -> bool:
    return linux_distribution()[0] in ("VMware Photon OS", "Photon OS")


@real_memoize
def is_aarch64() -> bool:
    return platform.machine().startswith("aarch64")


def spawning_platform() -> bool:
    """Whether a new process is made by other means than fork."""
    return multiprocessing.get_start_method() in ("spawn", "forkserver")


def get_machine_identifier() -> dict[str, str]:
    """The machine's id, as a grain."""
    for path in ("/etc/machine-id", "/var/lib/dbus/machine-id"):
        if os.path.exists(path):
            with open(path, encoding="utf-8") as file:
                return {"machine_id": file.read().strip()}
    return {}
