"""Hashes, signatures and base64 of texts and files."""

from __future__ import annotations

import base64
import binascii
import contextlib
import hashlib
import hmac
import os
import stat
import tempfile
from collections.abc import Mapping
from typing import Any

from salt.exceptions import CommandExecutionError

__salt__: Mapping[str, Any]

CHUNK = 57 * 1024  # bytes that are encoded at once: whole lines of base64


def _bytes(value: Any) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode("utf-8", "surrogateescape")


def _text_or_bytes(data: bytes) -> str | bytes:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data


def _decoded(instr: Any) -> bytes:
    try:
        return base64.b64decode(_bytes(instr))
    except binascii.Error as error:
        raise CommandExecutionError(f"This is not base64: {error}.") from None


def digest(instr, checksum="md5"):
    """The hash of a text, as hexadecimal text.

    instr
        the text
    checksum
        md5, sha256 or sha512

    CLI Example: salt '*' hashutil.digest 'get salted'"""
    if checksum not in ("md5", "sha256", "sha512"):
        raise CommandExecutionError(f"Hash func '{checksum}' is not supported.")
    return hashlib.new(checksum, _bytes(instr)).hexdigest()


def digest_file(infile, checksum="md5"):
    """The hash of a file, as hexadecimal text.

    infile
        the file
    checksum
        md5, sha256 or sha512

    CLI Example: salt '*' hashutil.digest_file /path/to/file sha256"""
    if not os.path.isfile(os.path.expanduser(infile)):
        raise CommandExecutionError(f"File path '{infile}' not found.")
    if checksum not in ("md5", "sha256", "sha512"):
        raise CommandExecutionError(f"Hash func '{checksum}' is not supported.")
    return __salt__["file.get_hash"](infile, checksum)


def md5_digest(instr):
    """The MD5 of a text, as hexadecimal text.

    instr
        the text

    CLI Example: salt '*' hashutil.md5_digest 'get salted'"""
    return hashlib.md5(_bytes(instr)).hexdigest()


def sha256_digest(instr):
    """The SHA-256 of a text, as hexadecimal text.

    instr
        the text

    CLI Example: salt '*' hashutil.sha256_digest 'get salted'"""
    return hashlib.sha256(_bytes(instr)).hexdigest()


def sha512_digest(instr):
    """The SHA-512 of a text, as hexadecimal text.

    instr
        the text

    CLI Example: salt '*' hashutil.sha512_digest 'get salted'"""
    return hashlib.sha512(_bytes(instr)).hexdigest()


def base64_b64encode(instr):
    """A text as base64, in one line.

    instr
        the text

    CLI Example: salt '*' hashutil.base64_b64encode 'get salted'"""
    return base64.b64encode(_bytes(instr)).decode()


def base64_b64decode(instr):
    """What base64 stands for: a text, or bytes if it is none.

    instr
        the base64

    CLI Example: salt '*' hashutil.base64_b64decode 'Z2V0IHNhbHRlZA=='"""
    return _text_or_bytes(_decoded(instr))


def base64_encodestring(instr):
    """A text as base64, in lines of 76 characters.

    instr
        the text

    CLI Example: salt '*' hashutil.base64_encodestring 'get salted'"""
    return base64.encodebytes(_bytes(instr)).decode()


def base64_decodestring(instr):
    """What base64 stands for: a text, or bytes if it is none.

    instr
        the base64

    CLI Example: salt '*' hashutil.base64_decodestring instr='Z2V0IHNhbHRlZAo='"""
    return _text_or_bytes(_decoded(instr))


def base64_encodefile(fname):
    """What a file holds as base64: text in lines of 76 characters.

    fname
        the file

    CLI Example: salt '*' hashutil.base64_encodefile /path/to/binary_file"""
    lines = []
    try:
        with open(os.path.expanduser(fname), "rb") as file:
            while chunk := file.read(CHUNK):
                lines.append(base64.encodebytes(chunk).decode())
    except OSError as error:
        raise CommandExecutionError(f"{fname}: {error.strerror}") from None
    return "".join(lines)


def _behind(path: str) -> str:
    """The file that a path means, behind links; another user's in a directory that is open to all is not followed, as
    the kernel's protected_symlinks has it."""
    with contextlib.suppress(FileNotFoundError):
        info, home = os.lstat(path), os.stat(os.path.dirname(path) or ".")
        stranger = info.st_uid not in (0, os.geteuid(), home.st_uid)
        if stat.S_ISLNK(info.st_mode) and home.st_mode & stat.S_IWOTH and stranger:
            raise CommandExecutionError(f"{path} is another user's link in a directory that is open to all.")
    return os.path.realpath(path)


def base64_decodefile(instr, outfile, test=False):
    """Write what base64 stands for into a file: True. The file is there whole or not at all.

    instr
        the base64
    outfile
        the file; one that is there is replaced, and keeps mode and owner
    test
        True: say what would be written

    CLI Example: salt '*' hashutil.base64_decodefile instr='Z2V0IHNhbHRlZAo=' outfile=/path/to/binary_file"""
    data, outfile = _decoded(instr), _behind(os.path.expanduser(outfile))
    if test:
        return f"Would write {len(data)} bytes to {outfile}."
    beside = ""
    try:
        descriptor, beside = tempfile.mkstemp(prefix=".decoded", dir=os.path.dirname(outfile))
        with open(descriptor, "wb") as file:
            file.write(data)
            if os.path.exists(outfile):
                info = os.stat(outfile)
                os.fchown(descriptor, info.st_uid, info.st_gid)
                os.fchmod(descriptor, info.st_mode & 0o7777)
            else:
                os.umask(mask := os.umask(0o077))
                os.fchmod(descriptor, 0o666 & ~mask)
            file.flush()
            os.fsync(descriptor)
        os.rename(beside, outfile)
    except OSError as error:
        with contextlib.suppress(OSError):
            os.unlink(beside)
        raise CommandExecutionError(f"{outfile}: {error.strerror}") from None
    return True


def hmac_signature(string, shared_secret, challenge_hmac):
    """Whether a signature is that of a text, HMAC with SHA-256: True or False.

    string
        the text
    shared_secret
        the key
    challenge_hmac
        the signature, as base64

    CLI Example: salt '*' hashutil.hmac_signature 'get salted' 'shared secret' 'eBWf9bstXg+NiP5AOwppB5HMvZi='"""
    found = hmac.new(_bytes(shared_secret), _bytes(string), hashlib.sha256).digest()
    return hmac.compare_digest(base64.b64encode(found), _bytes(challenge_hmac))


def hmac_compute(string, shared_secret):
    """The signature of a text, HMAC with SHA-256, as hexadecimal text.

    string
        the text
    shared_secret
        the key

    CLI Example: salt '*' hashutil.hmac_compute 'get salted' 'shared secret'"""
    return hmac.new(_bytes(shared_secret), _bytes(string), hashlib.sha256).hexdigest()


def github_signature(string, shared_secret, challenge_hmac):
    """Whether a signature is that of a text, as GitHub's webhooks sign: True or False.

    string
        the text
    shared_secret
        the key
    challenge_hmac
        `sha1=…` or `sha256=…`, with hexadecimal text behind it

    CLI Example: salt '*' hashutil.github_signature '{"ref": ""}' 'shared secret' 'sha1=bc6550fc290acf5b42'"""
    kind, _, challenge = str(challenge_hmac).partition("=")
    if kind not in hashlib.algorithms_guaranteed or not challenge:
        raise CommandExecutionError(f"{challenge_hmac!r} is no signature such as sha1=….")
    found = hmac.new(_bytes(shared_secret), _bytes(string), kind).hexdigest()
    return hmac.compare_digest(found, challenge)
