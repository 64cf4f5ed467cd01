"""Run a function on this machine, with pillar and a return at the master unless --local."""

from __future__ import annotations

import argparse
import contextlib
import os
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

from saltlite import (
    EX_FAILED,
    EX_OK,
    EX_USAGE,
    GOT_CREDENTIALS,
    KEY_PENDING,
    AuthError,
    Command,
    Crypticle,
    Execution,
    Failure,
    Heard,
    Loop,
    MasterTree,
    MinionProtocol,
    MinionTree,
    Peer,
    SaltError,
    collect_grains,
    host_and_port,
    jid_of,
    load_opts,
    log,
    master_list,
    merge_options,
    options_of,
    pack,
    packed_leaf,
    pillar_load,
    read_private_key,
    say_warnings,
    unpack,
    yaml_word,
)

terminal, log_to = packed_leaf("terminal", "text"), packed_leaf("terminal", "log")
configuration = packed_leaf("configuration", "master")
show = terminal.show

words, daemon = packed_leaf("commands", "salt"), packed_leaf("terminal", "daemon")
caller = packed_leaf("clients", "LocalClient").caller


PROBE_SECONDS = 2  # to find out why a master does not answer
REFUSED = {  # Salt's options that are not here: why, and what to do
    ("--return",): "there are no returners; the return goes to the master, and with --out json to stdout.",
    ("--proxyid",): "there are no proxy minions.",
    ("--module-executors", "--executor-opts"): "there are no executors.",
    ("--states-dir",): "states are applied by Salt itself, which reads its own configuration.",
    ("--priv",): "run this as that user.",
    ("--metadata",): "the return alone is printed; at the master `saltlite jobs show JID` has the rest.",
    ("--no-parse",): terminal.NO_PARSE,
    ("--args-stdin",): terminal.NO_STDIN,
}
WITHOUT_EFFECT = ("--hard-crash", "--refresh-grains-cache")  # what they ask for is so in any case


def call_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--local", action="store_true", help="speak to no master: files and pillar are this machine's")
    parser.add_argument("--id", metavar="ID", help="run as this minion")
    parser.add_argument("--master", metavar="HOST", help="the master to speak to")
    parser.add_argument("--retcode-passthrough", action="store_true", help="exit with the function's retcode")
    instead = parser.add_mutually_exclusive_group()
    instead.add_argument(
        "-g", "--grains", dest="instead", action="store_const", const="grains.items", help="the grains"
    )
    doc: dict[str, Any] = {"dest": "instead", "action": "store_const", "const": "sys.doc"}
    instead.add_argument("-d", "--doc", "--documentation", help="what there is to say of functions", **doc)
    parser.add_argument(
        "-m", "--module-dirs", action="append", default=[], metavar="DIR", help="a directory with modules/ of your own"
    )
    parser.add_argument("--skip-grains", action="store_true", help="do without grains")
    parser.add_argument("--no-return-event", action="store_true", help="send no return to the master")
    parser.add_argument("-t", "--timeout", type=float, metavar="SEC", help="wait so long for each answer of the master")
    parser.add_argument("--set-metadata", metavar="YAML", help="what the job bears as its metadata")
    parser.add_argument("--cachedir", metavar="DIR", help="where the cache is, in place of the option cachedir")
    terminal.refuse(parser, REFUSED)
    terminal.ignore(parser, *WITHOUT_EFFECT)
    for kind in ("file", "pillar"):
        text = f"with --local: where states find {'files' if kind == 'file' else 'pillar'}, in place of {kind}_roots"
        parser.add_argument(f"--{kind}-root", metavar="DIR", help=text)
    parser.add_argument("fun", nargs="?", metavar="FUNCTION")
    parser.add_argument("arg", nargs="*", metavar="ARG", help="YAML; k=v is a keyword argument")


class Conversation:
    """One question after the other to the master, waiting for each answer: what `call` needs. Raises Failure."""

    def __init__(self, opts: dict[str, Any], tree: MinionTree, master: str) -> None:
        try:
            tree.prepare(opts)
        except OSError as error:
            raise Failure(f"the minion's tree cannot be used ({error}); run this as root, or with --local.") from None
        import zmq

        self.opts = opts
        self.host, self.ret_port = host_and_port(master, opts["master_port"])
        self.protocol = MinionProtocol(opts, tree, read_private_key(tree.pki / "minion.pem"))
        self.loop, self._answer = Loop(zmq.Poller()), b""
        dealer: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.DEALER)
        place = self.host, self.ret_port
        self.wire = packed_leaf("wires", "minion").Wire(self.loop, dealer, opts, place, self._heard)
        self._authenticate()

    def _authenticate(self) -> None:
        self._send(self.protocol.auth_request())
        try:
            event = self.protocol.auth_reply(self._receive(2 * self.opts["auth_timeout"]))
        except Failure:
            raise
        except SaltError as error:
            raise Failure(f"{self.host} is no master that can be spoken to: {error}") from None
        if event == KEY_PENDING:
            self.protocol.why = "the key of this minion is pending"
        if event != GOT_CREDENTIALS:
            raise Failure(f"{self.host}: {self.protocol.why}; use --local to go without a master.")

    def _send(self, data: bytes) -> None:
        self.wire.send([b"", data])

    def _heard(self) -> None:
        import zmq

        with contextlib.suppress(zmq.Again):
            self._answer = self.wire.recv()[-1]
            self.loop.stop()

    def _receive(self, seconds: float) -> bytes:
        self._answer, self.loop.running = b"", True
        self.loop.at("silence", seconds, self.loop.stop)
        self.loop.run()
        if not self._answer:
            minion_id = self.protocol.id
            why = (
                daemon.why_silent(self.host, self.ret_port, PROBE_SECONDS)
                or f"the key of {minion_id} is pending there, perhaps"
            )
            where = f"{self.host} port {self.ret_port}"
            raise Failure(f"the master {where} does not answer: {why}; use --local to go without a master.")
        return self._answer

    def ask(self, load: dict[str, Any]) -> Any:
        """The object in the master's reply."""
        for _ in range(2):
            self._send(self.protocol.request(load, time.time()))
            try:
                return self.protocol.reply(self._receive(self.opts["request_channel_timeout"]))
            except AuthError:
                self._authenticate()
        raise Failure(f"{self.host} refuses this minion's session.")


class Masterless:
    """Who answers where there is no master: the master's own handlers of files and pillar, on this machine's roots."""

    def __init__(self, opts: dict[str, Any]) -> None:
        table = options_of("master")
        given = {name: value for name, value in opts.items() if name in table and name not in options_of("minion")}
        own, _ = merge_options(table, [(f"{opts['conf_dir']}/minion", given)])
        shared = {name: opts[name] for name in table if name in opts and name not in given}
        own |= shared | {"minion_data_cache": False, "conf_dir": opts["conf_dir"]}
        for name in ("file_roots", "pillar_roots"):
            own[name] = configuration.place_roots(own[name], Path(opts["root_dir"]), own[name] is table[name].default)
            own[name].pop("__env__", None)
        tree, self.requests = MasterTree(own), dict[str, Any]()
        for name in ("files", "pillar"):
            self.requests |= packed_leaf("requests", name).Requests(own, tree).commands
        self.peer = Peer(opts["id"], "", (0, 0, 0), Crypticle.generate(), Heard())

    def ask(self, load: dict[str, Any]) -> Any:
        """The object that a master would reply with; Failure for what only one can answer."""
        request = self.requests.get(load["cmd"])
        if request is None:
            raise Failure("there is none, for this runs on this machine's own roots (--local, or file_client: local).")
        answer = request.handler(self.peer, load, time.time())
        while isinstance(answer, Generator):  # it answers in steps
            try:
                next(answer)
            except StopIteration as end:
                answer = end.value
        return unpack(pack(answer))


def converse(opts: dict[str, Any], tree: MinionTree) -> Conversation:
    """A conversation with the first master that lets itself be spoken to; Failure of the last if none does."""
    *others, last = master_list(opts)
    for master in others:
        with contextlib.suppress(Failure):
            return Conversation(opts, tree, master)
    return Conversation(opts, tree, last)


def call_opts(args: argparse.Namespace) -> dict[str, Any]:
    """The minion's options, with what the command line says."""
    given = {"id": args.id, "cachedir": args.cachedir and os.path.abspath(args.cachedir)}
    opts = load_opts("minion", args.config_dir, {name: value for name, value in given.items() if value})
    how = {"log_level": args.log_level or "warning", "user": "", "log_file": args.log_file or ""}
    log_to.set_up(how | {"log_level_logfile": args.log_file_level or ""})
    say_warnings(opts)
    if args.master:
        opts["master"] = args.master
    if args.timeout is not None:
        opts |= {"auth_timeout": args.timeout / 2, "request_channel_timeout": args.timeout}
    args.local = args.local or opts["file_client"] == "local"
    for name, root in (("file_roots", args.file_root), ("pillar_roots", args.pillar_root)):
        if root and not args.local:
            raise Failure(f"--{name[:-1].replace('_', '-')} needs --local: else the master's files count.", EX_USAGE)
        if root and not os.path.isdir(root):
            raise Failure(f"--{name[:-1].replace('_', '-')} {root} is no directory.", EX_USAGE)
        opts |= {name: {"base": [os.path.abspath(root)]}} if root else {}
    opts["module_dirs"] = [*args.module_dirs, *opts["module_dirs"]]
    words.state_style(args, opts)
    opts["id"] = packed_leaf("commands", "minion").find_id(opts)
    return opts


def main(args: argparse.Namespace) -> int:
    """Run a function on this machine, with pillar and a return at the master unless --local."""
    if args.instead:
        args.fun, args.arg = args.instead, [args.fun, *args.arg] if args.fun else []
    if not args.fun:
        raise Failure("call needs the name of a function, test.ping say; `call -d` lists them all.", EX_USAGE)
    opts = call_opts(args)
    tree = MinionTree(opts)
    arg, kwarg = words.load_yaml_args(args.arg)
    load = {"jid": jid_of(time.time()), "fun": args.fun, "tgt": opts["id"], "tgt_type": "glob", "ret": ""}
    load |= {"arg": [*arg, {"__kwarg__": True, **kwarg}] if kwarg else arg, "user": caller()}
    load |= {"metadata": yaml_word(args.set_metadata)} if args.set_metadata else {}
    log.debug("configuration below %s, id %s, cache %s", opts["conf_dir"], opts["id"], opts["cachedir"])
    conversation = None if args.local else converse(opts, tree)
    master: Any = conversation or Masterless(opts)
    if conversation:
        log.debug("the master %s port %s has taken the key", conversation.host, conversation.ret_port)
    else:
        log.debug("no master is asked: files and pillar are this machine's")
    execution = Execution(opts, tree, load, master=master.ask)
    execution.local, execution.heeds_blackout = args.local, False
    execution.grains = {} if args.skip_grains else collect_grains(opts)
    log.debug("%s grains collected", len(execution.grains))
    found = master.ask(pillar_load(opts, execution.grains))
    execution.pillar = found if isinstance(found, dict) else {}
    log.debug("%s keys in the pillar", len(execution.pillar))
    for error in execution.pillar.get("_errors", ()):
        log.error("pillar: %s", error)
    log.debug("%s is called", args.fun)
    made = execution.run_job()
    log.debug("its retcode is %s", made["retcode"])
    out = "docs" if args.fun == "sys.doc" else made.get("out")
    name = words.reports.named("local", words.reports.retcode_of(made)) if terminal.for_people(args) else "local"
    show({name: made["return"]}, args, out, made["retcode"])
    if conversation and not args.no_return_event:
        conversation.ask(made)
    if args.retcode_passthrough:
        return int(made["retcode"])
    return EX_FAILED if made["retcode"] or made["success"] is False else EX_OK


EXAMPLES = """
salt-call --local test.ping             without a master
salt-call --local grains.items
salt-call state.apply test=True         with this minion's master; states are applied by Salt itself
salt-call -d cmd.run                    what there is to say of a function
salt-call --local --retcode-passthrough cmd.run 'exit 3'
"""
shared = (terminal.config_arguments, terminal.log_arguments, terminal.out_arguments, words.state_arguments)
COMMAND = Command("run a function here", main, (*shared, call_arguments), EXAMPLES)
