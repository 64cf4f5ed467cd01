"""Values that no field of a request should hold, and what a log must not."""

ODD: list[object] = [None, True, 5, -1, 2**64 - 1, 1.5, "", b"\xff", [], {}, [[]], {"a": {}}]


def untraced(caplog):
    return not [record for record in caplog.records if record.exc_info]
