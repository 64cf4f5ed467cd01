"""What is called with real Salt and with saltlite: a file for each daily module. See tests/functions.py."""


def stays(place: str) -> bool:
    """Whether a mount is none of those that tests/network.py, which runs beside this, makes and removes."""
    return not place.startswith("/run/netns")
