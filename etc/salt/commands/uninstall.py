"""Take away what `install` has installed, and nothing else: keys, jobs, caches and changed files stay."""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import subprocess

from saltlite import EX_OK, Command, Failure, packed_leaf, say

install = packed_leaf("commands", "install")


def running(roles: list[str]) -> list[str]:
    """The units of these roles that systemd runs."""
    if not shutil.which("systemctl"):
        return []
    names = [f"salt-{role}" for role in roles]
    active = [
        subprocess.run(["systemctl", "is-active", "--quiet", name], check=False).returncode == 0 for name in names
    ]
    return [name for name, is_active in zip(names, active, strict=True) if is_active]


def main(args: argparse.Namespace) -> int:
    """Remove each file that is as it was installed, then the directories that were made for them and are empty."""
    place = install.Place(args.root, args.prefix)
    manifest = place.read()
    if not manifest["files"]:
        raise Failure(f"nothing is installed: there is no {place.at(place.manifest)}.")
    if args.root == "/" and (active := running(manifest["roles"])):
        raise Failure(f"{' and '.join(active)} still runs: `systemctl disable --now {' '.join(active)}` first.")
    would = "would be " if args.dry_run else ""
    try:
        for path, digests in sorted(manifest["files"].items(), reverse=True):
            there = install.digest_of(place.at(path))
            if place.ours(path, there, digests):
                if not args.dry_run:
                    place.at(path).unlink()
                say(f"{would}removed: {place.at(path)}")
            elif there:
                say(f"left, for it was changed: {place.at(path)}")
        if not args.dry_run:
            place.at(place.manifest).unlink()
            for path in sorted(manifest["directories"], key=len, reverse=True):
                with contextlib.suppress(OSError):  # something of yours is in it
                    os.rmdir(place.at(path))
    except PermissionError as error:
        raise Failure(f"{error.filename} cannot be removed: run this as root.") from None
    if args.root == "/" and manifest["roles"]:
        say("Next, type:\n    systemctl daemon-reload")
    return EX_OK


EXAMPLES = """
saltlite uninstall --dry-run            what would be removed
saltlite uninstall                      keys, jobs, caches and what you have changed stay
"""
COMMAND = Command("remove what install has installed", main, (install.place_arguments,), EXAMPLES)
