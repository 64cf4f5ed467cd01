"""The renderer `jinja`: a template is filled in for one minion, in the sandbox."""

from __future__ import annotations

import copy
import functools
import json
from collections.abc import Mapping
from typing import Any

from saltlite import Failure, Lazy, log, packed_leaf, printable

jinja2: Any = Lazy("jinja2")
jinja2_defaults: Any = Lazy("jinja2.defaults")

TAGS = ("{{", "{%", "{#")
HEADER = "#jinja2:"  # a line with options for one file, as JSON


def known(name: str) -> bool:
    """Whether this is one of the options of Jinja that Salt hands on: delimiters, blanks and line ends."""
    return name.islower() and hasattr(jinja2_defaults, name.upper()) and not name.startswith("default_")


def options_for(opts: Mapping[str, Any], sls: Any, text: str) -> tuple[tuple[tuple[str, Any], ...], str]:
    """Jinja's options for a file, and its text without the line that brings some."""
    found = {str(name).lower(): value for name, value in opts["jinja_sls_env" if sls.name else "jinja_env"].items()}
    found |= {name: True for name in ("trim_blocks", "lstrip_blocks") if opts[f"jinja_{name}"]}
    lines = text.splitlines(keepends=True)[:2] if HEADER in text else []
    at = len(lines) > 1 and lines[0].startswith("#!") and not lines[0].startswith("#!/")
    if lines and lines[at].startswith(HEADER) and lines[at][len(HEADER) :].strip():
        try:
            found |= {str(name).lower(): value for name, value in json.loads(lines[at][len(HEADER) :]).items()}
            text = "".join(lines[:at]) + text[len("".join(lines[: at + 1])) :]
        except (ValueError, AttributeError):
            log.warning("%s: the line %s is no map in JSON and is ignored", sls.path, printable(lines[at]))
    for name in [name for name in found if not known(name)]:
        log.warning("%s: %s is no option of Jinja that templates may set", sls.path, name)
        del found[name]
    if not all(isinstance(value, str | bool | None) for value in found.values()):
        raise Failure("the options of Jinja (jinja_env, jinja_sls_env) are texts, True or False.")
    return tuple(sorted(found.items())), text


def render(pillar: Any, sls: Any, data: Any, words: str, defaults: Any) -> str:
    """A template, filled in. Its source is a file's text, never what a template has made of a minion's words."""
    if words not in ("", "-s"):
        raise Failure(f"the renderer jinja has no option {words!r}.")
    if not isinstance(data, str):
        raise Failure("the renderer jinja wants a text: what stands before it has made data already.")
    options, text = options_for(pillar.opts, sls, data)
    if not options and not any(tag in text for tag in TAGS):
        return text
    sandbox = packed_leaf("pillars", "sandbox")
    environment = sandbox.sandbox(options).overlay(cache_size=0)
    environment.meter, environment.files, environment.templates = pillar.meter, pillar.files, {}
    environment.path = functools.partial(pillar.used_path, sls.saltenv)
    environment.beneath = functools.partial(packed_leaf("pillars", "functions").beneath, pillar)
    if getattr(sls, "lenient", False):
        environment.undefined = jinja2.Undefined
    values = {
        **copy.deepcopy(dict(defaults)),
        "grains": pillar.shown,
        "pillar": copy.deepcopy(pillar.known),
        "opts": pillar.public,
    }
    values["salt"] = pillar.table
    environment.globals = environment.globals | values | sls.variables()
    code = pillar.files.code(sls.path, sls.file, text, options)
    template = environment.template_class.from_code(environment, code, environment.globals, None)
    return "".join(template.generate()) + ("\n" if text.endswith("\n") else "")
