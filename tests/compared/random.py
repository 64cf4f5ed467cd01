"""random: what is called. See tests/functions.py. What is random is compared by what is not."""

from __future__ import annotations

import string
from typing import Any

CASES: list[tuple[str, list[Any], dict[str, Any]]] = [
    *(("random.hash", ["I am a string", kind], {}) for kind in ("md5", "sha1", "sha512", "blake2b", "odd")),
    ("random.hash", ["ü"], {}),
    *(("random.str_encode", ["I am a string", kind], {}) for kind in ("base64", "utf-16-le", "ascii", "odd")),
    ("random.str_encode", [5], {}),
    ("random.get_str", [], {}),
    ("random.get_str", [128], {"chars": "ab"}),
    ("random.get_str", [64], {"lowercase": False, "digits": False, "punctuation": False}),
    ("random.get_str", [64], {"punctuation": False, "whitespace": True}),
    ("random.get_str", [0], {}),
    ("random.get_str", ["odd"], {}),
    *(("random.shadow_hash", ["My5alT", "MyP@asswd", kind], {}) for kind in ("sha512", "sha256", "md5")),
    ("random.shadow_hash", ["ab", "MyP@asswd", "crypt"], {}),
    ("random.shadow_hash", ["ab", "x", "odd"], {}),
    *(("random.rand_int", [1, 10], {"seed": seed}) for seed in ("a", "b", 5)),
    ("random.rand_int", [10, 1], {}),
    ("random.seed", [], {}),
    ("random.seed", [1000], {"hash": "a"}),
    ("random.sample", [["one", "two", "three"], 2], {"seed": "something"}),
    ("random.sample", [["one"], 2], {}),
    ("random.shuffle", [["one", "two", "three", "four"]], {"seed": "something"}),
]


def kinds(text: str) -> list[Any]:
    """How long a random text is, and of what it may be."""
    names = ("ascii_lowercase", "ascii_uppercase", "digits", "punctuation", "whitespace")
    return [len(text), [name for name in names if len(text) > 30 and set(text) & set(getattr(string, name))]]


NORMAL = {"random.get_str": kinds}
DIFFERS = {
    "random.shadow_hash ab x odd": "the sentence names the methods that there are",
    'random.hash "I am a string" odd': "the sentence ends",
    **dict.fromkeys(
        [f'random.str_encode "I am a string" {kind}' for kind in ("utf-16-le", "ascii", "odd")],
        "a text can be encoded, which Salt refuses but for base64",
    ),
    "random.get_str odd": "the sentence names the argument",
    "random.rand_int 10 1": "an error is a sentence, and no traceback",
    "random.sample ['one'] 2": "an error is a sentence, and no traceback",
}
