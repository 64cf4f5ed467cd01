"""One of several load balancers that go by one name."""

# mypy: ignore-errors

__virtualname__ = "lb"


def __virtual__():
    return __virtualname__ if __grains__.get("lb") == "haproxy" else (False, "the grain lb is not haproxy")


def backends():
    return ["b1", "b2"]
