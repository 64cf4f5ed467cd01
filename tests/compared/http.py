"""http: what is called, and what is not. See tests/functions.py."""

from __future__ import annotations

import gzip
import http.server
import json
import threading
from pathlib import Path
from typing import Any

PRIVATE = ["/etc"]
NETWORK = True  # so that the port is free
URL = "http://127.0.0.1:7080"
XML = "<r xmlns='http://x'><a>1</a><b><c>2</c><c>3</c></b><b>4</b><d/></r>"
PAGES = {
    "/text": ("text/plain; charset=iso-8859-1", "gr\u00fcn".encode("latin-1")),
    "/json": ("application/json", b'{"a": [1, null, "\xc3\xa4"]}'),
    "/yaml": ("application/x-yaml", b"a: [1, two]\n"),
    "/xml": ("text/xml", XML.encode()),
}


class Pages(http.server.BaseHTTPRequestHandler):
    """Says some pages, or what it was asked."""

    def answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        path = self.path.partition("?")[0]
        kind, data = PAGES.get(path, ("application/json", b""))
        names = ("Authorization", "X-One", "X-Two", "Content-Type")
        said = {name: self.headers[name] for name in names if name in self.headers}
        if path == "/asked":
            data = json.dumps({"method": self.command, "path": self.path, "body": body, **said}).encode()
        self.send_response({"/gone": 404, "/broken": 500, "/moved": 302}.get(path, 200))
        self.send_header("Content-Type", kind)
        if path == "/moved":
            self.send_header("Location", f"{URL}/text")
        if path == "/packed":
            data = gzip.compress(b"packed")
            self.send_header("Content-Encoding", "gzip")
        self.send_header("Content-Length", str(len(data)))
        self.send_header("X-Answer", "yes")
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_POST = do_PUT = do_DELETE = answer  # noqa: N815

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing."""


def prepare(scratch: Path) -> None:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 7080), Pages)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    (scratch / "body").write_text("from a file")
    (scratch / "headers").write_text("X-One: 1\nX-Two: 2\n")


ASKED: dict[str, Any] = {"decode": True, "decode_type": "json"}
CASES: list[tuple[str, list[Any], dict[str, Any]]] = [
    ("http.query", [f"{URL}/text"], {}),
    ("http.query", [f"{URL}/text"], {"status": True, "text": True}),
    ("http.query", [f"{URL}/text"], {"headers": True}),
    ("http.query", [f"{URL}/text"], {"decode": True, "decode_type": "plain"}),
    ("http.query", [f"{URL}/json"], {"decode": True}),
    ("http.query", [f"{URL}/yaml"], {"decode": True}),
    ("http.query", [f"{URL}/xml"], {"decode": True}),
    ("http.query", [f"{URL}/xml"], {"decode": True, "decode_type": "cbor"}),
    ("http.query", [f"{URL}/text"], {"decode": True, "decode_type": "json"}),
    ("http.query", [f"{URL}/moved"], {"status": True}),
    ("http.query", [f"{URL}/gone"], {}),
    ("http.query", [f"{URL}/gone"], {"raise_error": False, "status": True}),
    ("http.query", [f"{URL}/broken"], {"status": True}),
    ("http.query", ["http://127.0.0.1:7081/"], {}),
    ("http.query", ["http://127.0.0.1:7081/"], {"status": True}),
    ("http.query", ["file:///etc/passwd"], {}),
    ("http.query", [f"{URL}/asked"], ASKED | {"params": {"a": "1 2", "b": "x"}}),
    ("http.query", [f"{URL}/asked?z=0"], ASKED | {"params": {"a": 1}}),
    ("http.query", [f"{URL}/asked"], ASKED | {"method": "POST", "data": "some text"}),
    ("http.query", [f"{URL}/asked"], ASKED | {"method": "POST", "data": {"k": "v w"}}),
    ("http.query", [f"{URL}/asked"], ASKED | {"method": "PUT", "data_file": "{scratch}/body"}),
    ("http.query", [f"{URL}/asked"], ASKED | {"method": "DELETE"}),
    ("http.query", [f"{URL}/asked"], ASKED | {"username": "u", "password": "p"}),
    ("http.query", [f"{URL}/asked"], ASKED | {"header_dict": {"X-One": "1"}, "header_list": ["X-Two: 2"]}),
    ("http.query", [f"{URL}/asked"], ASKED | {"header_list": ["X-Two:a:b"]}),
    ("http.query", [f"{URL}/asked"], ASKED | {"header_file": "{scratch}/headers"}),
    ("http.query", [f"{URL}/json"], {"test": True}),
    ("http.query", [f"{URL}/packed"], {"text": True}),
    ("http.wait_for_successful_query", [f"{URL}/text"], {"wait_for": 2}),
    ("http.wait_for_successful_query", [f"{URL}/gone"], {"wait_for": 1, "request_interval": 0.5}),
]
ONLY_SALT = {
    "http.update_ca_bundle": "the certificates are those of the system",
}
NOT_COMPARED: dict[str, str] = {}


def without_server(value: dict[str, Any]) -> dict[str, Any]:
    """An answer without what the server says of itself."""
    if "headers" in value:
        value["headers"] = {key: each for key, each in value["headers"].items() if key not in ("Server", "Date")}
    return value


NORMAL = {"http.query": without_server}
DIFFERS = {
    f"http.query {URL}/xml decode=True decode_type=cbor": "it is said before the server is asked",
    f"http.query {URL}/text decode=True decode_type=json": "our own sentence",
    "http.query file:///etc/passwd": "our own sentence",
    f"http.query {URL}/asked decode=True decode_type=json header_list=['X-Two:a:b']": "a value may hold a colon",
    f"http.query {URL}/packed text=True": "a packed answer is unpacked",
}
