"""States, which Salt itself applies: the functions here are done by the salt-call of a Salt that is installed on this
machine (elsewhere/salt_call.py). Without Salt every one says what is missing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from saltlite import Execution, packed_leaf, with_minion

__func_alias__ = {"apply_": "apply"}
__outputter__ = dict.fromkeys(
    """apply_ check_request highstate request run_request single sls sls_id template template_str test top""".split(),
    "highstate",
)

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


def _function(name: str, sentence: str, example: str) -> Callable[..., Any]:
    fun = f"state.{name.rstrip('_')}"

    def function(minion: Execution, /, *args: Any, **kwargs: Any) -> Any:
        return packed_leaf("elsewhere", "salt_call").needed(minion, fun, args, kwargs)

    function.__doc__ = f"{sentence}.\n\nCLI Example: salt '*' {fun} {example}".rstrip()
    return with_minion(function)


globals().update({name: _function(name, *row) for name, row in FUNCTIONS.items()})
