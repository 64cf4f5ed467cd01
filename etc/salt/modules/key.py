"""Fingerprints of this minion's key and of its master's, to be compared with what the other side shows."""

from __future__ import annotations

from saltlite import MAX_PEM, CommandExecutionError, Execution, fingerprint, read, with_minion


def _finger(minion: Execution, name: str, hash_type: str | None) -> str:
    """Of a key file beside the minion's own; '' if there is none yet, as Salt says it."""
    try:
        text = read(minion.tree.pki / name, MAX_PEM).decode("ascii", "replace")
    except FileNotFoundError:
        return ""
    try:
        return fingerprint(text, hash_type or minion.opts["hash_type"])
    except (ValueError, TypeError):
        raise CommandExecutionError(f"there is no hash {hash_type}: sha256, md5, sha1 … are wanted.") from None


@with_minion
def finger(minion: Execution, hash_type=None):
    """The fingerprint of this minion's public key, as `salt-key -f` shows it on the master.

    CLI Example:
        salt-call --local key.finger
        salt '*' key.finger hash_type=md5"""
    return _finger(minion, "minion.pub", hash_type)


@with_minion
def finger_master(minion: Execution, hash_type=None):
    """The fingerprint of the master's public key as this minion has pinned it, as `salt-key -f master.pub` shows it.

    CLI Example: salt '*' key.finger_master"""
    return _finger(minion, "minion_master.pub", hash_type)
