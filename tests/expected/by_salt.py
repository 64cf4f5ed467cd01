"""What real Salt makes of pillar trees, of Jinja expressions, of schedules and of calls: run by the Python of an
environment with Salt.

    python by_salt.py pillar < CASES.json > RESULTS.json     a case: {files, opts, grains, id}
    python by_salt.py configurations < CASES.json > RESULTS.json     a case: [role, files, the options asked for]
    python by_salt.py options < CASES.json > RESULTS.json     the defaults of each of these roles; "valid": all names
    python by_salt.py filters < EXPRESSIONS.json > RESULTS.json
    python by_salt.py schedule < ENTRIES.json > RESULTS.json     {start, seconds, entries}
    python by_salt.py library < CALLS.json > RESULTS.json     calls, as library.py makes them

A result has the pillar with its order, or why there is none; of an entry, the seconds after the start at which it ran,
looked at in the middle of each."""

import copy
import datetime
import json
import logging
import signal
import sys
import tempfile
from pathlib import Path

import library
import salt.config
import salt.pillar
import salt.utils.jinja  # noqa: F401
import salt.utils.schedule
import salt.utils.templates

logging.disable(logging.CRITICAL)


def shown(value):
    """Data as JSON has it, with what JSON does not have written out."""
    if isinstance(value, dict):
        return {"map": [[shown(key), shown(each)] for key, each in value.items()]}
    if isinstance(value, list):
        return [shown(each) for each in value]
    if isinstance(value, bool | int | float | None):
        return value
    if isinstance(value, set | frozenset):
        return {"set": sorted(map(repr, value))}
    return {type(value).__name__: repr(value)} if not isinstance(value, str) else str.__str__(value)


def master_opts(root, opts):
    (root / "etc").mkdir(parents=True, exist_ok=True)
    (root / "etc/master").write_text(json.dumps({"root_dir": str(root), "user": "root"}))
    loaded = salt.config.master_config(str(root / "etc/master"))
    loaded["pillar_roots"] = {"base": [str(root / "srv/pillar")]}
    loaded["file_roots"] = {"base": [str(root / "srv/salt")]}
    loaded.update(opts)
    for env, paths in loaded["pillar_roots"].items():
        loaded["pillar_roots"][env] = [path if path.startswith("/") else str(root / path) for path in paths]
    return loaded


def pillar(case):
    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory)
        for name, text in case["files"].items():
            path = root / "srv/pillar" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text.replace("@ROOT@", directory))
        minion = case.get("id", "web1")
        opts = master_opts(root, json.loads(json.dumps(case.get("opts", {})).replace("@ROOT@", directory)))
        accepted = Path(opts["pki_dir"]) / "minions" / minion  # nodegroups are of accepted minions
        accepted.parent.mkdir(parents=True, exist_ok=True)
        accepted.touch()
        grains = {**case.get("grains", {}), "id": minion}
        load = case.get("load", {})
        try:
            made = salt.pillar.Pillar(
                opts,
                grains,
                minion,
                load.get("saltenv"),
                pillar_override=copy.deepcopy(load.get("pillar_override")),
                pillarenv=load.get("pillarenv"),
            )
            return json.loads(json.dumps(shown(made.compile_pillar())).replace(directory, "@ROOT@"))
        except Exception as error:
            return {"failed": str(error)[:200]}


def configuration(case):
    role, files, asked = case
    with tempfile.TemporaryDirectory() as directory:
        conf = Path(directory) / "etc/salt"
        for name, text in files.items():
            path = conf / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text.replace("@ROOT@", directory))
        first = conf / role
        first.write_text((first.read_text() if first.exists() else "") + f"\nroot_dir: {directory}\n")
        load = salt.config.master_config if role == "master" else salt.config.minion_config
        opts = load(str(first))
        return json.loads(
            json.dumps({name: opts[name] for name in asked.split()}, default=dict).replace(directory, "@ROOT@")
        )


def options(role):
    """Salt's defaults, but for what depends on the machine."""
    if role == "valid":
        return sorted(salt.config.VALID_OPTS)
    found = salt.config.DEFAULT_MASTER_OPTS if role == "master" else salt.config.DEFAULT_MINION_OPTS
    found = {name: None if str(value).startswith("/") else value for name, value in found.items()}
    return found | dict.fromkeys(("user", "ipc_write_buffer", "conf_file"))


def filtered(expression, opts):
    signal.alarm(5)  # network_hosts of a network of IPv6
    values = {"opts": opts, "saltenv": "", "sls": "", "grains": {}, "salt": {}}
    try:
        return salt.utils.templates.render_jinja_tmpl("{{ " + expression + " }}", values)
    except Exception as error:
        return {"failed": f"{type(error).__name__}: {error}"[:200]}
    finally:
        signal.alarm(0)


class Schedule(salt.utils.schedule.Schedule):
    """Salt's schedule, which notes what it would run."""

    def _check_max_running(self, func, data, opts, now):
        return data

    def _run_job(self, func, data, jid=None):
        self.ran[data["name"]].append(self.second)


def schedule(case):
    with tempfile.TemporaryDirectory() as directory:
        opts = {**salt.config.DEFAULT_MINION_OPTS, "__role": "minion", "id": "web1", "pillar": {}, "grains": {}}
        opts |= {"cachedir": directory, "loop_interval": 1}
        opts["schedule"] = {name: {"enabled": True, **entry} for name, entry in case["entries"].items()}
        (Path(directory) / "proc").mkdir()
        functions = {"test.ping": len, "config.merge": lambda *args, **options: {}}
        made = Schedule(opts, functions, returners={}, utils={}, new_instance=True)
        made.ran = {name: [] for name in case["entries"]}
        for made.second in range(case["seconds"]):
            now = datetime.timedelta(seconds=made.second + 0.5)
            made.eval(now=datetime.datetime.fromisoformat(case["start"]) + now)
        return made.ran


def too_long(*_):
    raise TimeoutError


def main():
    signal.signal(signal.SIGALRM, too_long)
    cases = json.load(sys.stdin)
    if sys.argv[1] == "schedule":
        results = schedule(cases)
    elif sys.argv[1] == "pillar":
        results = [pillar(case) for case in cases]
    elif sys.argv[1] == "library":
        results = library.answers(cases)
    elif sys.argv[1] in ("configurations", "options"):
        results = [{"configurations": configuration, "options": options}[sys.argv[1]](case) for case in cases]
    else:
        with tempfile.TemporaryDirectory() as directory:
            opts = master_opts(Path(directory), {})
            results = [filtered(expression, opts) for expression in cases]
    json.dump(results, sys.stdout, default=lambda value: dict(value) if hasattr(value, "keys") else list(value))


main()
