"""-V, --versions-report: what a report of a fault should say of this program and what it runs on."""

from __future__ import annotations

import platform
import sys

from saltlite import SALT_VERSION, VERSION

PACKAGES = (
    *("cffi", "ClusterShell", "croniter", "cryptography", "distro", "Jinja2", "msgpack", "psutil", "python-dateutil"),
    *("PyYAML", "pyzmq", "rich", "watchdog"),
)


def version_of(package: str) -> str:
    import importlib.metadata

    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "Not Installed"


def report() -> str:
    """The text, laid out as Salt's."""
    import distro
    import zmq

    groups = {
        "Salt Version": {"saltlite": VERSION, "speaks as Salt": SALT_VERSION},
        "Python Version": {"Python": sys.version.replace("\n", " ")},
        "Dependency Versions": {name: version_of(name) for name in PACKAGES} | {"ZMQ": zmq.zmq_version()},
        "System Versions": {
            "dist": " ".join((distro.id(), distro.version(best=True), distro.codename())).strip(),
            "machine": platform.machine(),
            "release": platform.release(),
            "system": platform.system(),
        },
    }
    return "\n\n".join(
        "\n".join([f"{title}:", *(f"{name:>16}: {version}" for name, version in lines.items())])
        for title, lines in groups.items()
    )
