"""What is asked for twice is computed once."""

# mypy: ignore-errors


def answer():
    if "memo.count" not in __context__:
        __context__["memo.count"] = 0
    __context__["memo.count"] += 1
    return __context__["memo.count"]


def twice():
    return [__salt__["memo.answer"](), answer()]
