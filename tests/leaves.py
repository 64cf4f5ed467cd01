"""The files of etc/salt that tests look into by name."""

import saltlite

FILES = saltlite.packed_leaf("requests", "files")
MINE = saltlite.packed_leaf("requests", "mine")
SCHEDULES = saltlite.packed_leaf("schedules", "minion")
ROLLOUTS = saltlite.packed_leaf("rollouts", "master")
PROCESS = saltlite.packed_leaf("pillars", "process")
APART = saltlite.packed_leaf("apart", "master")
RETURNS = saltlite.packed_leaf("returns", "master")
WRITER = saltlite.packed_leaf("watchers", "events")
PILLAR = saltlite.packed_leaf("requests", "pillar")
MINION_COMMAND = saltlite.packed_leaf("commands", "minion")
RETENTION = saltlite.packed_leaf("reports", "retention")
TERMINAL = saltlite.packed_leaf("terminal", "text")
ZEROMQ = saltlite.packed_leaf("transports", "zeromq")
EventReader = saltlite.client("EventReader")
JobFiles = saltlite.client("JobFiles")
LocalClient = saltlite.client("LocalClient")
MASTER_OPTIONS = saltlite.options_of("master")
MINION_OPTIONS = saltlite.options_of("minion")


def module(name):
    """A module file of the minion's own kind, for what its functions are made of."""
    return saltlite.read_leaf(saltlite.leaf_files("modules")[name])


def wire(**opts):
    """The whole wire surface of a master: cmd -> row."""
    brought = [saltlite.packed_leaf("requests", name).Requests(opts, None) for name in saltlite.leaf_files("requests")]
    return {cmd: row for each in brought for cmd, row in each.commands.items()}
