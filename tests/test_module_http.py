"""http: against a real server on the loopback, and one that misbehaves."""

from __future__ import annotations

import base64
import contextlib
import datetime
import gzip
import http.server
import ipaddress
import json
import socket
import ssl
import threading
import time

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from one_minion import Minion


class Server(http.server.ThreadingHTTPServer):
    """Answers with what `say` gives of a request: status, headers, body."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.asked = []
        self.say = lambda asked: (200, {}, b"hello")
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def handle_error(self, request, client_address):
        """An asker that has gone is none."""


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def answer(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        asked = {"method": self.command, "path": self.path, "headers": dict(self.headers), "body": body}
        self.server.asked.append(asked)
        status, headers, said = self.server.say(asked)
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        for chunk in said if isinstance(said, list) else [said]:
            self.wfile.write(chunk)
            self.wfile.flush()
            if isinstance(said, list):
                time.sleep(0.1)

    do_GET = do_POST = do_PUT = answer  # noqa: N815

    def log_message(self, format, *args):
        """Nothing."""


@pytest.fixture
def server():
    server = Server()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def minion(tmp_path):
    return Minion(tmp_path / "m", None, grains={"saltversion": "3008.3"})


def test_what_is_asked_for_is_returned(minion, server, tmp_path):
    server.say = lambda asked: (200, {"Content-Type": "application/json", "x-one": "1"}, b'{"a": 1}')
    assert minion("http.query", server.url) == {"body": '{"a": 1}'}
    found = minion("http.query", server.url, status=True, headers=True, text=True, decode=True)
    assert (found["status"], found["headers"]["X-One"], found["dict"]) == (200, "1", {"a": 1})
    assert found["text"] == found["body"] == '{"a": 1}'
    minion("http.query", server.url, decode=True, text_out=str(tmp_path / "t"), decode_out=str(tmp_path / "d"))
    assert (tmp_path / "t").read_text() == (tmp_path / "d").read_text() == '{"a": 1}'
    assert minion("http.query", server.url, decode_body=False)["body"] == b'{"a": 1}'
    assert "cannot be written" in minion.error("http.query", server.url, text_out="/no/such/directory/x")


def test_all_of_a_request_arrives(minion, server, tmp_path):
    (tmp_path / "body").write_bytes(b"\xff\0")
    (tmp_path / "headers").write_text("X-Two: a:b\nnothing\n")
    given = {"header_dict": {"X-One": 1}, "header_file": str(tmp_path / "headers"), "header_list": ["X-Three: 3"]}
    minion(
        "http.query", server.url + "/p?z=1", "PUT", {"a": "1 2", "b": [1, 2]}, data_file=str(tmp_path / "body"), **given
    )
    asked = server.asked[-1]
    assert (asked["method"], asked["path"], asked["body"]) == ("PUT", "/p?z=1&a=1+2&b=1&b=2", b"\xff\0")
    assert [asked["headers"][name] for name in ("X-One", "X-Two", "X-Three")] == ["1", "a:b", "3"]
    assert asked["headers"]["User-Agent"] == "Salt/3008.3 http.query()" and "Content-Type" not in asked["headers"]
    minion("http.query", server.url, "POST", data={"k": "v w"}, auth=["u", "p:q"])
    asked = server.asked[-1]
    assert asked["body"] == b"k=v+w" and asked["headers"]["Content-Type"] == "application/x-www-form-urlencoded"
    assert asked["headers"]["Authorization"] == "Basic " + base64.b64encode(b"u:p:q").decode()
    assert "cannot be read" in minion.error("http.query", server.url, data_file="/no/such/file")


@pytest.mark.parametrize(("kind", "body", "data"), [
    ("text/xml", "<r><a>1</a><b>2</b><b>3</b></r>", [{"a": "1"}, {"b": "2"}, {"b": "3"}]),
    ("application/x-yaml", "a: [1]", {"a": [1]}), ("text/html", "x", None),
])  # fmt: skip
def test_an_answer_is_decoded_as_its_type_says(minion, server, kind, body, data):
    server.say = lambda asked: (200, {"Content-Type": kind}, body.encode())
    found = minion("http.query", server.url, decode=True)
    assert found.get("dict") == data and ("text" in found) is (data is None)
    assert "The answer is no json" in minion.error("http.query", server.url, decode=True, decode_type="json")
    assert "Invalid decode_type" in minion("http.query", server.url, decode=True, decode_type="cbor")["error"]


def test_text_is_in_its_charset_or_bytes(minion, server):
    server.say = lambda asked: (200, {"Content-Type": "text/plain; charset=latin-1"}, b"gr\xfcn")
    assert minion("http.query", server.url)["body"] == "grün"
    server.say = lambda asked: (200, {"Content-Type": "image/png"}, b"\xff\xfe")
    assert minion("http.query", server.url)["body"] == b"\xff\xfe"


def test_what_fails_is_an_answer_with_an_error(minion, server):
    server.say = lambda asked: (404, {}, b"gone")
    assert minion("http.query", server.url) == {"status": 404, "error": "HTTP 404: Not Found", "body": "gone"}
    assert minion("http.query", server.url, raise_error=False, status=True) == {"status": 404, "body": "gone"}
    nobody = minion("http.query", "http://127.0.0.1:1/", status=True)
    assert nobody["status"] == 0 and "Connection refused" in nobody["error"]
    assert minion("http.query", server.url, test=True) == {}
    assert minion("http.query", "http://127.0.0.1:1/", test=True, test_url=server.url)["test"] is True


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://127.0.0.1/", "/etc/passwd", "data:,x", ""])
def test_nothing_but_http_is_spoken(minion, server, url):
    assert "must begin with http:// or https://" in minion.error("http.query", url)
    server.say = lambda asked: (302, {"Location": url}, b"")
    if url not in ("", "/etc/passwd"):  # these are places on the same server
        assert "error" in minion("http.query", server.url) and len(server.asked) == 1


def test_a_redirection_takes_no_secrets_to_another_server(minion, server):
    other = Server()
    try:
        server.say = lambda asked: (302, {"Location": f"{other.url}/there"}, b"")
        secret = {"username": "u", "password": "p", "header_dict": {"Cookie": "c=1", "X-One": "1"}}
        assert minion("http.query", server.url, **secret)["body"] == "hello"
        headers = other.asked[-1]["headers"]
        assert headers["X-One"] == "1" and not {"Authorization", "Cookie"} & set(headers)
        server.say = lambda asked: (302, {"Location": "/again"}, b"") if asked["path"] == "/" else (200, {}, b"same")
        assert minion("http.query", server.url + "/", **secret)["body"] == "same"
        assert "Authorization" in server.asked[-1]["headers"]
        server.say = lambda asked: (302, {"Location": "/round"}, b"")
        assert "redirect" in minion("http.query", server.url)["error"]
    finally:
        other.shutdown()
        other.server_close()


@pytest.mark.parametrize("packed", [False, True])
def test_an_answer_is_bounded(minion, server, packed):
    minion.execution.functions["http.query"].__globals__["MAX_BODY"] = 1000
    for size in (999, 1000):
        server.say = lambda asked, size=size: reply(b"x" * size, packed)
        assert minion("http.query", server.url)["body"] == "x" * size
    for size in (1001, 10_000_000):
        server.say = lambda asked, size=size: reply(b"x" * size, packed)
        assert minion.error("http.query", server.url) == "The answer is larger than 1000 bytes."


def reply(data, packed):
    return (200, {"Content-Encoding": "gzip"}, gzip.compress(data, 1)) if packed else (200, {}, data)


def drip(listener):
    """Answers with one byte of a header after the other, until the asker has gone."""
    connection, _ = listener.accept()
    with connection, contextlib.suppress(OSError):
        connection.sendall(b"HTTP/1.0 200 OK\r\nX: ")
        for _ in range(600):
            connection.sendall(b"x")
            time.sleep(0.02)


def test_an_answer_has_its_time(minion, server):
    server.say = lambda asked: (200, {}, [b"x"] * 100)
    begun = time.monotonic()
    assert "error" in minion("http.query", server.url, timeout=0.4) and time.monotonic() - begun < 5
    assert minion("http.query", server.url, timeout=0.4)["error"] == "no whole answer within 0.4 seconds"
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=drip, args=[listener])
        thread.start()
        begun = time.monotonic()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        assert "no whole answer" in minion("http.query", url, timeout=0.4)["error"] and time.monotonic() - begun < 5
        thread.join()
    assert "must be a number of seconds" in minion.error("http.query", server.url, timeout="long")


@pytest.fixture
def secure(tmp_path):
    """A server whose certificate is signed by itself, and the certificate's file."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.datetime.now(datetime.timezone.utc)
    name = x509.Name([x509.NameAttribute(x509.oid.NameOID.COMMON_NAME, "127.0.0.1")])
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, now, now + datetime.timedelta(1))
    alternative = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    signed = builder.add_extension(alternative, False).sign(key, hashes.SHA256())
    pem = serialization.Encoding.PEM
    secret = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path = tmp_path / "server.pem"
    path.write_bytes(secret + signed.public_bytes(pem))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    server = Server()
    server.socket = context.wrap_socket(server.socket, server_side=True)
    yield server, str(path)
    server.shutdown()
    server.server_close()


def test_a_certificate_is_verified_unless_it_is_said(minion, secure, server):
    url, path = secure[0].url.replace("http:", "https:"), secure[1]
    assert "certificate verify failed" in minion("http.query", url)["error"]
    assert minion("http.query", url, verify_ssl=False)["body"] == "hello"
    assert minion("http.query", url, ca_bundle=path)["body"] == "hello"
    server.say = lambda asked: (302, {"Location": url}, b"")
    assert "certificate verify failed" in minion("http.query", server.url)["error"]
    for wrong in ({"ca_bundle": "/no/such/file"}, {"cert": "/no/such/file"}, {"cert": 7}):
        assert "ca_bundle or cert cannot be used" in minion.error("http.query", url, **wrong)


def test_cookies_are_kept_in_a_file(minion, server, tmp_path):
    server.say = lambda asked: (200, {"Set-Cookie": "a=1; Expires=Fri, 01 Jan 2100 00:00:00 GMT"}, b"")
    given = {"cookies": True, "cookie_jar": str(tmp_path / "jar")}
    minion("http.query", server.url, **given)
    minion("http.query", server.url, **given)
    assert server.asked[-1]["headers"]["Cookie"] == "a=1"
    (tmp_path / "jar").write_text("garbage")
    assert "cookie_jar" in minion.error("http.query", server.url, **given)


def test_a_server_is_asked_until_it_answers_well(minion, server):
    server.say = lambda asked: (200 if len(server.asked) > 2 else 503, {}, json.dumps(len(server.asked)).encode())
    given = {"wait_for": 20, "request_interval": 0.1}
    assert minion("http.wait_for_successful_query", server.url, **given) == {"body": "3"}
    server.say = lambda asked: (503, {}, b"")
    assert minion("http.wait_for_successful_query", server.url, wait_for=0.2, request_interval=0.1)["status"] == 503
