"""Adds a function to a module that is there already."""

# mypy: ignore-errors

__virtualname__ = "test"


def __virtual__():
    return __virtualname__


def shout(text):
    return text.upper()
