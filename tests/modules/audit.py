"""Who has asked for what."""

# mypy: ignore-errors


def note(text, *args, level="info", **kwargs):
    """The text with all that the job says of itself."""
    who = {name: value for name, value in kwargs.items() if name.startswith("__pub_")}
    rest = {name: value for name, value in kwargs.items() if not name.startswith("__")}
    return {"text": text, "args": list(args), "level": level, "who": who, "rest": rest}
