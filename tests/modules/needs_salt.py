"""Written with the library of Salt."""

# mypy: ignore-errors

import salt.utils.network


def addresses():
    return salt.utils.network.ip_addrs()
