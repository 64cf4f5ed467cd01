"""What a minion keeps of its master: module files, grains, pillar, its key.

The functions that look at running jobs are the minion's own, for its loop answers them."""

from __future__ import annotations

import contextlib
import filecmp
import importlib.util
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from saltlite import (
    CommandExecutionError,
    Execution,
    below,
    collect_grains,
    names,
    own_kwargs,
    packed_leaf,
    pillar_load,
    put,
    with_minion,
)

in_a_sentence = packed_leaf("modules", "cp")._in_a_sentence

SYNCED = {  # saltutil.sync_NAME: the directory is salt://_KIND; in the order of saltutil.sync_all
    name: name.replace("proxymodules", "proxy")
    for name in """clouds beacons modules states sdb grains renderers returners output utils log_handlers executors
        proxymodules engines thorium serializers matchers resources""".split()
}


@with_minion
def refresh_grains(minion: Execution, refresh_pillar=True, clean_pillar_cache=False):
    """Collect the grains anew and show them to the master, which makes another pillar of them.

    CLI Example: salt '*' saltutil.refresh_grains"""
    minion.grains = collect_grains(minion.opts)
    minion.tree.put_grains(minion.grains)
    return True


@with_minion
def refresh_modules(minion: Execution, **kwargs):
    """True: every job reads the module files that are there.

    CLI Example: salt '*' saltutil.refresh_modules"""
    if unknown := [name for name in own_kwargs(kwargs) if name != "async"]:
        raise CommandExecutionError(f"There is no keyword {', '.join(unknown)}; there is async.")
    for name in ("functions", "utils"):
        vars(minion).pop(name, None)
    return True


@with_minion
def refresh_pillar(minion: Execution, wait=False, timeout=30, clean_cache=True):
    """Fetch the pillar from the master; it is there when this is done, so there is nothing to wait for.

    CLI Example: salt '*' saltutil.refresh_pillar"""
    pillar = minion.ask(pillar_load(minion.opts, minion.grains))
    if not isinstance(pillar, dict):
        raise CommandExecutionError("The master has sent no pillar, so it stays as it was.")
    if not minion.local:  # else it is not the one that the daemon has
        minion.tree.put_pillar(pillar)
    minion.pillar = pillar
    return True


pillar_refresh = refresh_pillar


def _same(one: Path, other: Path) -> bool:
    """Whether two files hold the same; False if the first is none."""
    return one.is_file() and filecmp.cmp(one, other, shallow=False)


def _barred(minion: Execution, kind: str, lists: tuple[Any, Any]) -> Callable[[str], bool]:
    """Whether the white list or the black list of a call, or else of the configuration, keeps a file from coming, by
    its name without an ending."""
    found = []
    for option, given in zip(("extmod_whitelist", "extmod_blacklist"), lists, strict=True):
        value = minion.opts[option] if given is None else {kind: given.split(",")} if isinstance(given, str) else given
        if not isinstance(value, dict):
            raise CommandExecutionError(f"{option} must be a text, or a map of kinds to lists of names.")
        found.append(value.get(kind))
    allowed, denied = found
    return lambda name: allowed is not None and name not in allowed or name in (denied or ())


def _sync(minion: Execution, kind: str, saltenv: str | list[str] | None, lists: tuple[Any, Any]) -> list[str]:
    """Make CACHE/extmods/KIND what salt://_KIND is in the environments, the later winning; gives what is new."""
    barred = _barred(minion, kind, lists)
    envs = saltenv if isinstance(saltenv, list) else str(saltenv or minion.opts["saltenv"] or "base").split(",")
    home = minion.tree.cache / "extmods" / kind
    remote: dict[Path, Path] = {}
    for env in envs:
        for name in minion.functions["cp.list_master"](env, f"_{kind}"):
            if name.startswith(f"_{kind}/") and re.search(r"\.(pyx?|so|zip)$", name):
                target = below(home, name[len(kind) + 2 :])
                if barred(".".join(target.relative_to(home).with_suffix("").parts)):
                    continue
                if place := minion.functions["cp.cache_file"](f"salt://{name}", env):
                    remote[target] = Path(place)
    with in_a_sentence(f"{home} cannot be written"):
        for path in sorted(home.rglob("*"), reverse=True):  # what is below a directory before the directory
            if path.is_dir() and not path.is_symlink():
                with contextlib.suppress(OSError):  # it is not empty
                    path.rmdir()
            elif path not in remote:  # bytecode of what was there before goes too
                path.unlink()
        changed = [target for target, place in remote.items() if not _same(target, place)]
        for target in changed:
            packed_leaf("modules", "cp")._clear_way(target, minion.tree.cache)
            put(target, remote[target].read_bytes())
            if target.suffix == ".py":  # and bytecode that PYTHONPYCACHEPREFIX keeps elsewhere
                Path(importlib.util.cache_from_source(str(target))).unlink(missing_ok=True)
    return [".".join((kind, *target.relative_to(home).with_suffix("").parts)) for target in changed]


def _sync_function(name: str, kind: str) -> Callable[..., Any]:
    def function(minion: Execution, saltenv=None, refresh=True, extmod_whitelist=None, extmod_blacklist=None):
        new = _sync(minion, kind, saltenv, (extmod_whitelist, extmod_blacklist))
        if new and refresh and kind == "grains":
            refresh_grains(minion)
        refresh_modules(minion)
        return new

    function.__doc__ = f"""Fetch the files of salt://_{kind}; gives what is new; what the master has no more goes.

    CLI Example: salt '*' saltutil.sync_{name}"""
    return with_minion(function)


globals().update({f"sync_{name}": _sync_function(name, kind) for name, kind in SYNCED.items()})


@with_minion
def sync_pillar(minion: Execution, saltenv=None, refresh=True, extmod_whitelist=None, extmod_blacklist=None):
    """Salt's way to fetch kinds of ext_pillar for a machine without a master; there are none here but the packed ones.

    CLI Example: salt '*' saltutil.sync_pillar"""
    if not minion.local:
        raise CommandExecutionError("Pillar modules can only be synced to masterless minions")
    raise CommandExecutionError("ext_pillar has its packed kinds only (cmd_yaml, cmd_json, file_tree, stack).")


@with_minion
def sync_all(minion: Execution, saltenv=None, refresh=True, extmod_whitelist=None, extmod_blacklist=None):
    """Fetch the files of all kinds, and the pillar after that; gives what is new of each kind. The lists are maps of
    kinds to names, of files that are, or are not, to come.

    CLI Example: salt '*' saltutil.sync_all"""
    lists = extmod_whitelist, extmod_blacklist
    new = {name: globals()[f"sync_{name}"](minion, saltenv, refresh, *lists) for name in SYNCED}
    if refresh:
        refresh_pillar(minion)
    return new


@with_minion
def list_extmods(minion: Execution):
    """The files that were fetched, by kind.

    CLI Example: salt '*' saltutil.list_extmods"""
    home = minion.tree.cache / "extmods"
    found = {kind: sorted({n.partition(".")[0] for n in names(home / kind)} - {"__pycache__"}) for kind in names(home)}
    return {kind: stems for kind, stems in found.items() if stems}


@with_minion
def clear_cache(minion: Execution):
    """Remove the files that were fetched; running jobs, returns on their way and the keys stay.

    CLI Example: salt '*' saltutil.clear_cache"""
    for name in ("files", "extrn_files", "localfiles", "parts", "extmods"):
        shutil.rmtree(minion.tree.cache / name, ignore_errors=True)
    return True


@with_minion
def clear_job_cache(minion: Execution, hours=24):
    """True: a minion keeps no jobs, but those whose return is on its way.

    CLI Example: salt '*' saltutil.clear_job_cache hours=12"""
    return True


@with_minion
def find_cached_job(minion: Execution, jid):
    """The return of a job that has run here, while it waits for the master.

    CLI Example: salt '*' saltutil.find_cached_job 20261123205107331456"""
    waiting = minion.tree.get_return(str(jid)) if re.fullmatch(r"\d{20}", str(jid)) else None
    return waiting or f"Job {jid} has no return here that waits for the master, which keeps all others in jobs/done."


def _signal_all(minion: Execution, function: str) -> list[str]:
    return [minion.functions[function](job["jid"]) for job in minion.tree.jobs() if job["jid"] != minion.jid]


@with_minion
def kill_all_jobs(minion: Execution):
    """Send SIGKILL to all jobs but this one, and all processes they have started.

    CLI Example: salt '*' saltutil.kill_all_jobs"""
    return _signal_all(minion, "saltutil.kill_job")


@with_minion
def term_all_jobs(minion: Execution):
    """Send SIGTERM to all jobs but this one, and all processes they have started.

    CLI Example: salt '*' saltutil.term_all_jobs"""
    return _signal_all(minion, "saltutil.term_job")


@with_minion
def regen_keys(minion: Execution):
    """Remove this minion's key pair: the next start makes another, which the master has to accept.

    CLI Example: salt '*' saltutil.regen_keys"""
    for name in ("minion.pem", "minion.pub"):
        (minion.tree.pki / name).unlink(missing_ok=True)
    return True


@with_minion
def revoke_auth(minion: Execution, preserve_minion_cache=False):
    """Have the master remove this minion's key; the return of this may not reach it any more.

    CLI Example: salt '*' saltutil.revoke_auth"""
    load = {"cmd": "revoke_auth", "id": minion.opts["id"], "preserve_minion_cache": bool(preserve_minion_cache)}
    return minion.ask(load) is True
