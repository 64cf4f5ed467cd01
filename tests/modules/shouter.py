"""Uses a utility module."""

# ruff: noqa: F821
# mypy: ignore-errors


def shout(text):
    return __utils__["textkit.shout"](text)
