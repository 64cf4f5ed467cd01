"""Raises when it is read."""

# mypy: ignore-errors

raise RuntimeError("this file is broken")
