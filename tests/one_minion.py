"""One minion's tree in which jobs are run, and a stand-in for the files of a real master."""

import gzip
import hashlib
import os
from pathlib import Path
from typing import Any

import saltlite

JID = "20261123205107331456"


class Master:
    """Answers requests for files from root/, and of another environment from root@ENV/, as a real master does,
    through its msgpack; `lies` replaces its answer to a command, `breaks` counts it out."""

    def __init__(self, root, chunk=1000):
        self.root, self.chunk = Path(root), chunk
        self.root.mkdir(parents=True)
        self.asked: list[dict[str, Any]] = []
        self.lies: dict[str, Any] = {}
        self.breaks: dict[str, int] = {}
        self.pillar: Any = {}
        self.served = lambda: None

    def home(self, env):
        return self.root if env == "base" else Path(f"{self.root}@{env}")

    def put(self, name, data, env="base"):
        path = self.home(env) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data if isinstance(data, bytes) else data.encode())
        return path

    def __call__(self, load):
        self.asked.append(load)
        cmd = load["cmd"]
        if cmd in self.breaks:
            self.breaks[cmd] -= 1
            if self.breaks[cmd] < 0:
                raise OSError("no answer")
        if cmd in self.lies:
            answer = self.lies[cmd]
        else:
            answer = self.pillar if cmd == "_pillar" else getattr(self, cmd.strip("_"))(load)
        return saltlite.unpack(saltlite.pack(answer))

    def path(self, load):
        path = self.home(load["saltenv"]) / load["path"].lstrip("|")
        return path if path.is_file() and ".." not in load["path"] else None

    def file_hash(self, load):
        path = self.path(load)
        return {"hash_type": "sha256", "hsum": hashlib.sha256(path.read_bytes()).hexdigest()} if path else {}

    def serve_file(self, load):
        path = self.path(load)
        if path is None:
            return {"data": "", "dest": ""}
        data = path.read_bytes()[load["loc"] : load["loc"] + self.chunk]
        self.served()
        if load.get("gzip") and data:
            return {"data": gzip.compress(data, load["gzip"]), "dest": load["path"], "gzip": load["gzip"]}
        return {"data": data, "dest": load["path"]}

    def names(self, load, wanted):
        home = self.home(load["saltenv"])
        found = (str(p.relative_to(home)) for p in home.rglob("*") if wanted(p))
        return sorted(name for name in found if name.startswith(load["prefix"].strip("/")))

    def file_list(self, load):
        return self.names(load, Path.is_file)

    def dir_list(self, load):
        return self.names(load, Path.is_dir)

    def file_list_emptydirs(self, load):
        return self.names(load, lambda path: path.is_dir() and not any(path.iterdir()))

    def symlink_list(self, load):
        return {name: os.readlink(self.root / name) for name in self.names(load, Path.is_symlink)}

    def file_envs(self, load):
        return ["base", *sorted(p.name.partition("@")[2] for p in self.root.parent.glob(f"{self.root.name}@*"))]

    def file_find(self, load):
        path = self.path(load)
        return {"path": str(path), "rel": load["path"], "stat": list(path.stat())} if path else {"path": "", "rel": ""}

    def revoke_auth(self, load):
        return True


class Runner:
    """Runs functions one after the other in this process, as jobs of `execution`."""

    execution: saltlite.Execution

    def run(self, fun, *args, **kwargs):
        """(return, retcode, success) of a job."""
        return self.execution.run(fun, [*args, {"__kwarg__": True, **kwargs}])

    def __call__(self, fun, *args, **kwargs):
        """What a job that succeeds returns."""
        ret, _, success = self.run(fun, *args, **kwargs)
        assert success is True, ret
        return ret

    def error(self, fun, *args, **kwargs):
        """What a job that fails says to its user, in a sentence."""
        ret, retcode, success = self.run(fun, *args, **kwargs)
        assert (retcode, success) == (1, False) and ret.startswith("ERROR: "), ret
        return ret.removeprefix("ERROR: ")


class Minion(Runner):
    """A minion's tree in which jobs are run, with a master to ask."""

    def __init__(self, home, server, grains=None, pillar=None, **opts):
        self.conf = Path(home, "conf")
        self.conf.mkdir(parents=True, exist_ok=True)
        self.opts = saltlite.load_opts("minion", str(self.conf), {"id": "web1", **opts})
        self.tree = saltlite.MinionTree(self.opts)
        self.cache = self.tree.cache
        self.cache.mkdir(parents=True, exist_ok=True)
        load = {"jid": JID, "fun": "test.ping", "arg": [], "tgt": "web1"}
        self.execution = saltlite.Execution(self.opts, self.tree, load, master=server)
        self.execution.grains = grains or {"id": "web1"}
        self.execution.pillar = pillar or {}

    def run(self, fun, *args, **kwargs):
        self.execution.load["fun"] = fun
        return super().run(fun, *args, **kwargs)

    def job(self, fun, *args):
        """The load of a job's `_return`."""
        self.execution.load |= {"fun": fun, "arg": list(args)}
        return self.execution.run_job()


def snapshot(root, but):
    """All below a directory but one: name, kind, content."""
    found = {}
    for path in sorted(root.rglob("*")):
        if not path.is_relative_to(but):
            found[str(path)] = path.read_bytes() if path.is_file() else os.readlink(path) if path.is_symlink() else None
    return found
