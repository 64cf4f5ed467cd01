"""States, which Salt itself applies: the functions here run the salt-call of a Salt that is installed on this machine.

It works as this minion: with its id, key and master, so files and pillar come from there, its grains, and a cache of
its own, CACHE/salt-call. Without Salt every function says what is missing."""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import re
import shutil
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from saltlite import CommandExecutionError, Execution, put, with_minion

__func_alias__ = {"apply_": "apply"}
__outputter__ = dict.fromkeys(
    """apply_ check_request highstate request run_request single sls sls_id template template_str test top""".split(),
    "highstate",
)

PLACES = "/usr/bin:/usr/local/bin:/opt/saltstack/salt"  # where packages put salt-call, whatever PATH says
FUNCTIONS = {  # name: what it does, the arguments of its example
    "apply_": ("Apply the states of SLS files, or the highstate without any", "webserver test=True"),
    "check_request": ("The state run that state.request has noted", ""),
    "clear_cache": ("Remove the files that states have cached", ""),
    "clear_request": ("Forget the state run that state.request has noted", ""),
    "disable": ("Forbid states until state.enable", "highstate"),
    "enable": ("Allow states again", "highstate"),
    "graph": ("The order of the states of SLS files as a graph", "webserver"),
    "high": ("Apply states that are given as high data", "'{vim: {pkg: [installed]}}'"),
    "highstate": ("Apply what the top file says for this minion", "test=True"),
    "id_exists": ("Whether SLS files have a state with this ID", "webserver-config webserver"),
    "list_disabled": ("The states that are forbidden", ""),
    "low": ("Apply one state that is given as low data", "'{state: pkg, fun: installed, name: vi}'"),
    "request": ("Note a state run, with what it would change, for state.run_request", "webserver"),
    "run_request": ("Do the state run that state.request has noted", ""),
    "show_highstate": ("The high data of this minion", ""),
    "show_low_sls": ("The low data of SLS files", "webserver"),
    "show_lowstate": ("The low data of this minion", ""),
    "show_sls": ("The high data of SLS files", "webserver"),
    "show_state_usage": ("Which states of which environments this minion uses", ""),
    "show_states": ("The SLS files that this minion applies", ""),
    "show_top": ("What the top file says for this minion", ""),
    "single": ("Apply one state", "pkg.installed name=vim"),
    "sls": ("Apply the states of SLS files", "webserver test=True"),
    "sls_exists": ("Whether there are these SLS files", "webserver"),
    "sls_id": ("Apply one state of SLS files by its ID", "webserver-config webserver"),
    "template": ("Apply the states of a file on this machine", "/srv/web.sls"),
    "template_str": ("Apply the states in a text", "'{vim: {pkg.installed: []}}'"),
    "test": ("Say what state.apply would change", "webserver"),
    "top": ("Apply what another top file says", "reverse_top.sls"),
}


ODD = re.compile("[#\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")  # YAML reads these as escapes only, or not as themselves


def _word(value: Any) -> str:
    """An argument as salt-call reads it: YAML, but a text with a `#` in it would keep its quotes. Keys keep their type,
    which JSON has not."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_word(key)}: {_word(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_word, value))}]"
    return ODD.sub(lambda found: f"\\u{ord(found[0]):04x}", json.dumps(value, default=str, ensure_ascii=False))


def _configuration(minion: Execution) -> Path:
    """The directory with salt-call's configuration: the minion's own files, and over them what this minion is."""
    home, conf = Path(minion.opts["cachedir"], "salt-call"), Path(minion.opts["conf_dir"])
    (home / "conf").mkdir(0o700, parents=True, exist_ok=True)
    own = {name: minion.opts[name] for name in ("id", "master", "master_port", "pki_dir")}
    own |= {"root_dir": "/", "cachedir": f"{home}/cache", "sock_dir": f"{home}/sock", "log_file": f"{home}/log"}
    own |= {name: minion.opts[name] for name in ("file_roots", "pillar_roots") if minion.local and name in minion.opts}
    own |= {"log_level_logfile": "quiet", "user": pwd.getpwuid(os.geteuid()).pw_name}
    more = [os.path.join(conf, os.path.expanduser(str(pattern))) for pattern in minion.opts["default_include"]]
    files = [f"{conf}/minion", *more, f"{home}/conf/own"]  # the later wins
    for name, data in {"own": own, "minion": {"include": files, "default_include": ""}}.items():
        put(home / "conf" / name, json.dumps(data) + "\n", sync=False)
    grains = home / "conf" / "grains"
    if not grains.is_symlink():
        grains.symlink_to(conf / "grains")
    return home / "conf"


def _is_ours(program: str) -> bool:
    """Whether a program is saltlite itself, by a link of Salt's name: this file, or another zipapp with it inside."""
    real = os.path.realpath(program)
    if os.path.basename(real) == "saltlite.py":
        return True
    with contextlib.suppress(OSError, zipfile.BadZipFile), zipfile.ZipFile(real) as archive:
        return "saltlite.py" in archive.namelist()
    return False


def _salt_call(given: str) -> str | None:
    """The path of Salt's own salt-call: the one that is `given`, else the first in PATH, or where packages put it."""
    places = f"{os.environ.get('PATH', '')}:{PLACES}".split(":")
    found = [given] if given else [shutil.which("salt-call", path=place) for place in places if place]
    return next((program for program in found if program and not _is_ours(program)), None)


def _call(minion: Execution, fun: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """The return of one function of salt-call, whose retcode becomes the job's."""
    given = minion.opts["salt_call"]
    program = _salt_call(given)
    if not program or not os.access(program, os.X_OK):
        ours = " but as a link to saltlite" if given and not program else ""
        where = f"the option salt_call names {given}, which" if given else "a salt-call in PATH (option salt_call)"
        sentence = f"{fun} needs Salt on this machine, and {where} is not there{ours}: Salt itself applies states."
        raise CommandExecutionError(sentence)
    words = [_word(arg) for arg in args]
    words += [f"{name}={_word(value)}" for name, value in kwargs.items() if not name.startswith("__")]
    command = [program, "-c", str(_configuration(minion)), "--out=json", "--out-indent=-1", "--retcode-passthrough"]
    command += ["--local"] * minion.local
    command += ["--no-return-event", "--no-color", "--log-level=error", "--", fun, *words]
    # a bundled interpreter must not meet the modules of the one that runs the minion
    env = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, env=env, check=False)
    try:
        ret = json.loads(done.stdout)["local"]
    except (ValueError, KeyError, TypeError):
        said = (done.stderr or done.stdout).decode(errors="replace").strip()[-2000:]
        raise CommandExecutionError(f"{program} ended with exit code {done.returncode}: {said}") from None
    minion.context["retcode"] = done.returncode
    return ret


def _function(name: str, sentence: str, example: str) -> Callable[..., Any]:
    fun = f"state.{name.rstrip('_')}"

    def function(minion: Execution, /, *args: Any, **kwargs: Any) -> Any:
        return _call(minion, fun, args, kwargs)

    function.__doc__ = f"{sentence}.\n\nCLI Example: salt '*' {fun} {example}".rstrip()
    return with_minion(function)


globals().update({name: _function(name, *row) for name, row in FUNCTIONS.items()})
