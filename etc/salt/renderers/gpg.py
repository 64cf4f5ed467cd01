"""The renderer `gpg`: PGP messages in texts are decrypted, by the gpg program, with the keys in gpg_keydir.

What cannot be decrypted is an error, and never the value. Nor is a message decrypted that stands in no file that this
pillar is made of, or that a minion has sent: it could have put it into its grains, to be told what it says."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from typing import Any

from saltlite import Failure, log, packed_leaf, printable

process: Any = packed_leaf("pillars", "process")

MESSAGE = re.compile(r"-----BEGIN PGP MESSAGE-----.*?-----END PGP MESSAGE-----", re.DOTALL)
MAX_MESSAGES = 1000  # in one text or one file's data
AT_ONCE = 50  # messages for one gpg process
MAX_KEPT = 10_000  # messages whose text is remembered
MAX_KEPT_SIZE = 32 << 20  # bytes of these texts


class Secrets:
    """What messages have been decrypted to, in memory only, so that gpg is asked once for each."""

    def __init__(self) -> None:
        self._texts: dict[bytes, bytes] = {}
        self._size = 0

    def decrypt(self, messages: list[str], keydir: str) -> dict[str, bytes]:
        """The texts of messages, without those that cannot be decrypted; Failure if gpg cannot be asked."""
        stamps = [_stamp(f"{keydir}/{name}") for name in ("private-keys-v1.d", "pubring.kbx", "secring.gpg")]
        keys = {each: hashlib.sha256(f"{keydir} {stamps} {each}".encode()).digest() for each in messages}
        known = {each: self._texts[key] for each, key in keys.items() if key in self._texts}
        missing = [each for each in keys if each not in known]
        end = time.monotonic() + process.MAX_SECONDS
        for at in range(0, len(missing), AT_ONCE):
            found = ask_gpg(missing[at : at + AT_ONCE], keydir, max(0.1, end - time.monotonic()))
            for message, text in found.items():
                self._keep(keys[message], text)
            known |= found
        return known

    def _keep(self, key: bytes, text: bytes) -> None:
        if len(self._texts) >= MAX_KEPT or self._size + len(text) > MAX_KEPT_SIZE:
            self._texts.clear()
            self._size = 0
        self._texts[key] = text
        self._size += len(text)


def _stamp(path: str) -> int:
    try:
        return os.stat(path).st_mtime_ns
    except OSError:
        return 0


@contextlib.contextmanager
def files_in_memory(contents: list[bytes]) -> Iterator[tuple[list[str], list[int], list[int]]]:
    """Names that gpg reads contents from, each N.asc with an N beside it that it writes to; all descriptors, and those
    that are written to. The names are links to memory: no text comes to a disk."""
    descriptors: list[int] = []
    with tempfile.TemporaryDirectory(prefix="saltlite-gpg-") as directory:
        try:
            for at, content in enumerate(contents):
                for name in (f"{at}.asc", f"{at}"):
                    descriptors.append(os.memfd_create(name))
                    os.symlink(f"/proc/self/fd/{descriptors[-1]}", f"{directory}/{name}")
                with open(descriptors[-2], "wb", closefd=False) as file:
                    file.write(content)
            yield [f"{directory}/{at}.asc" for at in range(len(contents))], descriptors, descriptors[1::2]
        finally:
            for descriptor in descriptors:
                os.close(descriptor)


def ask_gpg(messages: list[str], keydir: str, seconds: float) -> dict[str, bytes]:
    """Have one gpg process decrypt messages; what it does not decrypt is logged and left out."""
    program = shutil.which("gpg")
    if program is None:
        raise Failure("GPG unavailable: install gpg, or take gpg out of the render pipe.")
    contents = [message.replace(r"\n", "\n").encode() for message in messages]
    with files_in_memory(contents) as (names, descriptors, written):
        words = [program, "--homedir", keydir, "--batch", "--yes", "--no-tty", "--status-fd", "2", "--multifile", "-d"]
        ended = process.run("gpg", [*words, *names], rests=f"gpg {keydir}", seconds=seconds, pass_fds=descriptors)
        said = ended.complaint.decode(errors="replace")
        parts = said.split("[GNUPG:] FILE_START ")[1:]
        found = {}
        for at, message in enumerate(messages):
            part = parts[at] if at < len(parts) else said
            text = os.pread(written[at], process.MAX_OUTPUT, 0)
            if text and "[GNUPG:] FILE_DONE" in part and "[GNUPG:] DECRYPTION_FAILED" not in part:
                found[message] = text
            else:
                lines = [line for line in part.splitlines() if line.startswith("gpg: ")]
                log.error("gpg cannot decrypt a message with the keys in %s: %s", keydir, printable("; ".join(lines)))
    return found


def walk(data: Any) -> Iterator[str | bytes]:
    """All texts in data."""
    if isinstance(data, str | bytes):
        yield data
    for each in data.values() if isinstance(data, dict) else data if isinstance(data, list | tuple) else ():
        yield from walk(each)


def with_line_ends(data: Any) -> Any:
    if isinstance(data, str):
        return data.replace(r"\n", "\n")
    if isinstance(data, dict):
        return type(data)((key, with_line_ends(each)) for key, each in data.items())
    return type(data)(map(with_line_ends, data)) if isinstance(data, list | tuple) else data


def decrypt(pillar: Any, data: Any, translate_newlines: bool = False) -> Any:
    """Data, or a text, with the messages in its texts decrypted; the data themselves are not changed. With
    translate_newlines each `\\n` in any of them is a line end."""
    data = with_line_ends(data) if translate_newlines else data
    texts = [text if isinstance(text, str) else text.decode("latin-1") for text in walk(data)]
    messages = list(dict.fromkeys(message for text in texts for message in MESSAGE.findall(text)))
    if len(messages) > MAX_MESSAGES:
        raise Failure(f"more than {MAX_MESSAGES} PGP messages in one file are not decrypted.")
    if not messages:
        return data
    if not all(pillar.stands(message) for message in messages):
        raise Failure(
            "a PGP message that stands in no file of this pillar is not decrypted: a minion may have sent it."
        )
    keydir = pillar.opts["gpg_keydir"] or os.path.join(pillar.opts["conf_dir"], "gpgkeys")
    known = pillar.files.secrets.decrypt(messages, keydir)
    if len(known) < len(messages) and pillar.opts["gpg_decrypt_must_succeed"]:
        raise Failure(f"gpg cannot decrypt {len(messages) - len(known)} of {len(messages)} PGP messages.")

    def text_of(text: str | bytes) -> Any:
        raw = isinstance(text, bytes)
        written = text.decode("latin-1") if isinstance(text, bytes) else text
        if not MESSAGE.search(written):
            return text
        encoding = "latin-1" if raw else "utf-8"
        parts, end = [], 0
        for found in MESSAGE.finditer(written):
            parts += [written[end : found.start()].encode(encoding), known.get(found[0], found[0].encode(encoding))]
            end = found.end()
        whole = b"".join([*parts, written[end:].encode(encoding)]).rstrip(b"\n")
        try:
            return whole.decode()
        except UnicodeDecodeError:
            return whole

    def inside(value: Any) -> Any:
        if isinstance(value, str | bytes):
            return text_of(value)
        if isinstance(value, dict):
            return type(value)((key, inside(each)) for key, each in value.items())
        return type(value)(inside(each) for each in value) if isinstance(value, list | tuple) else value

    return inside(data)


def render(pillar: Any, sls: Any, data: Any, words: str, defaults: Any) -> Any:
    """A file's text or data, decrypted; Failure if gpg is not there, even if there is nothing to decrypt."""
    if shutil.which("gpg") is None:
        raise Failure("GPG unavailable: install gpg, or take gpg out of the render pipe.")
    return decrypt(pillar, data)


def wanted(listed: Any) -> list[tuple[str, Any]]:
    """The paths in decrypt_pillar, each with what is to decrypt it."""
    maps = (
        [listed] if isinstance(listed, dict) else [each if isinstance(each, dict) else {each: None} for each in listed]
    )
    return [(str(path), how) for each in maps for path, how in each.items()]


def decrypt_pillar(pillar: Any, made: dict[Any, Any]) -> list[str]:
    """Decrypt what decrypt_pillar lists, in place; what cannot be decrypted is taken away, and a sentence given."""
    errors = []
    for path, how in wanted(pillar.opts["decrypt_pillar"]):
        *parents, last = path.split(pillar.opts["decrypt_pillar_delimiter"])
        inside: Any = made
        for key in parents:
            inside = inside.get(key) if isinstance(inside, dict) else None
        if not isinstance(inside, dict) or inside.get(last) is None:
            continue
        inside = made
        for key in parents:  # in new maps, for the old ones are other pillars' too
            inside[key] = dict(inside[key])
            inside = inside[key]
        try:
            how = how or pillar.opts["decrypt_pillar_default"]
            if how != "gpg":
                raise Failure(f"decrypt_pillar: {how!r} decrypts nothing here; it may be gpg.")
            inside[last] = decrypt(pillar, inside[last])
        except Exception as error:
            del inside[last]
            log.error("pillar of %s: %s is left out: %s", pillar.minion_id, path, printable(str(error)[:1000]))
            errors.append(f"Failed to decrypt pillar key '{path}': {error}")
    return errors
