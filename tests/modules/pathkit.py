"""Written with what stands in for Salt's library."""

# mypy: ignore-errors

import salt.utils.dictupdate
import salt.utils.json
import salt.utils.odict
import salt.utils.path
import salt.utils.platform
from salt.exceptions import CommandNotFoundError


def call(module, function, *args, **kwargs):
    own = {name: value for name, value in kwargs.items() if not name.startswith("__")}
    return getattr(getattr(salt.utils, module), function)(*args, **own)


def missing(command):
    try:
        salt.utils.path.check_or_die(command)
    except CommandNotFoundError as error:
        return str(error)


def ordered():
    found = salt.utils.odict.DefaultOrderedDict(list)
    found["b"].append(1)
    found["a"].append(2)
    return list(found.copy().items())
