"""Frames recorded from real Salt, in both directions: payload, crypt and both protocols."""

import base64
import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization

import saltlite
from saltlite import AuthError, Crypticle, PayloadError, PrivateKey, PublicKey, pack, unpack

VECTORS = Path(__file__).parent / "vectors"


def vector(path):
    return json.loads(path.read_text(), object_hook=lambda m: base64.b64decode(m["b64"]) if list(m) == ["b64"] else m)


def named(pattern):
    found = sorted(VECTORS.glob(pattern))
    assert found, pattern
    return [pytest.param(vector(path), id=path.stem) for path in found]


def private(der):
    key = serialization.load_der_private_key(der, None)
    form = serialization.PrivateFormat.TraditionalOpenSSL
    return PrivateKey(key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()))


MINION_KEYS = {name: private(der) for name, der in vector(VECTORS / "minion_keys.json").items()}


def minion_for(tmp_path, key, minion, master=None, **opts):
    """A MinionProtocol of that id and key, which knows that master."""
    (tmp_path / "pki" / "minion").mkdir(parents=True, exist_ok=True)
    tree = saltlite.MinionTree(saltlite.load_opts("minion", str(tmp_path)))
    if master:
        tree.put_master_key(master)
    return saltlite.MinionProtocol(saltlite.load_opts("minion", str(tmp_path), {"id": minion, **opts}), tree, key)


@pytest.mark.parametrize("v", named("publish_*.json") + named("realmaster_publish_*.json"))
def test_publication_of_a_real_master_opens(v, tmp_path):
    frame = v.get("frame") or v["frames0"]
    frame = frame[0] if isinstance(frame, list) else frame
    protocol = minion_for(tmp_path, MINION_KEYS["mn-s3006"], "m", v["master_pub"])
    protocol.new_aes(v["aes_key"])
    load = protocol.publication([frame])
    assert load["jid"].isdigit() and load["fun"]
    assert {k: x for k, x in v.get("load", load).items() if k != "serial"} == load


@pytest.mark.parametrize("v", named("publish_*.json"))
def test_publication_twice_is_a_repeat(v, tmp_path):
    protocol = minion_for(tmp_path, MINION_KEYS["mn-s3006"], "m", v["master_pub"])
    protocol.new_aes(v["aes_key"])
    protocol.publication([v["frame"]])
    with pytest.raises(AuthError, match="repeated"):
        protocol.publication([v["frame"]])


@pytest.mark.parametrize("v", named("_*_mn-*.json"))
def test_request_of_a_real_minion_opens(v):
    frame = unpack(v["request_frame"])
    load = Crypticle(v["session_key"]).loads(saltlite.as_bytes(frame["load"]))
    key = MINION_KEYS[frame["id"]]
    assert key.public.recover(saltlite.as_bytes(load["tok"])) == b"salt"
    assert load["tok"] == key.private_encrypt(b"salt")
    assert load["nonce"] == v["nonce"] and load["id"] == frame["id"] and frame["version"] == 3
    assert v["load"].items() <= {k: x for k, x in load.items() if k in v["load"]}.items()


@pytest.mark.parametrize("v", named("_*_mn-*.json"))
def test_our_acknowledgement_is_the_recorded_one(v):
    """What the test master replied and the real minion took, made again by ours, but for the random IV."""
    crypticle = Crypticle(v["session_key"])
    recorded = crypticle.open(saltlite.as_bytes(unpack(v["reply_frame"])))
    assert recorded == saltlite.PREFIX + v["nonce"].encode() + pack(unpack(recorded[len(saltlite.PREFIX) + 32 :]))


@pytest.mark.parametrize("v", named("auth_mn-*_acc.json") + named("realmaster_auth_*.json"))
def test_credentials_of_a_recording_are_taken(v, tmp_path):
    request = unpack(v["request_frame"])["load"]
    key = private(v["minion_key_der"]) if "minion_key_der" in v else MINION_KEYS[v["minion_id"]]
    protocol = minion_for(tmp_path, key, request["id"])
    protocol._nonce = request["nonce"]
    if "token" in request:
        master = v.get("master_key_der")
        protocol._token = (
            private(master).decrypt("OAEP-SHA1", saltlite.as_bytes(request["token"])).decode() if master else ""
        )
    assert protocol.auth_reply(v["reply_frame"]) == saltlite.GOT_CREDENTIALS, protocol.why
    assert protocol.session.key == v["session_key"] and protocol.aes.key == v["aes_key"]
    assert (tmp_path / "pki" / "minion" / "minion_master.pub").stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("v", named("auth_mn-*_pend.json"))
def test_pending_reply_pins_nothing(v, tmp_path):
    request = unpack(v["request_frame"])["load"]
    protocol = minion_for(tmp_path, MINION_KEYS[request["id"]], request["id"])
    protocol._nonce = request["nonce"]
    assert protocol.auth_reply(v["reply_frame"]) == saltlite.KEY_PENDING
    assert not (tmp_path / "pki" / "minion" / "minion_master.pub").exists()


@pytest.mark.parametrize("v", named("auth_mn-*_acc.json"))
def test_our_auth_request_has_the_real_fields(v, tmp_path):
    request = unpack(v["request_frame"])
    key = MINION_KEYS[v["minion_id"]]
    ours = unpack(minion_for(tmp_path, key, v["minion_id"]).auth_request())
    assert list(ours) == list(request)
    fixed = ("cmd", "id", "pub", "enc_algo", "sig_algo")
    assert {k: ours["load"][k] for k in fixed} == {k: request["load"][k] for k in fixed}
    assert ours["load"].keys() == request["load"].keys()


@pytest.mark.parametrize("v", [p for p in named("realmaster__*.json") if "pillar" not in p.id])
def test_reply_of_a_real_master_opens(v, tmp_path):
    protocol = minion_for(tmp_path, MINION_KEYS["mn-s3006"], "m")
    protocol.session, protocol._nonce = Crypticle(v["session_key"]), v["nonce"]
    protocol.reply(v["reply_frame"])
    protocol._nonce = "0" * 32
    with pytest.raises(AuthError, match="another request"):
        protocol.reply(v["reply_frame"])


@pytest.mark.parametrize("release", ["3006", "3008"])
def test_pillar_of_a_real_master_opens(release, tmp_path):
    v = vector(VECTORS / f"realmaster__pillar_pmin{release}.json")
    auth = vector(VECTORS / f"realmaster_auth_pmin{release}.json")
    protocol = minion_for(tmp_path, private(auth["minion_key_der"]), f"pmin{release}", auth["master_pub"])
    protocol.session, protocol._nonce = Crypticle(v["session_key"]), v["nonce"]
    assert isinstance(protocol.reply(v["reply_frame"]), dict)
    protocol._nonce = "0" * 32
    with pytest.raises(AuthError):
        protocol.reply(v["reply_frame"])


def broken(data):
    """The bytes cut short at many places, and with single bits flipped."""
    yield from (data[:at] for at in range(0, len(data), max(1, len(data) // 25)))
    for at in range(0, len(data), max(1, len(data) // 25)):
        yield data[:at] + bytes([data[at] ^ 1 << at % 8]) + data[at + 1 :]


@pytest.mark.parametrize("v", named("publish_*.json"))
def test_broken_publication_never_opens_to_something_else(v, tmp_path):
    protocol = minion_for(tmp_path, MINION_KEYS["mn-s3006"], "m", v["master_pub"])
    wanted = {k: x for k, x in v["load"].items() if k != "serial"}
    for data in broken(v["frame"]):
        protocol.aes, protocol._serial = Crypticle(v["aes_key"]), 0
        try:
            assert protocol.publication([data]) == wanted  # a bit of sig_algo's name, say, that is not used
        except (AuthError, PayloadError):
            pass


@pytest.mark.parametrize("v", named("auth_mn-*_acc.json"))
def test_broken_credentials_raise_nothing_odd_and_pin_nothing(v, tmp_path):
    request = unpack(v["request_frame"])["load"]
    events = set()
    for data in broken(v["reply_frame"]):
        protocol = minion_for(tmp_path, MINION_KEYS[v["minion_id"]], v["minion_id"])
        protocol._nonce = request["nonce"]
        try:
            events.add(protocol.auth_reply(data))
        except (AuthError, PayloadError):
            pass
        assert not (tmp_path / "pki" / "minion" / "minion_master.pub").exists()
    assert events <= {saltlite.BAD_SIGNATURE, saltlite.KEY_REFUSED, saltlite.MASTER_CHANGED}


@pytest.mark.parametrize("bits", [2048, 3072, 4096])
def test_x931_goes_both_ways_for_every_key_size(bits):
    key = PrivateKey(PrivateKey.generate(bits))
    size = bits // 8
    for message in (b"salt", b"a" * 64, b"\xcc" * 10, b"x" * (size - 2), b""):
        assert key.public.recover(key.private_encrypt(message)) == message
    with pytest.raises(AuthError):
        key.public.recover(b"\1" * size)


@pytest.mark.parametrize("algo", saltlite.ENC_ALGOS)
def test_oaep_opens_only_whole(algo):
    key = MINION_KEYS["mn-s3006"]
    sealed = key.public.encrypt(algo, b"x" * 76)
    assert key.decrypt(algo, sealed) == b"x" * 76
    with pytest.raises(AuthError):
        key.decrypt(algo, sealed[:-1] + bytes([sealed[-1] ^ 1]))


@pytest.mark.parametrize("length", [0, 1, 15, 16, 17, 1000])
def test_box_opens_to_what_was_sealed_and_no_flipped_bit_passes(length):
    crypticle = Crypticle(Crypticle.generate())
    box = crypticle.seal(b"a" * length)
    assert crypticle.open(box) == b"a" * length
    for data in broken(box):
        with pytest.raises(AuthError):
            crypticle.open(data)


def test_fingerprint_is_salts():
    """What salt-key -f of 3006 prints for this key: SHA-256 over the inner lines with their line ends."""
    pem = "-----BEGIN PUBLIC KEY-----\nYWJj\nZGVm\n-----END PUBLIC KEY-----"
    import hashlib

    digest = hashlib.sha256(b"YWJj\nZGVm\n").hexdigest()
    assert saltlite.fingerprint(pem) == ":".join(digest[i : i + 2] for i in range(0, 64, 2))


ODD_KEYS = {
    "empty": "",
    "text": "not a key",
    "private": PrivateKey.generate(2048).decode(),
    "two": MINION_KEYS["mn-s3006"].public.pem * 2,
    "unicode": MINION_KEYS["mn-s3006"].public.pem + "\u2028",
    "huge": MINION_KEYS["mn-s3006"].public.pem + " " * 9000,
}


@pytest.mark.parametrize("name", ODD_KEYS)
def test_what_is_no_single_rsa_key_is_refused(name):
    with pytest.raises(AuthError):
        PublicKey(ODD_KEYS[name])


def test_small_keys_and_odd_exponents_are_refused():
    from cryptography.hazmat.primitives.asymmetric import ec, rsa

    form = (serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    for key in (
        rsa.generate_private_key(65537, 1024),
        rsa.generate_private_key(3, 2048),
        ec.generate_private_key(ec.SECP256R1()),
    ):
        with pytest.raises(AuthError):
            PublicKey(key.public_key().public_bytes(*form).decode())


ODD_MESSAGES = {
    "trailing bytes": pack({"a": 1}) + b"\0",
    "a key twice": b"\x82\xa1a\x01\xa1a\x02",
    "unknown extension": b"\xc7\x01\x05a",
    "deep": b"\x91" * 3000 + b"\xc0",
    "list as key": b"\x81\x90\x01",
    "nothing": b"",
    "cut": pack({"a": "b" * 100})[:-1],
    "huge array": b"\xdd\xff\xff\xff\xff",
}


@pytest.mark.parametrize("name", ODD_MESSAGES)
def test_odd_msgpack_raises_payload_error(name):
    with pytest.raises(PayloadError):
        unpack(ODD_MESSAGES[name])


@pytest.mark.parametrize(
    "value",
    [None, True, 1, -5, 2**64 - 1, 1.5, "text", "ümlaut", b"\xff\xfe", [1, [2]], {"a": {1: "b"}}, {"b": b"\xff"}],
)
def test_what_is_packed_comes_out_again(value):
    assert unpack(pack(value)) == value


def test_what_msgpack_does_not_know_goes_as_salt_sends_it():
    import datetime

    assert unpack(pack({"a": {3, 1, 2}})) == {"a": [1, 2, 3]}
    assert unpack(pack([2**70, (1, 2)])) == [str(2**70), [1, 2]]
    assert unpack(pack(datetime.datetime(2026, 11, 23, 1, 2, 3, 4))) == "20261123T01:02:03.000004"


@pytest.mark.parametrize("part", ["p", "q", "dmp1", "dmq1", "iqmp"])
def test_a_private_key_with_a_wrong_number_is_refused(part):
    """As a signature with it would betray the key."""
    from cryptography.hazmat.primitives.asymmetric import rsa

    pem = saltlite.PrivateKey.generate(2048)
    key = serialization.load_pem_private_key(pem, None)
    assert isinstance(key, rsa.RSAPrivateKey)
    numbers = key.private_numbers()
    order = ("p", "q", "d", "dmp1", "dmq1", "iqmp")
    parts = [getattr(numbers, name) + (2 if name == part else 0) for name in order]
    public = numbers.public_numbers
    made = [0, public.n, public.e, parts[2], *parts[:2], *parts[3:]]
    with pytest.raises(saltlite.AuthError, match="private key"):
        saltlite.PrivateKey(pkcs1(made))
    assert saltlite.PrivateKey(
        pkcs1([0, public.n, public.e, numbers.d] + [getattr(numbers, n) for n in order if n != "d"])
    )


def pkcs1(numbers):
    """The PEM of an RSAPrivateKey (RFC 8017, A.1.2) from its nine numbers."""

    def der(tag, body):
        size = len(body).to_bytes(2, "big").lstrip(b"\0")
        return bytes([tag]) + (b"" if len(body) < 128 else bytes([0x80 + len(size)])) + size + body

    body = b"".join(der(2, number.to_bytes(number.bit_length() // 8 + 1, "big")) for number in numbers)
    text = base64.encodebytes(der(0x30, body)).decode()
    return f"-----BEGIN RSA PRIVATE KEY-----\n{text}-----END RSA PRIVATE KEY-----\n".encode()
