"""Digests and base64, by the names of Salt 3008's salt.utils.hashutils; a text is its UTF-8."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import random
from typing import Any


def _bytes(value: Any) -> bytes:
    if isinstance(value, bytes | bytearray):
        return bytes(value)
    if isinstance(value, str):
        return value.encode()
    raise TypeError(f"expected str, bytearray, or bytes, not {type(value)}")


def _text(value: bytes) -> str | bytes:
    """A text, or the bytes if they are none."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value


def base64_b64encode(instr: Any) -> str:
    """Base64 in one line."""
    return base64.b64encode(_bytes(instr)).decode()


def base64_b64decode(instr: Any) -> str | bytes:
    """What base64 says: a text, or bytes that are none."""
    return _text(base64.b64decode(_bytes(instr)))


def base64_encodestring(instr: Any) -> str:
    """Base64 in lines of 76 letters, of which the last ends too."""
    return base64.encodebytes(_bytes(instr)).decode()


def base64_decodestring(instr: Any) -> str | bytes:
    """What base64 in lines says: a text, or bytes that are none."""
    return _text(base64.decodebytes(_bytes(instr)))


def md5_digest(instr: Any) -> str:
    return hashlib.md5(_bytes(instr)).hexdigest()


def sha1_digest(instr: Any) -> str:
    return hashlib.sha1(_bytes(instr)).hexdigest()


def sha256_digest(instr: Any) -> str:
    return hashlib.sha256(_bytes(instr)).hexdigest()


def sha512_digest(instr: Any) -> str:
    return hashlib.sha512(_bytes(instr)).hexdigest()


def hmac_signature(string: Any, shared_secret: Any, challenge_hmac: Any) -> bool:
    """Whether a HMAC in base64 is that of a text."""
    digest = hmac.new(_bytes(shared_secret), _bytes(string), hashlib.sha256).digest()
    return hmac.compare_digest(base64.b64encode(digest), _bytes(challenge_hmac))


def hmac_compute(string: Any, shared_secret: Any) -> str:
    """The HMAC of a text by SHA-256, in hexadecimal."""
    return hmac.new(_bytes(shared_secret), _bytes(string), hashlib.sha256).hexdigest()


def random_hash(size: int = 9999999999, hash_type: str | None = None) -> str:
    """The digest of a number up to `size` that nobody can foretell."""
    number = str(random.SystemRandom().randint(0, size))
    digest: str = getattr(hashlib, hash_type or "md5")(number.encode()).hexdigest()
    return digest


def _hasher(form: str) -> Any:
    if not hasattr(hashlib, form):
        raise ValueError(f"Invalid hash type: {form}")
    return getattr(hashlib, form)()


def get_hash(path: Any, form: str = "sha256", chunk_size: int = 65536) -> str:
    """The digest of a file, which is read in pieces."""
    hasher = _hasher(form)
    with open(path, "rb") as file:
        while chunk := file.read(chunk_size):
            hasher.update(chunk)
    digest: str = hasher.hexdigest()
    return digest


class DigestCollector:
    """One digest of many files and texts."""

    def __init__(self, form: str = "sha256", buff: int = 0x10000) -> None:
        self._hasher, self._size = _hasher(form), buff

    def add(self, path: Any) -> None:
        with open(path, "rb") as file:
            while chunk := file.read(self._size):
                self._hasher.update(chunk)

    def add_data(self, data: Any) -> None:
        self._hasher.update(data.encode() if isinstance(data, str) else data)

    def digest(self) -> str:
        """In hexadecimal, as a line."""
        return f"{self._hasher.hexdigest()}{os.linesep}"
