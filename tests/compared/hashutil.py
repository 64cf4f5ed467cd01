"""hashutil: what is called. See tests/functions.py."""

from __future__ import annotations

from pathlib import Path
from typing import Any

ONE_TEXT = "base64_b64encode base64_encodestring md5_digest sha256_digest sha512_digest digest".split()
CASES: list[tuple[str, list[Any], dict[str, Any]]] = [
    *((f"hashutil.{fun}", [text], {}) for fun in ONE_TEXT for text in ("get salted", "", "ü" * 80)),
    *(("hashutil.digest", ["get salted", kind], {}) for kind in ("md5", "sha256", "sha512", "sha1", "odd")),
    *(("hashutil.digest_file", ["{scratch}/x", kind], {}) for kind in ("md5", "sha256", "sha512", "odd")),
    ("hashutil.digest_file", ["{scratch}/missing"], {}),
    *((f"hashutil.base64_{fun}", ["Z2V0IHNhbHRlZA=="], {}) for fun in ("b64decode", "decodestring")),
    *((f"hashutil.base64_{fun}", ["/w=="], {}) for fun in ("b64decode", "decodestring")),
    *((f"hashutil.base64_{fun}", ["abc"], {}) for fun in ("b64decode", "decodestring")),
    ("hashutil.base64_encodefile", ["{scratch}/x"], {}),
    ("hashutil.base64_encodefile", ["{scratch}/large"], {}),
    ("hashutil.base64_encodefile", ["{scratch}/missing"], {}),
    ("hashutil.base64_decodefile", ["Z2V0IHNhbHRlZAo=", "{scratch}/new"], {}),
    ("hashutil.base64_decodefile", ["Z2V0IHNhbHRlZAo=", "{scratch}/private"], {}),
    ("hashutil.base64_decodefile", ["Z2V0IHNhbHRlZAo=", "{scratch}/no/directory"], {}),
    ("hashutil.hmac_signature", ["get salted", "shared secret", "eBWf9bstXg+NiP5AOwppB5HMvZiYMPzEM9W5YMm/AmQ="], {}),
    ("hashutil.hmac_signature", ["get salted", "shared secret", "odd"], {}),
    ("hashutil.hmac_compute", ["get salted", "shared secret"], {}),
    ("hashutil.github_signature", ["{}", "shared", "sha1=3e5d4d0db55b3ef8a6f16a8f4d3a5e1cbd8e6c6f"], {}),
    ("hashutil.github_signature", ["get salted", "s", "sha256=0"], {}),
]
AFTER = True


def prepare(scratch: Path) -> None:
    (scratch / "x").write_text("x\n")
    (scratch / "large").write_bytes(bytes(range(256)) * 1000)
    (scratch / "private").write_text("old\n")
    (scratch / "private").chmod(0o600)


SENTENCE = "an error is a sentence, and no traceback"
DIFFERS = dict.fromkeys(
    (
        "hashutil.base64_b64decode abc",
        "hashutil.base64_decodestring abc",
        "hashutil.base64_encodefile {scratch}/missing",
        "hashutil.base64_decodefile Z2V0IHNhbHRlZAo= {scratch}/no/directory",
    ),
    SENTENCE,
)
