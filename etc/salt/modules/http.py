"""Ask web servers, for webhooks, REST and tests. What they answer is bounded in time and size.

Python's own HTTP does it; only http:// and https:// are spoken, also after a redirection."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import socket
import threading
import time
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from salt.exceptions import CommandExecutionError, SaltInvocationError

__grains__: dict[str, Any]
__opts__: dict[str, Any]

QUERY_SECONDS, MOST_SECONDS = 60, 3600  # for a whole answer: unless something is said, and at most
MAX_BODY = 16 * 1024 * 1024  # bytes of an answer, unpacked
CHUNK = 64 * 1024
DECODERS = ("json", "xml", "yaml", "plain")
BUNDLES = """/etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt /etc/ssl/certs/ca-bundle.crt
    /var/lib/ca-certificates/ca-bundle.pem /etc/ssl/cert.pem""".split()  # of Debian, Red Hat, SUSE, Alpine
WINDOW = {"gzip": 16 + zlib.MAX_WBITS, "deflate": -zlib.MAX_WBITS}  # how zlib unpacks a Content-Encoding


def _read(response: Any, deadline: float) -> bytes:
    """The body of an answer, unpacked. Raises CommandExecutionError if it is too large, TimeoutError if too slow."""
    window = WINDOW.get(str(response.headers.get("Content-Encoding", "")).lower())
    unpack = zlib.decompressobj(window) if window else None
    body = bytearray()
    while chunk := response.read1(CHUNK):
        body += unpack.decompress(chunk, MAX_BODY + 1 - len(body)) if unpack else chunk
        if len(body) > MAX_BODY:
            raise CommandExecutionError(f"The answer is larger than {MAX_BODY} bytes.")
    if time.monotonic() > deadline:  # it has not ended, but was cut off
        raise TimeoutError
    return bytes(body)


def _as_text(body: bytes, headers: Any) -> str | bytes:
    """A body as text, in the charset that is said, else UTF-8; as it is if it is no such text."""
    charset = headers.get_content_charset() if headers.get_content_maintype() == "text" else None
    try:
        return body.decode(charset or "utf-8")
    except (LookupError, UnicodeDecodeError):
        return body


def _xml(node: Any) -> Any:
    """An element of XML as a map of its children, those of one name in a list; a leaf as {name: text}."""

    def named(each: Any) -> str:
        return each.tag.rpartition("}")[2]

    if not len(node):
        return {named(node): node.text}
    found: dict[str, Any] = {}
    for child in node:
        name = named(child)
        if name not in found:
            found[name] = _xml(child) if len(child) else child.text
            continue
        found[name] = found[name] if isinstance(found[name], list) else [found[name]]
        found[name].append(_xml(child))
    return found


def _decoded(body: Any, kind: str) -> Any:
    """A body as data. Raises CommandExecutionError if it is none."""
    try:
        if kind == "json":
            return json.loads(body)
        if kind == "yaml":
            import yaml

            return yaml.safe_load(body)
        from xml.etree import ElementTree

        return [_xml(each) for each in ElementTree.fromstring(body)]
    except Exception as error:  # each has errors of its own
        raise CommandExecutionError(f"The answer is no {kind}: {error}") from None


def _kind_of(decode_type: str, headers: Any) -> str:
    """Which decoder is meant."""
    if decode_type != "auto":
        return decode_type
    said = headers.get("Content-Type", "application/json")
    return next((kind for kind in ("xml", "json", "yaml") if kind in said), "plain")


def _headers(header_dict: Any, header_list: Any, header_file: Any, agent: Any) -> dict[str, str]:
    """The headers of a request, from all that say some."""
    lines = list(header_list or ())
    if header_file is not None:
        lines += _file("header_file", header_file).decode(errors="replace").splitlines()
    found = {str(name): str(value) for name, value in (header_dict or {}).items()}
    for line in lines:
        name, colon, value = str(line).partition(":")
        if colon:
            found[name.strip()] = value.strip()
    return {**found, "User-agent": str(agent or f"Salt/{__grains__.get('saltversion', '')} http.query()")}


def _file(name: str, path: Any) -> bytes:
    try:
        return Path(str(path)).read_bytes()
    except OSError as error:
        raise CommandExecutionError(f"{name}: {path} cannot be read: {error.strerror}") from None


def _tls(verify_ssl: Any, ca_bundle: Any, cert: Any) -> Any:
    """The TLS context for what is asked."""
    import ssl

    bundle = ca_bundle or __opts__.get("ca_bundle") or next((path for path in BUNDLES if os.path.exists(path)), None)
    try:
        context = ssl.create_default_context(cafile=bundle)
        if verify_ssl is False or (verify_ssl is None and __opts__.get("verify_ssl") is False):
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        if cert is not None:
            context.load_cert_chain(*([cert] if isinstance(cert, str) else cert))
    except (OSError, TypeError) as error:
        raise CommandExecutionError(f"ca_bundle or cert cannot be used: {error}") from None
    return context


def _opener(context: Any, jar: Any, opened: list[Any]) -> Any:
    """What opens http:// and https:// and nothing else, follows redirections, and tells another host no secrets. Its
    sockets are put into a list."""
    import http.client
    import urllib.parse
    import urllib.request

    class Redirects(urllib.request.HTTPRedirectHandler):
        def redirect_request(self, req: Any, *args: Any) -> Any:
            made = super().redirect_request(req, *args)
            if made and urllib.parse.urlsplit(made.full_url)[:2] != urllib.parse.urlsplit(req.full_url)[:2]:
                for name in ("Authorization", "Cookie"):
                    made.remove_header(name)
            return made

    def noted(kind: Any) -> Any:
        class Connection(kind):
            def connect(self) -> None:
                super().connect()
                opened.append(self.sock)

        return Connection

    class Plain(urllib.request.HTTPHandler):
        def http_open(self, req: Any) -> Any:
            return self.do_open(noted(http.client.HTTPConnection), req)

    class Secure(urllib.request.HTTPSHandler):
        def https_open(self, req: Any) -> Any:
            return self.do_open(noted(http.client.HTTPSConnection), req, context=context)

    class Types(urllib.request.BaseHandler):
        """Only a POST is a form, where nothing else is said."""

        handler_order = 900  # after the handler that has said so

        def http_request(self, req: Any) -> Any:
            if req.get_method() != "POST":
                req.unredirected_hdrs.pop("Content-type", None)
            return req

        https_request = http_request

    opener = urllib.request.OpenerDirector()
    made: list[urllib.request.BaseHandler] = [Types(), Plain(), Secure(context=context), Redirects()]
    made += [urllib.request.HTTPDefaultErrorHandler(), urllib.request.HTTPErrorProcessor()]
    made += [urllib.request.UnknownHandler()]
    made += [urllib.request.HTTPCookieProcessor(jar)] if jar is not None else []
    if __opts__.get("proxy_host") and __opts__.get("proxy_port"):
        secret = [str(__opts__.get(f"proxy_{name}") or "") for name in ("username", "password")]
        user = ":".join(map(urllib.parse.quote, secret)) + "@" if all(secret) else ""
        proxy = f"http://{user}{__opts__['proxy_host']}:{__opts__['proxy_port']}"
        made.append(urllib.request.ProxyHandler({"http": proxy, "https": proxy}))
    for each in made:
        opener.add_handler(each)
    return opener


def _jar(cookies: Any, cookie_jar: Any, cookie_format: str) -> Any:
    """The cookies of earlier calls, from their file; None if they are not wanted."""
    import http.cookiejar

    if cookies is None:
        return None
    path = str(cookie_jar or os.path.join(__opts__.get("cachedir", "/tmp"), "cookies.txt"))
    kind = http.cookiejar.MozillaCookieJar if cookie_format == "mozilla" else http.cookiejar.LWPCookieJar
    jar = kind(path)
    try:
        if os.path.exists(path):
            jar.load()
    except OSError as error:  # a file that holds no cookies, too
        raise CommandExecutionError(f"cookie_jar: {path} cannot be read: {error}") from None
    return jar


def query(
    url,
    method="GET",
    params=None,
    data=None,
    data_file=None,
    header_dict=None,
    header_list=None,
    header_file=None,
    username=None,
    password=None,
    auth=None,
    decode=False,
    decode_type="auto",
    status=False,
    headers=False,
    text=False,
    cookies=None,
    cookie_jar=None,
    cookie_format="lwp",
    test=False,
    test_url=None,
    ca_bundle=None,
    verify_ssl=None,
    cert=None,
    text_out=None,
    decode_out=None,
    agent=None,
    raise_error=True,
    decode_body=True,
    backend=None,
    timeout=QUERY_SECONDS,
):
    """Ask a web server.

    url, method, params (a map for the query string), data (a text, or a map for a form), data_file (its file)
    header_dict, header_list ("Name: value"), header_file, agent (its User-Agent)
    username and password, or auth=[username, password]: for basic authentication
    verify_ssl (False: any certificate will do), ca_bundle (a file), cert (a file, or [certificate, key])
    cookies (True: kept in a file), cookie_jar (that file), cookie_format (lwp or mozilla)
    status, headers, text: give these, too
    decode: give the answer as data, with decode_type auto, json, xml, yaml or plain; text_out, decode_out: write it
        into this file
    decode_body=False: the body as bytes
    raise_error=False: whatever it answers is no error
    timeout: seconds for the whole answer
    test: ask nobody, or test_url; backend: without a meaning here

    Returns {"body": text}, and as asked for "status": number, "headers": map, "text": text, "dict": data; if it fails
    {"error": text}, with "status" and "body" as far as there was an answer.

    CLI Example:
        salt '*' http.query http://somelink.com/ status=True
        salt '*' http.query http://somelink.com/ method=POST data='{"key1": "val1"}' decode=True"""
    import http.client
    import urllib.error
    import urllib.parse
    import urllib.request

    if decode and decode_type not in ("auto", *DECODERS):
        return {"error": f"Invalid decode_type specified. Valid decode types are: {DECODERS}"}
    if test and test_url is None:
        return {}
    target = str(test_url if test else url)
    if urllib.parse.urlsplit(target).scheme not in ("http", "https"):
        raise CommandExecutionError(f"url: {target} must begin with http:// or https://")
    if params and not test:
        target += ("&" if urllib.parse.urlsplit(target).query else "?") + urllib.parse.urlencode(params, doseq=True)
    try:
        seconds = min(max(float(timeout), 0.1), MOST_SECONDS)
    except (TypeError, ValueError):
        raise SaltInvocationError(f"timeout: {timeout!r} must be a number of seconds.") from None
    if data_file is not None:
        data = _file("data_file", data_file)
    if isinstance(data, Mapping):
        data = urllib.parse.urlencode(data)
    body = data if data is None or isinstance(data, bytes) else str(data).encode()
    given = _headers(header_dict, header_list, header_file, agent)
    pair = auth or (username, password)
    if pair[0] and pair[1]:
        given["Authorization"] = "Basic " + base64.b64encode(f"{pair[0]}:{pair[1]}".encode()).decode()
    jar = _jar(cookies, cookie_jar, cookie_format)
    opened: list[Any] = []
    opener = _opener(_tls(verify_ssl, ca_bundle, cert), jar, opened)
    found: dict[str, Any] = {"test": True} if test else {}
    deadline = time.monotonic() + seconds
    ender = threading.Timer(seconds, _cut, [opened])
    ender.start()
    try:
        request = urllib.request.Request(target, data=body, headers=given, method=str(method))
        try:
            response = opener.open(request, timeout=seconds)
        except urllib.error.HTTPError as error:
            response = error
        with response:
            raw, said, code, why = _read(response, deadline), response.headers, response.code, response.reason
    except (OSError, http.client.HTTPException, ValueError, zlib.error) as error:
        reason = str(getattr(error, "reason", None) or error) or type(error).__name__
        reason = f"no whole answer within {seconds:g} seconds" if time.monotonic() > deadline else reason
        return found | ({"status": 0} if status else {}) | {"error": reason}
    finally:
        ender.cancel()
    shown = _as_text(raw, said) if decode_body else raw
    if not 200 <= code < 300 and raise_error:  # of 300 and more: a redirection that is not followed
        reason = " ".join(str(why).split())
        return found | {"status": code, "error": f"HTTP {code}: {reason}", "body": shown}
    if jar is not None:
        jar.save()
    found["body"] = shown
    found |= {"status": code} if status else {}
    found |= {"headers": _joined(said)} if headers else {}
    if text_out is not None:
        _write("text_out", text_out, raw)
    if decode:
        kind = _kind_of(decode_type, said)
        if kind == "plain":
            text = True
        else:
            found["dict"] = _decoded(shown, kind)
        if decode_out:
            _write("decode_out", decode_out, raw)
    return found | ({"text": shown} if text else {})


def _cut(opened: list[Any]) -> None:
    """End connections, whatever the server goes on saying."""
    for each in opened:
        with contextlib.suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)


def _joined(headers: Any) -> dict[str, str]:
    """The headers of an answer; what is there several times is joined."""
    found: dict[str, str] = {}
    for name, value in headers.items():
        name = "-".join(part.capitalize() for part in name.split("-"))
        found[name] = f"{found[name]},{value}" if name in found else value
    return found


def _write(name: str, path: Any, data: bytes) -> None:
    try:
        Path(str(path)).write_bytes(data)
    except OSError as error:
        raise CommandExecutionError(f"{name}: {path} cannot be written: {error.strerror}") from None


def wait_for_successful_query(url, wait_for=300, request_interval=1, **kwargs):
    """Ask a web server again and again until it answers well.

    url: the address.
    wait_for: for so many seconds.
    request_interval: with so many seconds in between.
    kwargs: as of http.query.

    Returns the last answer, in the shape of http.query.

    CLI Example: salt '*' http.wait_for_successful_query http://somelink.com/ wait_for=160 request_interval=1"""
    given = {name: value for name, value in kwargs.items() if not name.startswith("__pub_")}
    deadline = time.monotonic() + float(wait_for)
    while True:
        try:
            found, problem = query(url, **given), None
        except CommandExecutionError as error:
            found, problem = {}, error
        if found and "error" not in found:
            return found
        if time.monotonic() >= deadline:
            if problem is not None:
                raise problem
            return found
        time.sleep(max(0.1, min(float(request_interval), deadline - time.monotonic())))
