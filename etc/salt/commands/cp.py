"""Copy files and directories to minions, or with --from from them; as a link named salt-cp it takes Salt's arguments.

To minions: the files are laid down once in CACHE/offers, with their hashes, and each minion fetches them in parts with
cp.recv_files, so neither side holds a file in memory, a transfer that breaks goes on where it was, in this job or the
next, and what arrives has the hash that was signed with the job. Minions that are not saltlite get the parts as
arguments of cp.recv_chunked, as Salt's own salt-cp does it, and are asked for the hash (cp.hash_file); so do all where
the caller is not the master's user and publishes by publisher_acl.

From minions: cp.send_files sends into CACHE/offers/NAME/ID, files by number; when it has returned they are moved to
DEST/ID. What a minion calls its files is judged here: no path that leaves DEST/ID, no more than was asked for, no link
is followed."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import os
import re
import shutil
import stat
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from saltlite import (
    EX_FAILED,
    EX_NO_MATCH,
    EX_OK,
    EX_USAGE,
    Command,
    Failure,
    all_well,
    from_json,
    packed_leaf,
    printable,
    read,
    say,
    to_json,
    token,
    valid_id,
    write_all,
)
from saltlite import client as client_class

if TYPE_CHECKING:
    import argparse

terminal, targets = packed_leaf("terminal", "text"), packed_leaf("terminal", "targets")
report, local_client = packed_leaf("terminal", "report"), packed_leaf("clients", "LocalClient")

PART = 1 << 20  # bytes that are read at once
MAX_FILES = 100_000  # files and directories of one `cp`
MAX_CHUNKED = 128 << 20  # bytes of one file for minions that are not saltlite: all of it stays in the jobs' files
MAX_MANIFEST = 64 << 20  # bytes of the list that a minion sends
MAX_PARTS = 100  # names in a path that comes from a minion
MODES = 0o777
DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC  # no link stands for one
MAX_LINE = 1 << 16  # bytes of a line of that list
NUMBER = re.compile(r"0|[1-9][0-9]{0,6}")
NOT_THERE = "' is not available."  # what a minion returns that does not know the function


def cp_arguments(parser: argparse.ArgumentParser) -> None:
    as_salt = os.path.basename(parser.prog) == "salt-cp"  # where -C is not --compound
    terminal.ignore(parser, "--hard-crash")
    kinds = parser.add_mutually_exclusive_group()
    for flag, name, tgt_type in targets.TARGET_FLAGS:
        flags = [name] if as_salt and flag == "-C" else [flag, name]
        text = f"the target is a {tgt_type.replace('_', ' ')}"
        kinds.add_argument(*flags, dest="tgt_type", action="store_const", const=tgt_type, help=text)
    chunked = ["-C", "--chunked"] if as_salt else ["--chunked"]
    parser.add_argument(*chunked, action="store_true", help="large files and directories, which are taken in any case")
    parser.add_argument("-n", "--no-compression", action="store_true", help="do not compress for other minions")
    parser.add_argument("--from", dest="back", action="store_true", help="copy from minions, into DEST/ID")
    parser.add_argument(
        "--max-size", type=size_of, default=1 << 30, metavar="N", help="with --from: bytes of a minion, 1G"
    )
    parser.add_argument(
        "--max-files", type=int, default=10_000, metavar="N", help="with --from: files of a minion, 10000"
    )
    parser.add_argument(
        "-t", "--timeout", type=float, metavar="SEC", help="wait this long before asking silent minions"
    )
    parser.add_argument("tgt", metavar="TARGET")
    parser.add_argument("source", nargs="+", metavar="SOURCE")
    parser.add_argument("dest", metavar="DEST")


def size_of(word: str) -> int:
    """`100M` in bytes; ValueError, as argparse wants it."""
    found = re.fullmatch(r"(\d+)([KMGT]?)", word.upper())
    if not found:
        raise ValueError(word)
    return int(found[1]) << 10 * " KMGT".index(found[2] or " ")


def in_words(size: float) -> str:
    """A number of bytes for people."""
    for unit in ("bytes", "KB", "MB", "GB"):
        if size < 1000 or unit == "GB":
            break
        size /= 1000
    return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"


class Source(NamedTuple):
    """What is copied: its path here, what it is called there, below DEST, and what it is."""

    path: str
    name: str
    info: os.stat_result

    @property
    def is_file(self) -> bool:
        return stat.S_ISREG(self.info.st_mode)


def sources(paths: list[str]) -> list[Source]:
    """All files and directories, as Salt names them: a directory with its own name. Links are followed, but into no
    directory that they lie in; what is neither file nor directory is left out, with a word. Failure."""
    found: list[Source] = []

    def add(path: str, name: str, above: tuple[tuple[int, int], ...]) -> None:
        try:
            info = os.stat(path)
            inode = (info.st_dev, info.st_ino)
            if inode in above or not (stat.S_ISREG(info.st_mode) or stat.S_ISDIR(info.st_mode)):
                print(
                    printable(f"{path} is left out: it is neither file nor directory, or leads back."), file=sys.stderr
                )
                return
            if len(found) >= MAX_FILES:
                raise Failure(f"there are more than {MAX_FILES} files and directories: pack them into one.", EX_USAGE)
            found.append(Source(path, name, info))
            for each in sorted(os.listdir(path)) if stat.S_ISDIR(info.st_mode) else []:
                add(os.path.join(path, each), f"{name}/{each}", (*above, inode))
        except OSError as error:
            raise Failure(f"{printable(path)} cannot be read: {error.strerror}.", EX_USAGE) from None

    for path in paths:
        real = os.path.abspath(path)
        add(real, os.path.basename(real) or "root", ())
    names = [source.name for source in found]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise Failure(f"two sources would become {printable(twice)}: copy them one after the other.", EX_USAGE)
    return found


class Copy:
    """One run of the command: what comes back, {id: {path: True or why not}}, and who is silent."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.args, self.client = args, client_class("LocalClient")(args.config_dir)
        self.fleet = targets.Fleet(self.client.opts, local_client.caller())
        self.target = targets.meant(args.tgt, args.tgt_type, self.fleet)
        self.unknown: list[str] = []  # names of the target that no accepted key has
        self.dest: str = args.dest
        self.results: dict[str, dict[str, Any]] = {}
        self.silent: dict[str, str] = {}
        self.wanted, self.files, self.bytes = 0, 0, 0
        self.began = time.monotonic()
        self.offer: Path | None = None
        self.room = -1  # its directory, open: names below it are the master's user's, and may lead elsewhere by now

    # transfers by the file server

    def place(self) -> Path | None:
        """A new directory of an offer; None where the caller may not make one."""
        offers, owner = self.client.cache / "offers", os.stat(self.client.cache)
        if os.geteuid() not in (0, owner.st_uid):
            return None
        self.client.check_master()
        place = offers / token(16).hex()
        fd = os.open(self.client.cache, DIRECTORY & ~os.O_NOFOLLOW)
        for name in (offers.name, place.name):
            fd = made(name, fd, owner)
        self.room = fd
        self.offer = place
        return place

    def lay_down(self, found: list[Source], place: Path) -> str:
        """Copy the sources into an offer, and give the hash of its list. Failure where there is no room."""
        info, owner = os.fstatvfs(self.room), os.fstat(self.room)
        room = info.f_bavail * info.f_frsize - self.client.opts["keep_free"]
        if (size := sum(source.info.st_size for source in found if source.is_file)) > room:
            raise Failure(f"{place.parent} has no room for {in_words(size)}, beside what keep_free says.")
        lines = []
        for number, source in enumerate(found):
            entry: dict[str, Any] = {"path": source.name, "mode": stat.S_IMODE(source.info.st_mode) & MODES}
            if source.is_file:
                entry |= {"file": str(number)} | self.lay_one(source, str(number), owner)
                self.files, self.bytes = self.files + 1, self.bytes + entry["size"]
            lines.append(to_json(entry) + "\n")
        text = "".join(lines).encode("utf-8", "surrogateescape")
        fd = self.new_file("manifest", owner)
        try:
            write_all(fd, text)
        finally:
            os.close(fd)
        return hashlib.sha256(text).hexdigest()

    def new_file(self, name: str, owner: os.stat_result) -> int:
        """A file of the offer, which nobody asks for yet; it is the master's user's."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        fd = os.open(name, flags, 0o600, dir_fd=self.room)
        os.fchown(fd, owner.st_uid, owner.st_gid)
        return fd

    def lay_one(self, source: Source, name: str, owner: os.stat_result) -> dict[str, Any]:
        """Copy one file; gives {size, hash} of what was read."""
        digest, size = hashlib.sha256(), 0
        with open(source.path, "rb") as file:
            fd = self.new_file(name, owner)
            try:
                while data := file.read(PART):
                    digest.update(data)
                    write_all(fd, data)
                    size += len(data)
            finally:
                os.close(fd)
        return {"size": size, "hash": digest.hexdigest()}

    def run(self, fun: str, kwarg: dict[str, Any], arg: list[Any], tgt: Any, tgt_type: str) -> Iterator[dict[str, Any]]:
        """Publish; the lines of the job as they come, `new` first. ^C says what goes on without us."""
        jid = self.client.submit(tgt, fun, arg, kwarg, tgt_type, self.args.timeout)
        try:
            for line in self.client.follow(jid):
                if line["event"] == "new" and tgt is self.target.tgt:
                    self.unknown = self.fleet.without_key(targets.unknown(self.target, line["minions"]))
                elif line["event"] == "silent":
                    self.silent[line["id"]] = report.silence(line)
                elif line["event"] == "ret":
                    self.silent.pop(line["id"], None)
                yield line
        except (KeyboardInterrupt, Failure) as error:
            if fun == "cp.recv_files" and (self.client.jobs / "active" / f"{jid}.jsonl").exists():
                self.offer = None  # the minions go on, now or when the master is there again
            if isinstance(error, Failure):
                raise
            print(f"\nExiting gracefully on Ctrl-c\nThis job's jid is: {jid}", file=sys.stderr)
            raise

    def send(self) -> None:
        """Copy to the minions."""
        found = sources(self.args.source)
        into = len(found) > 1 or not found[0].is_file or self.dest.endswith("/")
        tgt, tgt_type = self.target.tgt, self.target.tgt_type
        others: Any = None
        if (place := self.place()) is None:
            self.files = sum(source.is_file for source in found)
            others = tgt
        else:
            arg = [place.name, self.lay_down(found, place), self.dest, into]
            others, tgt_type = self.offered(found, arg, place, tgt, tgt_type), "list" if self.results else tgt_type
        if others:
            self.chunked(found, into, others, tgt_type)

    def offered(self, found: list[Source], arg: list[Any], place: Path, tgt: Any, tgt_type: str) -> list[str]:
        """Have the minions fetch an offer; gives those that do not know how."""
        others = []
        with bar(place / ".moved") as total:
            for line in self.run("cp.recv_files", {}, arg, tgt, tgt_type):
                if line["event"] == "new":
                    self.wanted = len(line["minions"])
                    total(self.wanted * self.bytes)
                elif line["event"] == "ret":
                    result = line["return"]
                    if isinstance(result, str) and result.endswith(NOT_THERE):
                        others.append(line["id"])
                    self.results[line["id"]] = told(found, result, all_well(line), self.dest)
        return others

    # transfers by arguments

    def chunked(self, found: list[Source], into: bool, tgt: Any, tgt_type: str) -> None:
        """Send all in arguments, part by part, to whoever has taken the parts before."""
        if not self.wanted:  # nobody was asked yet
            self.bytes = sum(source.info.st_size for source in found if source.is_file)
        for each in tgt if isinstance(tgt, list) else ():
            self.results[each] = {}
        for source in found:
            place = os.path.join(self.dest, source.name) if into else self.dest
            if source.is_file and source.info.st_size > MAX_CHUNKED:
                most = in_words(MAX_CHUNKED)
                why = f"it has more than {most}, which only saltlite minions take: serve it to cp.get_file"
                answered = dict.fromkeys(self.results, why)
                if not answered:
                    raise Failure(f"{printable(source.path)}: {why}.", EX_USAGE)
            else:
                answered = self.send_one(source, place, tgt, tgt_type)
            for minion_id, answer in answered.items():
                self.results.setdefault(minion_id, {})[place] = answer

    def send_one(self, source: Source, place: str, tgt: Any, tgt_type: str) -> dict[str, Any]:
        """One file, or directory: {id: True or why not}."""
        answered: dict[str, Any] = {}
        for kwarg in self.parts(source, place):
            if answered:  # only to whom all before it went
                tgt, tgt_type = [each for each, answer in answered.items() if answer is True], "list"
                if not tgt:
                    break
            answered |= self.returns("cp.recv_chunked", kwarg, tgt, tgt_type)
        good = [each for each, answer in answered.items() if answer is True]
        if source.is_file and good:
            digests = {}
            for minion_id, said in self.returns("cp.hash_file", {"path": place}, good, "list").items():
                said = said if isinstance(said, dict) else {"hash_type": printable(str(said)[:200])}
                kind = str(said.get("hash_type"))
                if kind not in hashlib.algorithms_guaranteed or not hashlib.new(kind).digest_size:  # shake_128 has none
                    answered[minion_id] = f"its hash is not known: {kind}"
                    continue
                if kind not in digests:
                    with open(source.path, "rb") as file:
                        digests[kind] = hash_of(file, kind)
                answered[minion_id] = digests[kind] == said.get("hsum") or "what arrived has another hash"
        return answered

    def parts(self, source: Source, place: str) -> Iterator[dict[str, Any]]:
        """The keywords of cp.recv_chunked, one call after another."""
        mode = stat.S_IMODE(source.info.st_mode) & MODES
        if not source.is_file:
            yield {"dest": place, "chunk": None}
            return
        import gzip

        append, packed = False, not self.args.no_compression
        with open(source.path, "rb") as file:
            while (data := file.read(self.client.opts["salt_cp_chunk_size"])) or not append:
                chunk = base64.b64encode(gzip.compress(data, mtime=0) if packed else data).decode()
                yield {"dest": place, "chunk": chunk, "append": append, "compressed": packed, "mode": mode}
                append = True

    def returns(self, fun: str, kwarg: dict[str, Any], tgt: Any, tgt_type: str) -> dict[str, Any]:
        """{id: what it returned} to a job, who is silent with a word about that."""
        found = {}
        for line in self.run(fun, kwarg, [], tgt, tgt_type):
            if line["event"] == "new":
                self.wanted = max(self.wanted, len(line["minions"]))
            elif line["event"] == "ret":
                found[line["id"]] = line["return"]
            elif line["event"] == "silent":
                found[line["id"]] = self.silent[line["id"]]
        return found

    # from minions

    def fetch(self) -> None:
        """Copy from the minions into DEST/ID, each as soon as it has sent all."""
        paths, dest = self.args.source, Path(self.dest)
        if relative := [path for path in paths if not os.path.isabs(path)]:
            raise Failure(
                f"{printable(relative[0])} is relative: --from wants absolute paths of the minions.", EX_USAGE
            )
        if len({os.path.basename(path.rstrip("/")) for path in paths}) < len(paths):
            raise Failure("two of the paths would have the same name: copy them one after the other.", EX_USAGE)
        if not 0 < self.args.max_files <= MAX_FILES:
            raise Failure(f"--max-files is from 1 to {MAX_FILES}.", EX_USAGE)
        if (place := self.place()) is None:
            raise Failure(f"{self.client.cache}/offers is closed to you: run this as the master's user.")
        dest.mkdir(parents=True, exist_ok=True)
        arg = [place.name, paths, self.args.max_size, self.args.max_files]
        with bar(place / ".moved"):
            for line in self.run("cp.send_files", {}, arg, self.target.tgt, self.target.tgt_type):
                if line["event"] == "new":
                    self.wanted = len(line["minions"])
                elif line["event"] == "ret" and valid_id(line["id"]):  # it is going to be a name here
                    with self.stage(line["id"]) as stage:
                        self.results[line["id"]] = self.take(line, stage, dest / line["id"])

    @contextlib.contextmanager
    def stage(self, minion_id: str) -> Iterator[Path]:
        """The directory of what a minion has sent, by a name that no link leads elsewhere; it is removed in the end."""
        fd = -1
        try:
            with contextlib.suppress(OSError):  # it has sent nothing
                fd = os.open(minion_id, DIRECTORY, dir_fd=self.room)
            yield Path(f"/proc/self/fd/{fd}")
        finally:
            if fd >= 0:
                os.close(fd)
            shutil.rmtree(f"/proc/self/fd/{self.room}/{minion_id}", ignore_errors=True)

    def take(self, line: dict[str, Any], stage: Path, target: Path) -> dict[str, Any]:
        """Move what a minion has sent to its place: {path: True, or why not}."""
        result = line["return"]
        if not isinstance(result, dict) or not all_well(line):
            why = "it is no saltlite minion, and cannot send files" if str(result).endswith(NOT_THERE) else str(result)
            return {self.args.source[0]: why}
        arrival = Arrival(stage, target, self.args.max_size, self.args.max_files)
        found: dict[str, Any] = {}
        try:
            for entry in arrival.entries(str(result.get("hash"))):
                name = str(entry.get("path") if isinstance(entry, dict) else entry)
                try:
                    arrival.take(entry)
                    if "hash" in entry:
                        found[str(target / name)] = True
                        self.files, self.bytes = self.files + 1, self.bytes + entry["size"]
                except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
                    found[name[:200]] = f"is not taken: {getattr(error, 'strerror', None) or error}"
        except (OSError, ValueError, RecursionError) as error:
            found[str(target)] = f"is not taken: {getattr(error, 'strerror', None) or error}"
        left_out = result.get("left_out")
        for name in left_out if isinstance(left_out, list) else []:
            found[str(name)[:200]] = "is neither file nor directory"
        return found

    # the end

    def end(self) -> int:
        """Print what came of it; the exit code."""
        if not self.wanted and not self.results:
            say("No minions matched the target. No command was sent, no jid was assigned.")
            if hint := "" if self.unknown else targets.might_mean(self.target, self.fleet):
                print(f"saltlite: {hint}", file=sys.stderr)
            return self.name_unknown(EX_NO_MATCH)
        for minion_id, why in self.silent.items():
            self.results.setdefault(minion_id, {"": why})
        good = {each for each, answer in self.results.items() if all(said is True for said in answer.values())}
        if self.args.out or os.path.basename(sys.argv[0]) == "salt-cp":
            terminal.show(
                {each: said if "" not in said else said[""] for each, said in self.results.items()}, self.args, None
            )
        else:
            for minion_id in sorted(self.results.keys() - good):
                for path, why in self.results[minion_id].items():
                    if why is not True:
                        say(printable(f"{minion_id}: {path}{path and ': '}{why}"))
            took = time.monotonic() - self.began
            way = "from" if self.args.back else "to"
            minions = f"{len(good)} of {len(self.results)} minions"
            files = f"{self.files} file{'s' * (self.files != 1)}"
            say(f"{files}, {in_words(self.bytes)}, {way} {minions} in {took:.1f} s")
        return self.name_unknown(EX_OK if len(good) == len(self.results) else EX_FAILED)

    def name_unknown(self, code: int) -> int:
        """Say of each name in a list that no accepted key has it; the exit code is not 0 then."""
        for sentence in targets.complaints(self.unknown, self.fleet) if self.unknown else ():
            print(f"saltlite: {sentence}", file=sys.stderr)
        return code or (EX_FAILED if self.unknown else EX_OK)


def made(name: str, directory: int, owner: os.stat_result) -> int:
    """A directory in an open one, which is closed; open, and made where it is not there: then for the master's user."""
    try:
        new = False
        with contextlib.suppress(FileExistsError):
            os.mkdir(name, 0o700, dir_fd=directory)
            new = True
        fd = os.open(name, DIRECTORY, dir_fd=directory)
    finally:
        os.close(directory)
    if new:
        os.fchown(fd, owner.st_uid, owner.st_gid)
    return fd


def hash_of(file: Any, kind: str) -> str:
    """The hash of an open file, in hex."""
    digest = hashlib.new(kind, usedforsecurity=False)
    while data := file.read(PART):
        digest.update(data)
    return digest.hexdigest()


def told(found: list[Source], result: Any, well: bool, dest: str) -> dict[str, Any]:
    """What cp.recv_files returned as Salt tells it: {path: True, or why not}."""
    if not isinstance(result, dict):
        return {"": str(result)}
    failed = result.get("failed")
    failed = {str(path): str(why) for path, why in failed.items()} if isinstance(failed, dict) else {}
    places = [os.path.join(dest, s.name) if result.get("inside") else dest for s in found if s.is_file]
    return dict.fromkeys(places, True) | failed | ({} if well or failed else {"": "it failed"})


class Arrival:
    """What a minion has sent, on its way to `target`: nothing that it says leads out of there, or costs more than was
    asked for. ValueError says what is wrong."""

    def __init__(self, stage: Path, target: Path, max_bytes: int, max_files: int) -> None:
        self.stage, self.target = stage, target
        self.left, self.bytes_left = max_files, max_bytes
        self.used: set[str] = set()

    def entries(self, wanted: str) -> Iterator[Any]:
        """The lines of its list, which has the hash that its return says."""
        text = read(self.stage / "manifest", MAX_MANIFEST)
        if hashlib.sha256(text).hexdigest() != wanted:
            raise ValueError("its list is not the one that it returned")
        if text.count(b"\n") + (not text.endswith(b"\n")) > self.left:
            raise ValueError("its list has more files than --max-files")
        for line in text.removesuffix(b"\n").split(b"\n") if text else ():
            if len(line) > MAX_LINE:
                raise ValueError("a line of its list is too long")
            yield from_json(line)

    def take(self, entry: dict[str, Any]) -> None:
        """Put one file or directory to its place, with its mode."""
        names, mode = self.names(entry["path"]), entry["mode"]
        if type(mode) is not int:
            raise ValueError("its mode is no number")
        directory = self.opened(names[:-1])
        try:
            if "hash" in entry:
                self.put(entry, directory, names[-1], mode & MODES)
            else:
                self.make(names[-1], directory)
                fd = os.open(names[-1], DIRECTORY, dir_fd=directory)
                try:
                    os.fchmod(fd, mode & MODES | 0o700)  # more comes into it
                finally:
                    os.close(fd)
        finally:
            os.close(directory)

    def names(self, path: Any) -> list[str]:
        """The names in a relative path; none is empty, `.` or `..`."""
        names = path.split("/") if isinstance(path, str) else []
        if not 0 < len(names) <= MAX_PARTS or set(names) & {"", ".", ".."} or "\0" in path:
            raise ValueError("its path leads elsewhere, or is none")
        return names

    def make(self, name: str, directory: int | None = None) -> None:
        """Make a directory, if there is none; each counts as a file."""
        with contextlib.suppress(FileExistsError):
            os.mkdir(name, 0o700, dir_fd=directory)
            if (left := self.left - 1) < 0:
                raise ValueError("it makes more directories than --max-files")
            self.left = left

    def opened(self, names: list[str]) -> int:
        """The directory of these names below the target, made where it is not there; through no link."""
        self.make(str(self.target))
        fd = os.open(self.target, DIRECTORY)
        for name in names:
            try:
                self.make(name, fd)
                inner = os.open(name, DIRECTORY, dir_fd=fd)
            finally:
                os.close(fd)
            fd = inner
        return fd

    def put(self, entry: Mapping[str, Any], directory: int, name: str, mode: int) -> None:
        """Copy a file that was sent, and is as its hash says, over what has its name."""
        number = entry["file"]
        if not isinstance(number, str) or not NUMBER.fullmatch(number) or number in self.used:
            raise ValueError("it is none of the files that were sent")
        self.used.add(number)
        temporary, digest = f".{token(8).hex()}", hashlib.sha256()
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        with open(os.open(self.stage / number, flags), "rb") as file:
            self.bytes_left -= (info := os.fstat(file.fileno())).st_size
            if self.bytes_left < 0 or not stat.S_ISREG(info.st_mode):
                raise ValueError("it has more bytes than --max-size")
            fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=directory)
            try:
                try:
                    while data := file.read(PART):
                        digest.update(data)
                        write_all(fd, data)
                    os.fchmod(fd, mode)
                finally:
                    os.close(fd)
                if digest.hexdigest() != entry["hash"] or file.tell() != entry["size"]:
                    raise ValueError("what arrived has another hash")
                os.rename(temporary, name, src_dir_fd=directory, dst_dir_fd=directory)
            except BaseException:
                with contextlib.suppress(OSError):
                    os.unlink(temporary, dir_fd=directory)
                raise


@contextlib.contextmanager
def bar(moved: Path) -> Iterator[Any]:
    """A progress bar on a terminal, which follows the number in a file; gives a function that is told the total."""
    if not (sys.stderr.isatty() and sys.stdout.isatty()):
        yield lambda total: None
        return
    import threading

    from rich import console, progress

    columns = (progress.BarColumn, progress.DownloadColumn, progress.TransferSpeedColumn, progress.TimeRemainingColumn)
    made = [column() for column in columns]
    shown = progress.Progress(*made, console=console.Console(stderr=True), transient=True)
    task, ended = shown.add_task("", total=None), threading.Event()

    def follow() -> None:
        while not ended.wait(0.2):
            with contextlib.suppress(OSError, ValueError):
                shown.update(task, completed=int(read(moved, 100)))

    with shown:
        watcher = threading.Thread(target=follow, daemon=True)
        watcher.start()
        try:
            yield lambda total: shown.update(task, total=total)
        finally:
            ended.set()
            watcher.join()


def main(args: argparse.Namespace) -> int:
    """Copy, and say what came of it. Exit codes as those of `salt`."""
    copy = Copy(args)
    try:
        copy.fetch() if args.back else copy.send()
    except KeyboardInterrupt:
        return EX_FAILED
    finally:
        if copy.offer:
            shutil.rmtree(copy.offer, ignore_errors=True)
    return copy.end()


arguments = (
    terminal.config_arguments,
    terminal.level_arguments,
    terminal.no_log_arguments,
    terminal.out_arguments,
    cp_arguments,
)
EXAMPLES = """
saltlite cp 'web*' nginx.conf conf.d /etc/nginx/     files and directories, to all whom the target means
saltlite cp -G os:Debian motd /etc/                  the target is a grain
saltlite cp --from 'web*' /var/log/nginx logs/       the other way, into logs/ID/
"""
COMMAND = Command("copy files to minions, or from them", main, arguments, EXAMPLES)
