"""A site in memory: a master's protocol on a real tree, without sockets and with a passed clock, and minions for it."""

import hashlib
import importlib
import os
import time

import saltlite

for name in saltlite.packed_leaf("requests", "pillar").IMPORTED:  # else the first pillar of a process takes more steps
    importlib.import_module(name)

KEYS = [saltlite.PrivateKey(saltlite.PrivateKey.generate(2048)) for _ in range(3)]
JID = "20261123000000000001"
MASTER_PEM = saltlite.PrivateKey.generate(2048)
MASTER_KEY = saltlite.PrivateKey(MASTER_PEM)  # read once, for that takes longer than most tests
NOW = time.time() + 60  # files carry the real time, which must not look like the future
PING = {"fun": "test.ping", "arg": [], "tgt": "*", "jid": "1" * 20}


class Site:
    """A master's tree and protocol, and minions to speak with it."""

    def __init__(self, path, **opts):
        self.path, self.now = path, time.time() + 60  # NOW is of long ago when this is the last test
        (path / "pki/master").mkdir(parents=True)
        (path / "pki/master/master.pem").write_bytes(MASTER_PEM)
        (path / "pki/master/master.pub").write_text(MASTER_KEY.public.pem + "\n")
        self.opts = saltlite.load_opts("master", str(path), opts)
        self.start()

    def start(self):
        """Start the master, or start it again on the same tree."""
        self.tree = saltlite.MasterTree(self.opts)
        self.tree.prepare(2048)
        self.peers = saltlite.Peers(self.opts, self.tree)
        self.jobs = saltlite.Jobs(self.tree, self.opts, lambda minion_id: 0.0)
        pem = (self.tree.pki / "master.pem").read_bytes()
        key = MASTER_KEY if pem == MASTER_PEM else saltlite.PrivateKey(pem)
        self.master = saltlite.MasterProtocol(self.opts, self.tree, key, self.peers, self.jobs)
        self.master.prepare(self.now)
        self.admission, self.shared = self.master.admission, self.master.shared
        self.jobs.recover(self.now)

    def save(self):
        """What a master saves every ten seconds, and at its end."""
        for _ in self.peers.saving():
            pass

    def take_key(self, key):
        """Go on with another private key."""
        self.master.key = self.admission.key = self.shared.key = key

    def minion(self, minion, key=0, **opts):
        path = self.path / f"minion-{minion[:50]}-{key}"
        (path / "pki/minion").mkdir(parents=True, exist_ok=True)
        opts = saltlite.load_opts("minion", str(path), {"id": minion, **opts})
        tree = saltlite.MinionTree(opts)
        (path / "var/cache/salt/minion").mkdir(parents=True, exist_ok=True)
        return saltlite.MinionProtocol(opts, tree, KEYS[key])

    def auth(self, minion):
        """The event an `_auth` of a minion ends in; None while it is held."""
        reply = self.master.receive(minion.id, minion.auth_request(), self.now)
        return reply and minion.auth_reply(reply.data)

    def look(self):
        """One look at the tree: {id: what the held minion gets}. It is no guess, for by the passed clock no change of a
        directory is fresh."""
        self.tree._scanned.clear()
        replies = self.admission.look(self.now)
        while self.admission.ready:
            replies += self.admission.answer_held(self.now)
        return {reply.envelope: reply.data for reply in replies}

    def joined(self, minion, key=0, **opts):
        protocol = self.minion(minion, key, **opts)
        self.tree.put_key(saltlite.ACCEPTED, minion, KEYS[key].public.pem)
        self.look()
        assert self.auth(protocol) == saltlite.GOT_CREDENTIALS
        return protocol

    def ask(self, minion, load):
        self.now += 1
        reply = self.master.receive(b"e", minion.request(load, self.now), self.now)
        while self.master.under_way:
            time.sleep(self.master.pause)
            reply = next(iter(self.master.go_on(self.now)), reply)
        self.jobs.flush()
        return minion.reply(reply.data)

    def move(self, minion, source, target):
        os.rename(self.tree.pki / source / minion, self.tree.pki / target / minion)

    def files(self, minion="m"):
        return {d for d in os.listdir(self.tree.pki) if (self.tree.pki / d / minion).is_file()}

    def digest(self):
        """A hash of everything under the tree."""
        found = hashlib.sha256()
        for top, _, files in sorted(os.walk(self.path)):
            for name in sorted(files):
                found.update(f"{top}/{name}".encode() + open(f"{top}/{name}", "rb").read())
        return found.hexdigest()

    def submit(self, name, **request):
        (self.tree.jobs / "new" / name).write_text(saltlite.to_json(request))
        self.jobs.take_requests(self.jobs.requests(), self.now)

    def lines(self, jid):
        for state in ("active", "done"):
            if (path := self.jobs.path(jid, state)).exists():
                return state, [saltlite.from_json(line) for line in path.read_text().splitlines()]
        return None, []
