"""Fixtures of the tests that run in memory; the live ones bring their own (live.py)."""

import gc
import signal

import hypothesis
import pytest
from promises import table

hypothesis.settings.register_profile("saltlite", deadline=None)  # how long one example takes says nothing here
hypothesis.settings.load_profile("saltlite")

signal.signal(signal.SIGINT, signal.default_int_handler)  # who runs in the background ignores it, and so would children


@pytest.fixture
def site(tmp_path):
    """A master on a real tree, without sockets and clock, and minions to speak with it."""
    from in_memory import Site  # not earlier: it makes RSA keys

    return Site(tmp_path)


@pytest.fixture
def compiled(tmp_path):
    """The pillar that a minion gets of files, and of options of the master."""
    from roots import Roots

    def compiled(files, opts=None, **load):
        return Roots(tmp_path, files, **opts or {}).pillar(**load)

    return compiled


def pytest_collection_modifyitems(items):
    """Files whose tests start daemons come first: these wait now and then, and the last of all should be short."""
    items.sort(key=lambda item: not hasattr(item.module, "running_master"))


def pytest_collection_finish():
    """What was collected stays, so no test waits while the garbage collector goes through it."""
    gc.freeze()


def pytest_terminal_summary(terminalreporter):
    """What came of each promise: promises.py."""
    if lines := table(terminalreporter.stats):
        terminalreporter.section("promises")
        for line in lines:
            terminalreporter.write_line(line)
