"""Roles, which stand in a grain."""

# mypy: ignore-errors

__func_alias__ = {"list_": "list", "set_": "set"}


def list_():
    """The roles of this minion."""
    return sorted(__grains__.get("roles", []))


def has(role):
    return role in __grains__.get("roles", []) or __salt__["roles.list"]() == ["all"]


def set_(*roles):
    return __salt__["grains.setval"]("roles", list(roles))


def _secret():
    return "nobody calls this from outside"
