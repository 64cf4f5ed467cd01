"""Temporary files and directories, of a name that nobody has, with modes that let nobody else in."""

from __future__ import annotations

import os
import tempfile

from salt.exceptions import CommandExecutionError


def dir(suffix="", prefix="tmp", parent=None, test=False):
    """Make a directory; its name.

    suffix, prefix
        how the name ends and begins
    parent
        the directory to make it in; without: that for temporary files
    test
        True: say what would be made

    CLI Example: salt '*' temp.dir prefix='mytemp-' parent=/var/run/"""
    if test:
        return f"Would make a directory {os.path.join(parent or tempfile.gettempdir(), f'{prefix}…{suffix}')}."
    try:
        return tempfile.mkdtemp(suffix, prefix, parent)
    except OSError as error:
        raise CommandExecutionError(f"{parent or tempfile.gettempdir()}: {error.strerror}") from None


def file(suffix="", prefix="tmp", parent=None, test=False):
    """Make an empty file; its name.

    suffix, prefix
        how the name ends and begins
    parent
        the directory to make it in; without: that for temporary files
    test
        True: say what would be made

    CLI Example: salt '*' temp.file prefix='mytemp-' parent=/var/run/"""
    if test:
        return f"Would make a file {os.path.join(parent or tempfile.gettempdir(), f'{prefix}…{suffix}')}."
    try:
        descriptor, name = tempfile.mkstemp(suffix, prefix, parent)
    except OSError as error:
        raise CommandExecutionError(f"{parent or tempfile.gettempdir()}: {error.strerror}") from None
    os.close(descriptor)
    return name
