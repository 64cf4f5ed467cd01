"""What several modules share."""

# mypy: ignore-errors


def shout(text):
    return text.upper() + "!" * __opts__.get("textkit.marks", 1)
