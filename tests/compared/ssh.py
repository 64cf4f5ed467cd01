"""ssh: what is called. See tests/functions.py. Each side has a copy of /root's directory that it may change."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

AFTER = True
KEY = "AAAAC3NzaC1lZDI1NTE5AAAAIHIhN3cIvFQTbhDdQo2zNS9qB1GhSUF3BMVt5d8rTRHZ"
OTHER = "AAAAC3NzaC1lZDI1NTE5AAAAIK0wmN/Cr3JXqmLW7u+g9pTh+wyqDHpSQEIQczXkVx9q"
HOST = "AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl"
PROTECTED = "Proc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,0\n\n"
AT = {"config": "{scratch}/authorized_keys"}
KNOWN = {"config": "{scratch}/known_hosts"}
H = {"hostname": "h.example.org", **KNOWN}


def prepare(scratch: Path) -> None:
    """Files of keys."""
    (scratch / "authorized_keys").write_text(f"# one\nno-pty,no-X11-forwarding ssh-ed25519 {OTHER} some body\n")
    (scratch / "known_hosts").write_text(f"other.example.org ssh-ed25519 {OTHER}\n")
    (scratch / "keyfile").write_text(f"ssh-ed25519 {KEY} new comment\nssh-ed25519 {OTHER} x\n")
    (scratch / "empty").write_text("nothing\n")
    (scratch / "ssh").mkdir()
    for name in ("ssh_host_ed25519_key", "ssh_host_ed25519_key.pub", "ssh_host_rsa_key-cert.pub", "ssh_config"):
        (scratch / "ssh" / name).write_text(f"{name}\n")
    begin, end = "-----BEGIN {}PRIVATE KEY-----\n", "-----END {}PRIVATE KEY-----\n"
    for name, kind, head in (("plain", "RSA ", ""), ("locked", "RSA ", PROTECTED), ("pkcs8", "ENCRYPTED ", "")):
        (scratch / name).write_text(f"{begin.format(kind)}{head}MIIB\n{end.format(kind)}")
    new = base64.b64encode(b"openssh-key-v1\0\0\0\0\x0aaes256-ctr\0\0\0\x06bcrypt").decode()
    (scratch / "newer").write_text(f"{begin.format('OPENSSH ')}{new}\n{end.format('OPENSSH ')}")
    (scratch / "ssh/id_x.pub").write_text(f"ssh-ed25519 {KEY} x\n")


CASES: list[tuple[str, list[Any], dict[str, Any]]] = [
    ("ssh.auth_keys", ["root"], AT),
    ("ssh.auth_keys", [["root", "nosuch"]], AT),
    ("ssh.auth_keys", ["root"], {"fingerprint_hash_type": "md5", **AT}),
    ("ssh.auth_keys", ["root"], {"config": "{scratch}/nosuch"}),
    ("ssh.check_key", ["root", KEY, "ed25519", "c", []], AT),
    ("ssh.set_auth_key", ["root", KEY, "ed25519", "c d"], AT),
    ("ssh.set_auth_key", ["root", KEY, "ed25519", "c d"], AT),
    ("ssh.check_key", ["root", KEY, "ed25519", "other", []], AT),
    ("ssh.set_auth_key", ["root", KEY, "ssh-ed25519"], {"options": ["no-pty"], **AT}),
    ("ssh.set_auth_key", ["root", "a b"], AT),
    ("ssh.set_auth_key", ["root", "abc"], AT),
    ("ssh.set_auth_key", ["root", KEY, "rot13"], AT),
    ("ssh.set_auth_key", ["nosuch", KEY], {}),
    ("ssh.set_auth_key", ["root", KEY, "ed25519"], {"config": "{scratch}/new/%u"}),
    ("ssh.check_key_file", ["root", "{scratch}/keyfile"], AT),
    ("ssh.set_auth_key_from_file", ["root", "{scratch}/keyfile"], AT),
    ("ssh.set_auth_key_from_file", ["root", "{scratch}/empty"], AT),
    ("ssh.auth_keys", ["root"], AT),
    ("ssh.rm_auth_key", ["root", OTHER], AT),
    ("ssh.rm_auth_key", ["root", OTHER], AT),
    ("ssh.rm_auth_key_from_file", ["root", "{scratch}/keyfile"], AT),
    ("ssh.host_keys", ["{scratch}/ssh"], {}),
    ("ssh.host_keys", ["{scratch}/ssh"], {"private": False, "certs": False}),
    ("ssh.user_keys", ["root"], {"pubfile": "{scratch}/ssh/id_x.pub", "prvfile": False}),
    ("ssh.user_keys", ["nosuch"], {}),
    ("ssh.get_known_host_entries", ["root"], H),
    ("ssh.check_known_host", ["root"], {"key": HOST, **H}),
    ("ssh.set_known_host", ["root"], {"key": HOST, "enc": "ssh-ed25519", "hash_known_hosts": False, **H}),
    ("ssh.set_known_host", ["root"], {"key": HOST, "enc": "ssh-ed25519", "hash_known_hosts": False, **H}),
    ("ssh.get_known_host_entries", ["root"], H),
    ("ssh.check_known_host", ["root"], {"key": HOST, **H}),
    ("ssh.check_known_host", ["root"], {"key": KEY, **H}),
    ("ssh.set_known_host", ["root"], {"key": KEY, "enc": "ssh-ed25519", "hash_known_hosts": False, **H}),
    ("ssh.rm_known_host", ["root"], H),
    ("ssh.rm_known_host", ["root"], KNOWN),
    ("ssh.hash_known_hosts", ["root"], {"config": "{scratch}/nosuch"}),
    ("ssh.set_known_host", ["root"], {"port": 23, **H}),
    *(
        ("ssh.key_is_encrypted", ["{scratch}/" + name], {})
        for name in ("plain", "locked", "pkcs8", "newer", "empty", "nosuch")
    ),
]
NORMAL = {
    "ssh.rm_known_host": lambda found: found["status"],
    "AFTER": lambda tree: {path: state for path, state in tree.items() if not path.endswith(".old")},
}
NOT_COMPARED = {
    "ssh.recv_known_host_entries": "it asks another machine",
}
DIFFERS = {
    "ssh.key_is_encrypted {scratch}/newer": "a key of OpenSSH's own form says so inside, which Salt does not look at",
    "ssh.key_is_encrypted {scratch}/nosuch": "the sentence has the name of the file",
    f"ssh.set_auth_key nosuch {KEY}": "what is wrong is raised, where Salt returns `fail`",
    "ssh.set_auth_key_from_file root {scratch}/empty config={scratch}/authorized_keys": "what is wrong is raised, "
    "where Salt returns `fail`",
}
