"""Fixtures of the tests that run in memory; the live ones bring their own (live.py)."""

import pytest


@pytest.fixture
def site(tmp_path):
    """A master on a real tree, without sockets and clock, and minions to speak with it."""
    from in_memory import Site  # not earlier: it makes RSA keys

    return Site(tmp_path)
