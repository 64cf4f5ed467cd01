"""A package, which imports its own parts as a neighbour would."""

from shopkit import prices

__virtualname__ = "shop"


def __virtual__():
    return __virtualname__


def price(name):
    return prices.of(name)
