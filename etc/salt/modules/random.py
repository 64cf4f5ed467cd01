"""Random texts and numbers, and hashes of texts; what a password is made of comes from the system's own generator."""

from __future__ import annotations

import base64
import codecs
import hashlib
import random
import secrets
import string
from collections.abc import Mapping
from typing import Any

from salt.exceptions import CommandExecutionError, SaltInvocationError

__grains__: Mapping[str, Any]

MAX_LENGTH = 1 << 16  # characters of a random text
SALT_CHARACTERS = string.ascii_letters + string.digits + "./"
METHODS = {"sha512": ("$6$", 16), "sha256": ("$5$", 16), "md5": ("$1$", 8), "crypt": ("", 2)}  # prefix, length of salt


def hash(value, algorithm="sha512"):
    """The hash of a text, as hexadecimal text.

    value
        the text
    algorithm
        one that Python's hashlib knows

    CLI Example: salt '*' random.hash 'I am a string' md5"""
    data = value.encode() if isinstance(value, str) else value
    try:
        return hashlib.new(str(algorithm), data).hexdigest()
    except ValueError:
        raise SaltInvocationError("You must specify a valid algorithm.") from None
    except TypeError:
        raise SaltInvocationError("The value must be a text.") from None


def str_encode(value, encoder="base64"):
    """A text in another encoding: text for base64, else bytes.

    value
        the text
    encoder
        base64, or an encoding that Python knows

    CLI Example: salt '*' random.str_encode 'I am a new string' base64"""
    if not isinstance(value, (str, bytes)):
        raise SaltInvocationError("Value must be an encode-able string")
    data = value.encode() if isinstance(value, str) else value
    if encoder == "base64":
        return base64.b64encode(data).decode()
    try:
        return data.decode().encode(codecs.lookup(encoder).name)
    except LookupError:
        raise SaltInvocationError("You must specify a valid encoder") from None
    except UnicodeError as error:
        raise SaltInvocationError(f"Value has no form in {encoder}: {error}") from None


def get_str(
    length=20,
    chars=None,
    lowercase=True,
    uppercase=True,
    digits=True,
    punctuation=True,
    whitespace=False,
    printable=False,
):
    """A random text.

    length
        its characters, at most 65,536
    chars
        what it is made of; without it the next ones count
    lowercase, uppercase, digits, punctuation, whitespace
        whether these are among them
    printable
        all of these

    CLI Example: salt '*' random.get_str 128 punctuation=False"""
    kinds = {
        string.ascii_lowercase: lowercase,
        string.ascii_uppercase: uppercase,
        string.digits: digits,
        string.punctuation: punctuation,
        string.whitespace: whitespace,
    }
    found = string.printable if printable else chars or "".join(kind for kind, wanted in kinds.items() if wanted)
    try:
        number = int(length)
    except (TypeError, ValueError):
        raise CommandExecutionError(f"length must be a number, not {length!r}.") from None
    if not 0 <= number <= MAX_LENGTH or not found:
        raise CommandExecutionError(f"length must be 0 to {MAX_LENGTH}, and some characters must be wanted.")
    return "".join(secrets.choice(str(found)) for _ in range(number))


def _crypt(password: str, setting: str) -> str:
    """crypt(3), which libcrypt has, or the C library itself."""
    import ctypes
    import ctypes.util

    for name in (ctypes.util.find_library("crypt"), "libcrypt.so.2", "libcrypt.so.1", None):
        try:
            function = ctypes.CDLL(name).crypt
        except (OSError, AttributeError):
            continue
        function.restype, function.argtypes = ctypes.c_char_p, [ctypes.c_char_p, ctypes.c_char_p]
        found = function(password.encode(), setting.encode())
        if not found or found.startswith(b"*"):
            raise CommandExecutionError(f"This machine's crypt(3) does not take {setting!r}.")
        return found.decode()
    raise CommandExecutionError("This machine has no crypt(3): install libcrypt.")


def shadow_hash(crypt_salt=None, password=None, algorithm="sha512"):
    """A salted hash of a password, as /etc/shadow holds it: text.

    crypt_salt
        what is mixed in; without: random
    password
        the password; without: a random one
    algorithm
        sha512, sha256, md5 or crypt

    CLI Example: salt '*' random.shadow_hash 'My5alT' 'MyP@asswd' sha512"""
    algorithm = algorithm or "sha512"
    if algorithm not in METHODS:
        raise SaltInvocationError(f"Cannot hash using '{algorithm}': there are {', '.join(METHODS)}.")
    prefix, size = METHODS[algorithm]
    salted = "".join(secrets.choice(SALT_CHARACTERS) for _ in range(size)) if crypt_salt is None else str(crypt_salt)
    word = get_str() if password is None else str(password)
    if "\0" in word or "\0" in salted:
        raise SaltInvocationError("Neither password nor salt can hold a NUL character.")
    return _crypt(word, prefix + salted)


def rand_int(start=1, end=10, seed=None):
    """A random whole number from `start` to `end`, both included.

    start, end
        whole numbers
    seed
        the same number each time for the same text or number

    CLI Example: salt '*' random.rand_int 1 10"""
    try:
        return (random if seed is None else random.Random(seed)).randint(int(start), int(end))
    except (TypeError, ValueError) as error:
        raise SaltInvocationError(f"There is no whole number from {start} to {end}: {error}") from None


def seed(range=10, hash=None):
    """A number from 0 to below `range`, the same each time for the same minion.

    range
        a whole number
    hash
        a text or number in place of the minion's id

    CLI Example: salt '*' random.seed 10 hash=None"""
    try:
        return random.Random(__grains__["id"] if hash is None else hash).randrange(int(range))
    except (TypeError, ValueError) as error:
        raise SaltInvocationError(f"There is no number below {range}: {error}") from None


def sample(value, size, seed=None):
    """Some members of a list, in a random order.

    value
        the list
    size
        how many
    seed
        the same ones each time for the same text

    CLI Example: salt '*' random.sample '["one", "two"]' 1 seed="something" """
    source = random.SystemRandom() if seed is None else random.Random(hash(seed))
    try:
        return source.sample(list(value), int(size))
    except (TypeError, ValueError) as error:
        raise SaltInvocationError(f"{size} of {value!r} cannot be had: {error}") from None


def shuffle(value, seed=None):
    """A list in a random order.

    value
        the list
    seed
        the same order each time for the same text

    CLI Example: salt '*' random.shuffle '["one", "two"]' seed="something" """
    return sample(value, len(value), seed)
