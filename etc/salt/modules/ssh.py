"""SSH: which keys log in as a user, which hosts are known, and this machine's own keys.

Files are written beside their place and renamed. What lies in a user's home is read and written with that user's
rights, so that a link there leads nowhere that the user could not go."""

from __future__ import annotations

import base64
import binascii
import contextlib
import hashlib
import os
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from salt.exceptions import CommandExecutionError, SaltInvocationError

__context__: dict[str, Any]
__grains__: dict[str, Any]
__opts__: dict[str, Any]
__salt__: Mapping[str, Any]

SHORT = {  # other words for kinds of keys
    **dict.fromkeys(("r", "rsa", "ssh-rsa"), "ssh-rsa"),
    **dict.fromkeys(("d", "dsa", "dss", "ssh-dss"), "ssh-dss"),
    **dict.fromkeys(("e", "ecdsa"), "ecdsa-sha2-nistp256"),
    **dict.fromkeys(("ed25519", "ssh-ed25519"), "ssh-ed25519"),
}
KINDS = {
    *SHORT.values(),
    *(f"ecdsa-sha2-nistp{size}" for size in (256, 384, 521)),
    *(f"ecdsa-sha2-nistp{size}-cert-v01@openssh.com" for size in (256, 384, 521)),
    "rsa-sha2-256",
    "rsa-sha2-512",
    "rsa-sha2-256-cert-v01@openssh.com",
    "rsa-sha2-512-cert-v01@openssh.com",
    "ssh-rsa-cert-v01@openssh.com",
    "ssh-ed25519-cert-v01@openssh.com",
    "sk-ecdsa-sha2-nistp256@openssh.com",
    "sk-ecdsa-sha2-nistp256-cert-v01@openssh.com",
    "sk-ssh-ed25519@openssh.com",
    "sk-ssh-ed25519-cert-v01@openssh.com",
}
LINE = re.compile(r"(.*?)\s?((?:sk-)?(?:ssh-|ecds)[\w@.-]+\s.+)")  # options, then kind, key and comment
PORT = 22
MAX_KEY = 1 << 20  # bytes of a private key that are looked at
OPENSSH_KEY = b"openssh-key-v1\0"  # how one of the newer form begins
SCANS = 5  # tries to be told a host's keys


# Files


@contextlib.contextmanager
def _as_owner(path: str, user: Mapping[str, Any] | None) -> Iterator[None]:
    """With a user's rights if the path lies in that user's home and we are root."""
    home = str((user or {}).get("home", ""))
    if os.geteuid() != 0 or not user or not user["uid"] or not home.strip("/") or not path.startswith(f"{home}/"):
        yield
        return
    groups = os.getgroups()
    os.setgroups([user["gid"]])
    os.setegid(user["gid"])
    os.seteuid(user["uid"])
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)
        os.setgroups(groups)


def _lines(path: str, user: Mapping[str, Any] | None = None) -> list[str]:
    """A file's lines: they end where sshd ends them, and at no other letter, which may stand in a comment."""
    try:
        with _as_owner(path, user), open(path, encoding="utf-8", errors="surrogateescape", newline="\n") as file:
            text = file.read()
            return text.removesuffix("\n").split("\n") if text else []
    except OSError as error:
        raise CommandExecutionError(f"{path} cannot be read: {error.strerror}") from None


def _write(path: str, lines: Sequence[str], user: Mapping[str, Any] | None, mode: int = 0o600) -> None:
    """Write a file's lines, whole or not at all; it keeps mode, owner and SELinux context, a new one is the user's."""
    import tempfile

    data = "".join(f"{line}\n" for line in lines).encode("utf-8", "surrogateescape")
    owner = (user["uid"], user["gid"]) if user and os.geteuid() == 0 else None
    temporary = ""
    try:
        with _as_owner(path, user):
            path = os.path.realpath(path)
            directory = os.path.dirname(path)
            if not os.path.isdir(directory):
                os.makedirs(directory, 0o700)
                if owner and os.geteuid() == 0:
                    os.chown(directory, *owner)
            before = os.stat(path) if os.path.exists(path) else None
            descriptor, temporary = tempfile.mkstemp(prefix=f".{os.path.basename(path)}.", dir=directory)
            with open(descriptor, "wb") as file:
                file.write(data)
                if before and os.geteuid() == 0:
                    os.fchown(descriptor, before.st_uid, before.st_gid)
                elif owner and os.geteuid() == 0:
                    os.fchown(descriptor, *owner)
                os.fchmod(descriptor, before.st_mode & 0o7777 if before else mode)
                if before:
                    with contextlib.suppress(OSError):  # where there is SELinux
                        os.setxattr(descriptor, "security.selinux", os.getxattr(path, "security.selinux"))
                file.flush()
                os.fsync(descriptor)
            os.rename(temporary, path)
    except OSError as error:
        if temporary:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
        raise CommandExecutionError(f"{path} cannot be written: {error.strerror}") from None
    if not before and shutil.which("restorecon"):
        _run(["restorecon", os.path.dirname(path), path])


def _run(argv: Sequence[str]) -> tuple[int, str]:
    """Run a program: (exit code, stdout)."""
    import subprocess

    env = {**os.environ, "LC_ALL": "C"}
    pipes: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    try:
        done = subprocess.run(argv, env=env, check=False, **pipes)
    except OSError as error:
        raise CommandExecutionError(f"{argv[0]} cannot be run: {error.strerror}") from None
    return done.returncode, done.stdout.decode(errors="replace")


def _true(value: Any) -> bool:
    return value.lower() in ("true", "yes", "1", "on") if isinstance(value, str) else bool(value)


def _user(name: Any) -> dict[str, Any]:
    """What is known of a user; raises if there is none of this name."""
    found: dict[str, Any] = __salt__["user.info"](name)
    if not found:
        raise CommandExecutionError(f"User '{name}' does not exist")
    return found


# Keys that log in


def _kind(enc: Any) -> str:
    kind = SHORT.get(str(enc), str(enc))
    if kind not in KINDS:
        raise CommandExecutionError(f"Incorrect encryption key type '{enc}'.")
    return kind


def _fingerprint(key: str, kind: str | None) -> str | None:
    """A key's fingerprint, bytes in hexadecimal with colons; None if it is no key."""
    name = (kind or "sha256").lower()
    if name not in hashlib.algorithms_available:
        raise CommandExecutionError(f"The fingerprint_hash_type {name} is not supported.")
    try:
        raw = base64.b64decode(key, validate=True)
    except (binascii.Error, ValueError):
        return None
    return ":".join(f"{byte:02x}" for byte in hashlib.new(name, raw).digest())


def _config(user: Mapping[str, Any], config: Any) -> str:
    """The path of a user's authorized_keys; %u, %h and %% mean what they mean to sshd."""
    words = {"%": "%", "u": user["name"], "h": user["home"]}
    wrong = re.search(r"%([^%uh]|$)", str(config).replace("%%", ""))
    if wrong:
        raise CommandExecutionError(f"There is no {wrong[0]!r} in the path of authorized_keys, only %u, %h and %%")
    path = re.sub(r"%(.)", lambda found: str(words[found[1]]), str(config))
    return os.path.join(user["home"], path)


def _parsed(line: str) -> tuple[str, dict[str, Any]] | None:
    """A line of authorized_keys: its key, and {"enc", "comment", "options"}; None if it has none."""
    found = None if line.strip().startswith("#") else LINE.fullmatch(line.strip())
    words = found[2].split() if found else []
    if not found or len(words) < 2:
        return None
    options = found[1].split(",") if found[1] else []
    return words[1], {"enc": words[0], "comment": " ".join(words[2:]), "options": options}


def _keys(lines: Sequence[str], kind: str | None) -> dict[str, dict[str, Any]]:
    """The keys of authorized_keys: {key: {"enc", "comment", "options", "fingerprint"}}."""
    found = {}
    for key, about in filter(None, map(_parsed, lines)):
        fingerprint = _fingerprint(key, kind)
        if fingerprint is not None:
            found[key] = {**about, "fingerprint": fingerprint}
    return found


def _line(key: str, enc: str, comment: Any, options: Any) -> str:
    """A line of authorized_keys; what would become two is refused."""
    listed = options.split(",") if isinstance(options, str) else options or []
    text = f"{','.join(map(str, listed))} {enc} {key} {comment or ''}" if listed else f"{enc} {key} {comment or ''}"
    if re.search(r"[\x00-\x08\x0a-\x1f\x7f]", text):
        raise SaltInvocationError("comment and options may have no line end and no control character")
    return text


def _keys_of_file(source: Any, saltenv: Any, kind: str | None) -> dict[str, dict[str, Any]]:
    """The keys of a file of the master's, or of an address."""
    path = __salt__["cp.cache_file"](source, saltenv)
    if not path or not os.path.isfile(path):
        raise CommandExecutionError(f"Failed to pull key file {source} from salt file server")
    found = _keys(_lines(path), kind)
    if not found:
        raise CommandExecutionError(f"No keys detected in {source}. Is file properly formatted?")
    return found


def auth_keys(user=None, config=".ssh/authorized_keys", fingerprint_hash_type=None):
    """The keys that log in as a user. Returns {key: {"enc", "comment", "options", "fingerprint"}}. With a list of
    users, or without any for all of them: {user: that}, of those who have such a file.

    CLI Example:
        salt '*' ssh.auth_keys root
        salt '*' ssh.auth_keys '[user1, user2]'"""
    names = user or __salt__["user.list_users"]()
    found = {}
    for name in names if isinstance(names, list) else [names]:
        about = __salt__["user.info"](name)
        path = _config(about, config) if about else ""
        with _as_owner(path, about):
            there = os.path.isfile(path)
        if there:
            found[name] = _keys(_lines(path, about), fingerprint_hash_type)
    return found if isinstance(names, list) else found.get(names, {})


def check_key(
    user,
    key,
    enc,
    comment,
    options,
    config=".ssh/authorized_keys",
    cache_keys=None,
    fingerprint_hash_type=None,
):
    """What ssh.set_auth_key would do with a key. Returns "add", "update" or "exists".

    CLI Example: salt '*' ssh.check_key root AAAAC3NzaC1lZDI1NTE5 ssh-ed25519 'a comment' '[]'"""
    about = auth_keys(user, config, fingerprint_hash_type).get(key)
    if not about:
        _kind(enc)
        return "add"
    now = _line(key, about["enc"], about["comment"], about["options"])
    return "exists" if now == _line(key, _kind(enc), comment, options) else "update"


def check_key_file(user, source, config=".ssh/authorized_keys", saltenv="base", fingerprint_hash_type=None):
    """What ssh.set_auth_key_from_file would do. Returns {key: "add", "update" or "exists"}.

    CLI Example: salt '*' ssh.check_key_file root salt://ssh/keyfile"""
    keys = _keys_of_file(source, saltenv, fingerprint_hash_type)
    return {
        key: check_key(user, key, about["enc"], about["comment"], about["options"], config)
        for key, about in keys.items()
    }


def host_keys(keydir=None, private=True, certs=True):
    """This machine's own keys as they stand in their files. Returns {"ed25519": text, "ed25519.pub": text …}.
    private=False: the public ones alone, as a master should ask for them; certs=False: no certificates.

    CLI Example: salt '*' ssh.host_keys private=False"""
    directory = keydir or "/etc/ssh"
    try:
        names = sorted(os.listdir(directory))
    except OSError as error:
        raise CommandExecutionError(f"{directory} cannot be read: {error.strerror}") from None
    found = {}
    for name in names:
        parts = re.match(r"ssh_host_(.+)_key((-cert)?\.pub)?", name)
        if not parts or (not parts[2] and not _true(private)) or (parts[3] and not _true(certs)):
            continue
        try:
            with open(os.path.join(directory, name), errors="replace") as file:
                found[f"{parts[1]}{parts[2] or ''}"] = file.read().strip()
        except OSError:
            found[f"{parts[1]}{parts[2] or ''}"] = ""
    return found


def key_is_encrypted(key):
    """Whether a private key has a pass phrase. Returns True or False; raises if the file is no private key.

    key: the file; one of OpenSSH's newer form, which says so inside, counts, too

    CLI Example: salt '*' ssh.key_is_encrypted /root/.ssh/id_ed25519"""
    path = os.path.expanduser(str(key))
    try:
        with open(path, errors="replace") as file:
            text = file.read(MAX_KEY)
    except OSError as error:
        raise CommandExecutionError(f"{path}: {error.strerror}") from None
    if not (begin := re.search(r"BEGIN (?:\w+\s)*PRIVATE KEY-*\s+", text)):
        raise CommandExecutionError(f"{key} is not a private key")
    with contextlib.suppress(binascii.Error, ValueError):
        head = base64.b64decode("".join(text[begin.end() :].partition("-----")[0].split())[:64])
        if head.startswith(OPENSSH_KEY):  # then the length and name of the cipher
            return not head[len(OPENSSH_KEY) :].startswith(b"\0\0\0\x04none")
    return "ENCRYPTED" in text


def rm_auth_key(user, key, config=".ssh/authorized_keys", fingerprint_hash_type=None, test=False):
    """Let a key no longer log in as a user. Returns "Key removed" or "Key not present". Other lines stay as they are.

    CLI Example: salt '*' ssh.rm_auth_key alice AAAAC3NzaC1lZDI1NTE5"""
    if key not in auth_keys(user, config, fingerprint_hash_type):
        return "Key not present"
    about = _user(user)
    path = _config(about, config)
    if _true(test):
        return f"Would remove the key from {path}. Nothing was changed."
    lines = _lines(path, about)
    _write(path, [line for line in lines if (_parsed(line) or [None])[0] != key], about)
    return "Key removed"


def rm_auth_key_from_file(
    user, source, config=".ssh/authorized_keys", saltenv="base", fingerprint_hash_type=None, test=False
):
    """Let the keys in a file no longer log in as a user. Returns "Key removed" or "Key not present".

    CLI Example: salt '*' ssh.rm_auth_key_from_file alice salt://ssh/keyfile"""
    keys = _keys_of_file(source, saltenv, fingerprint_hash_type)
    said = [rm_auth_key(user, key, config, fingerprint_hash_type, test) for key in keys]
    return next((each for each in said if each != "Key not present"), "Key not present")


def set_auth_key(
    user,
    key,
    enc="ssh-rsa",
    comment="",
    options=None,
    config=".ssh/authorized_keys",
    cache_keys=None,
    fingerprint_hash_type=None,
    test=False,
):
    """Let a key log in as a user. Returns "new", "replace" (its kind, comment or options have changed) or "no change";
    "invalid" or "Invalid public key" if it is none. test=True says what would be done.

    CLI Example: salt '*' ssh.set_auth_key alice AAAAC3NzaC1lZDI1NTE5 ssh-ed25519 comment=alice@example.org"""
    if len(str(key).split()) != 1:
        return "invalid"
    kind, about = _kind(enc), _user(user)
    if _fingerprint(key, fingerprint_hash_type) is None:
        return "Invalid public key"
    path, line = _config(about, config), _line(key, kind, comment, options)
    state = check_key(user, key, enc, comment, options, config, None, fingerprint_hash_type)
    if state == "exists":
        return "no change"
    if _true(test):
        return f"Would {state} the key in {path}. Nothing was changed."
    if path.startswith(f"{about['home']}/") and not os.path.isdir(about["home"]):
        raise CommandExecutionError(f"The home of user '{user}', {about['home']}, is not there")
    with _as_owner(path, about):
        there = os.path.exists(path)
    lines = _lines(path, about) if there else []
    if state == "update":
        lines = [line if (_parsed(each) or [None])[0] == key else each for each in lines]
    else:
        lines.append(line)
    _write(path, lines, about)
    return "replace" if state == "update" else "new"


def set_auth_key_from_file(
    user, source, config=".ssh/authorized_keys", saltenv="base", fingerprint_hash_type=None, test=False, **kwargs
):
    """Let the keys in a file log in as a user. Returns "new", "replace" or "no change"; options: instead of those in
    the file.

    CLI Example: salt '*' ssh.set_auth_key_from_file alice salt://ssh/keyfile"""
    said = []
    for key, about in _keys_of_file(source, saltenv, fingerprint_hash_type).items():
        how = about["enc"], about["comment"], kwargs.get("options") or about["options"]
        said.append(set_auth_key(user, key, *how, config, None, fingerprint_hash_type, test))
    if wrong := [each for each in said if each in ("invalid", "Invalid public key")]:
        return wrong[0]
    return next((each for each in ("replace", "new") if each in said), said[0])


def user_keys(user=None, pubfile=None, prvfile=None):
    """A user's own keys as they stand in their files. Returns {user: {"id_ed25519.pub": text …}}, of all users or of
    those named. prvfile=False: the public ones alone; pubfile, prvfile: other names or paths.

    CLI Example: salt '*' ssh.user_keys alice prvfile=False"""
    names = user or __salt__["user.list_users"]()
    usual = [f"id_{kind}" for kind in ("rsa", "dsa", "ecdsa", "ed25519")]
    wanted = [] if pubfile is False else [pubfile] if pubfile else [f"{name}.pub" for name in usual]
    wanted += [] if prvfile is False else [prvfile] if prvfile else usual
    found: dict[str, dict[str, str]] = {}
    for name in names if isinstance(names, list) else [names]:
        about = __salt__["user.info"](name)
        for key in wanted if about else []:
            path = str(key) if str(key).startswith("/") else f"{about['home']}/.ssh/{key}"
            with contextlib.suppress(CommandExecutionError):
                text = "\n".join(_lines(path, about)).strip()
                found.setdefault(name, {})[os.path.basename(path)] = text
    return found


# Hosts that are known


def _known_hosts(user: Any, config: Any) -> tuple[str, dict[str, Any] | None] | dict[str, str]:
    """The path of known_hosts, and whose it is; or what to return instead."""
    path = str(config or (".ssh/known_hosts" if user else "/etc/ssh/ssh_known_hosts"))
    about = __salt__["user.info"](user) if user else None
    if user and not about and not os.path.isabs(path):
        return {"status": "error", "error": f"User {user} does not exist"}
    if not about and not os.path.isabs(path):
        return {"status": "error", "error": "Cannot determine absolute path to file."}
    return (os.path.join(about["home"], path) if about else path), about or None


def _host(hostname: Any, port: Any) -> str:
    text = str(hostname)
    if not re.fullmatch(r"[^\s\x00-\x1f\x7f,-][^\s\x00-\x1f\x7f,]*", text):
        raise SaltInvocationError(f"{text!r} is no name of a host")
    return text if port in (None, "") or int(port) == PORT else f"[{text}]:{int(port)}"


def _entries(text: str, kind: str | None) -> list[dict[str, str]]:
    """Lines of known_hosts, as ssh-keygen and ssh-keyscan print them."""
    found = []
    for line in text.splitlines():
        words = line.split()
        if len(words) == 3 and not line.startswith("#") and (fingerprint := _fingerprint(words[2], kind)):
            found.append({"hostname": words[0], "key": words[2], "enc": words[1], "fingerprint": fingerprint})
    return found


def check_known_host(
    user=None, hostname=None, key=None, fingerprint=None, config=None, port=None, fingerprint_hash_type=None
):
    """What ssh.set_known_host would do. Returns "add", "update" or "exists".

    CLI Example: salt '*' ssh.check_known_host root github.com"""
    if not hostname:
        return {"status": "error", "error": "hostname argument required"}
    entries = get_known_host_entries(user, hostname, config, port, fingerprint_hash_type)
    if isinstance(entries, dict):
        return entries
    if not entries:
        return "add"
    known = {each["key" if key else "fingerprint"] for each in entries}
    return "update" if (key or fingerprint) and (key or fingerprint) not in known else "exists"


def get_known_host_entries(user, hostname, config=None, port=None, fingerprint_hash_type=None):
    """Returns what a user's known_hosts has of a host; without a user what the machine's has.

    A list of {"hostname", "enc", "key", "fingerprint"}, None if there is nothing.

    CLI Example: salt '*' ssh.get_known_host_entries root github.com"""
    found = _known_hosts(user, config)
    if isinstance(found, dict):
        return found
    path, _ = found
    out = _run(["ssh-keygen", "-F", _host(hostname, port), "-f", path])[1]
    return _entries(out, fingerprint_hash_type) or None


def hash_known_hosts(user=None, config=None, test=False):
    """Replace the names in known_hosts by hashes of them. Returns {"status": "updated", "comment": text}.

    CLI Example: salt '*' ssh.hash_known_hosts alice"""
    found = _known_hosts(user, config)
    if isinstance(found, dict):
        return found
    path, about = found
    if not os.path.isfile(path):
        return {"status": "error", "error": f"Known hosts file {path} does not exist"}
    if _true(test):
        return {"status": "test", "comment": f"Would hash the names in {path}. Nothing was changed."}
    return {"status": "updated", "comment": _edited(path, about, "-H")}


def _edited(path: str, about: Mapping[str, Any] | None, *words: str) -> str:
    """Let ssh-keygen edit a copy of known_hosts, and put it into its place."""
    import tempfile

    with tempfile.TemporaryDirectory() as directory:
        copy = os.path.join(directory, "known_hosts")
        with open(copy, "w", encoding="utf-8", errors="surrogateescape") as file:
            file.writelines(f"{line}\n" for line in _lines(path, about))
        said = _run(["ssh-keygen", *words, "-f", copy])[1].replace(copy, path)
        _write(path, _lines(copy), about)
    return said.strip()


def recv_known_host_entries(
    hostname, enc=None, port=None, hash_known_hosts=True, timeout=5, fingerprint_hash_type=None
):
    """Returns a host's keys, as it tells them to whoever asks. Whether they are its own, this does not show.

    A list of {"hostname", "enc", "key", "fingerprint"}, or None.

    CLI Example: salt '*' ssh.recv_known_host_entries github.com enc=ssh-ed25519"""
    argv = ["ssh-keyscan", *(["-p", str(int(port))] if port else []), *(["-t", str(enc)] if enc else [])]
    argv += [*(["-H"] if _true(hash_known_hosts) else []), "-T", str(int(timeout)), "--", _host(hostname, None)]
    out = next(filter(None, (_run(argv)[1] for _ in range(SCANS))), "")
    return _entries(out, fingerprint_hash_type) or None


def rm_known_host(user=None, hostname=None, config=None, port=None, test=False):
    """Take a host out of known_hosts. Returns {"status": "removed", "comment": text}.

    CLI Example: salt '*' ssh.rm_known_host alice github.com"""
    if not hostname:
        return {"status": "error", "error": "hostname argument required"}
    found = _known_hosts(user, config)
    if isinstance(found, dict):
        return found
    path, about = found
    if not os.path.isfile(path):
        return {"status": "error", "error": f"Known hosts file {path} does not exist"}
    if _true(test):
        return {"status": "test", "comment": f"Would take {hostname} out of {path}. Nothing was changed."}
    return {"status": "removed", "comment": _edited(path, about, "-R", _host(hostname, port))}


def set_known_host(
    user=None,
    hostname=None,
    fingerprint=None,
    key=None,
    port=None,
    enc=None,
    config=None,
    hash_known_hosts=True,
    timeout=5,
    fingerprint_hash_type=None,
    test=False,
):
    """Put a host's keys into known_hosts.

    Those are the one that is given, or those that the host tells, which must have the fingerprint if one is given.
    Returns {"status": "updated", "old": entries, "new": entries}, {"status": "exists",
    "keys": keys} or {"status": "error", "error": text}.

    CLI Example: salt '*' ssh.set_known_host alice github.com fingerprint='7d:0c:…'"""
    if not hostname:
        return {"status": "error", "error": "hostname argument required"}
    if port not in (None, "") and int(port) != PORT and _true(hash_known_hosts):
        both = "argument port can not be used in conjunction with argument hash_known_hosts"
        return {"status": "error", "error": both}
    place = _known_hosts(user, config)
    if isinstance(place, dict):
        return place
    path, about = place
    old = get_known_host_entries(user, hostname, config, port, fingerprint_hash_type) or []
    kinds = {_kind(enc)} if enc else KINDS
    known = [each["key"] for each in old if each["enc"] in kinds]
    as_wanted = (key in known) if key else any(each["fingerprint"] == fingerprint for each in old)
    if old and (key or fingerprint) and as_wanted:
        return {"status": "exists", "keys": known}
    if key:
        line = _line(str(key), _kind(enc or "ssh-rsa"), "", None).split()
        new = [{"hostname": _host(hostname, port), "enc": line[0], "key": line[1]}]
    else:
        new = recv_known_host_entries(hostname, enc, port, hash_known_hosts, timeout, fingerprint_hash_type) or []
        if not new:
            return {"status": "error", "error": "Unable to receive remote host keys"}
        if fingerprint and fingerprint not in {each["fingerprint"] for each in new}:
            none = "Remote host public keys found but none of their fingerprints match the one you have provided"
            return {"status": "error", "error": none}
        if old and not fingerprint and {each["key"] for each in new} == set(known):
            return {"status": "exists", "keys": known}
    if _true(test):
        return {"status": "test", "comment": f"Would put {len(new)} keys of {hostname} into {path}."}
    with _as_owner(path, about):
        there = os.path.exists(path)
    lines = _lines(path, about) if there else []
    gone = {(each["enc"], each["key"]) for each in old if each["enc"] in kinds}
    same = {each["hostname"] for each in old}
    lines = [each for each in lines if not _is_one(each, gone, same)]
    _write(path, [*lines, *(f"{each['hostname']} {each['enc']} {each['key']}" for each in new)], about)
    if key and _true(hash_known_hosts):
        _edited(path, about, "-H")
    return {"status": "updated", "old": old or None, "new": new}


def _is_one(line: str, entries: set[tuple[str, str]], names: set[str]) -> bool:
    """Whether a line of known_hosts is one of these, of this host alone."""
    words = line.split()
    return len(words) >= 3 and words[0] in names and (words[1], words[2]) in entries
