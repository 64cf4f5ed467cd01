"""How full the file systems are."""

# mypy: ignore-errors

import logging
import os

log = logging.getLogger(__name__)
__virtualname__ = "disk_check"


def __virtual__():
    return True if hasattr(os, "statvfs") else (False, "there is no statvfs here")


def usage(path="/"):
    """Bytes of a file system: total, used, and used in percent.

    CLI Example:

    .. code-block:: bash

        salt '*' disk_check.usage /srv
    """
    info = os.statvfs(path)
    total, free = info.f_blocks * info.f_frsize, info.f_bavail * info.f_frsize
    log.debug("looked at %s", path)
    return {"total": total, "used": total - free, "percent": round(100 * (total - free) / (total or 1))}


def check(*paths, warn=90):
    """The paths that are fuller than `warn` percent; the job fails if there are any."""
    full = {path: used for path in paths or ("/",) if (used := usage(path)["percent"]) > warn}
    if full:
        __context__["retcode"] = 2
    return full
