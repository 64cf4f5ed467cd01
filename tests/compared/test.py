"""test: what is called, and what is not. See tests/functions.py."""

from __future__ import annotations

from typing import Any

CASES: list[tuple[str, list[Any], dict[str, Any]]] = [
    ("test.arg", [1, "two", 3.1], {"txt": "hello", "wow": {"a": 1}}),
    ("test.arg_clean", [1, "two"], {"txt": "hello", "__pub_jid": "1"}),
    ("test.arg_repr", [1, "two"], {"txt": "hello"}),
    ("test.arg_type", [1, "two", None, [1], {}], {"txt": True}),
    ("test.assertion", [True], {}),
    ("test.assertion", [False], {}),
    ("test.collatz", [3], {}),
    ("test.conf_test", [], {}),
    ("test.cross_test", ["test.echo", ["hello"]], {}),
    ("test.cross_test", ["no.such"], {}),
    ("test.echo", ["foo bar"], {}),
    ("test.exception", ["Oh noes!"], {}),
    ("test.false", [], {}),
    ("test.fib", [3], {}),
    ("test.fib", [-1], {}),
    ("test.kwarg", [], {"num": 1, "txt": "two"}),
    ("test.outputter", [{"a": 1}], {}),
    ("test.raise_exception", ["OSError", 2, "No such file"], {}),
    ("test.random_hash", [], {"hash_type": "sha512"}),
    ("test.rand_str", [], {}),
    ("test.rand_sleep", [0], {}),
    ("test.retcode", [42], {}),
    ("test.sleep", [0.01], {}),
    ("test.true", [], {}),
    ("test.try", ["test.false"], {}),
    ("test.try", ["test.exception"], {"return_try_exception": True, "message": "x"}),
    ("test.try", ["test.exception"], {}),
]
ONLY_SALT = {
    **dict.fromkeys(
        (
            "test.attr_call",
            "test.deprecation_warning",
            "test.module_report",
            "test.provider",
            "test.providers",
            "test.tty",
        ),
        "they show the inside of Salt's loader, or fail on purpose",
    ),
}
NOT_COMPARED = {
    "test.get_opts": "the options are each program's own",
    "test.not_loaded": "the modules are each program's own",
    "test.opts_pkg": "the options are each program's own",
    "test.ping": "the minion's loop answers it; ./build.sh interop calls it in every setting",
    "test.stack": "the stack is each program's own",
    "test.version": "the release is each program's own",
    "test.versions": "the packages are each program's own",
    "test.versions_information": "the packages are each program's own",
    "test.versions_report": "the packages are each program's own",
}
NORMAL = {
    "test.collatz": lambda found: found[0],  # without the seconds that it took
    "test.fib": lambda found: found[0],
    "test.random_hash": len,
    "test.rand_str": len,
}
DIFFERS = {
    "test.collatz": "the numbers are whole",
    "test.try test.exception return_try_exception=True message=x": "an error goes over the wire as its text",
}
