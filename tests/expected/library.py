"""Calls of salt.utils, as expressions, and what each gives: the same for Salt's own library and for what stands in for
it (etc/salt/stand_in). record.py makes the calls and by_salt.py asks Salt; tests/test_library.py asks ours."""

import asyncio
import base64
import collections
import contextlib
import datetime
import hmac
import importlib
import io
import os
import random
import tempfile
import warnings
from pathlib import Path

MODULES = """args data dictupdate files hashutils json odict path platform stringutils versions yaml
    validate.net""".split()
FILES = {
    "empty": b"",
    "text": b"first\r\nsecond\n",
    "utf8": "äöü €\n".encode() * 300,  # a letter is cut where the first bytes end
    "latin": "äöü".encode("latin-1") * 200,
    "bom": b"\xef\xbb\xbfa",
    "bom16": b"\xff\xfea\0",
    "bom7": b"+/v8-a",
    "nul": b"a\0b",
    "odd": bytes(range(1, 128)),
    "deep/er/leaf": b"leaf",
}
UNORDERED = ("compare_dicts", "recursive_diff", "list_files")  # what goes through a set comes in any order


def sample(one, two=2, *more, three=3, **others):
    """A function to be called."""


def bare(): ...


class Sample:
    __version__ = (1, 2)

    def method(self, one, two=None): ...


def inside(manager, then=lambda value: None):
    """What is there inside of a block."""
    with manager as value:
        return then(value)


def wait(path, **options):
    async def waited():
        async with importlib.import_module("salt.utils.files").await_lock(path, **options):
            return os.path.exists(f"{path}.w")

    return asyncio.run(waited())


def walked(found):
    return sorted([root, sorted(places), sorted(names)] for root, places, names in found)


def after(path, *done):
    """What is below a path after something was done: modes, texts and where links lead."""
    return sorted(
        [str(each), oct(each.lstat().st_mode), os.readlink(each) if each.is_symlink() else each.read_bytes()[:40]]
        for each in Path(path).rglob("*")
        if each.is_symlink() or each.is_file()
    )


def names():
    """What an expression finds."""
    found = {name.rpartition(".")[2]: importlib.import_module(f"salt.utils.{name}") for name in MODULES}
    return {
        **found,
        "OrderedDict": collections.OrderedDict,
        "defaultdict": collections.defaultdict,
        "datetime": datetime,
        "os": os,
        **{
            each.__name__: each
            for each in (sample, bare, Sample, inside, wait, walked, after, suppressed, warned, missing)
        },
    }


def suppressed(call, *args, **kwargs):
    """The sentence of the error that a call ends with."""
    try:
        return call(*args, **kwargs)
    except Exception as error:
        return f"{type(error).__name__}: {error}"


def missing(module, wanted):
    """The names of Salt's that a module has not."""
    return [name for name in wanted.split() if not hasattr(module, name)]


def warned(call, *args, **kwargs):
    """What a call warns of."""
    with warnings.catch_warnings(record=True) as found, contextlib.redirect_stderr(io.StringIO()):
        warnings.simplefilter("always")
        error = suppressed(call, *args, **kwargs)
    return [
        error,
        *(f"{each.category.__name__}: {each.message}" for each in found if each.category is not ImportWarning),
    ]


def plain(value):
    """A value that is written the same wherever it was made."""
    if isinstance(value, dict):
        pairs = [(plain(key), plain(each)) for key, each in value.items()]
        kind = "" if type(value) is dict else type(value).__name__
        return f"{kind}{{{', '.join(f'{key}: {each}' for key, each in pairs)}}}"
    if isinstance(value, set | frozenset):
        return f"{{{', '.join(sorted(map(plain, value)))}}}"
    if isinstance(value, list | tuple):
        items = ", ".join(map(plain, value))
        return f"[{items}]" if isinstance(value, list) else f"({items},)"
    return plain(list(value)) if hasattr(value, "__next__") else repr(value)


def called(expression, known):
    """What a call gives, or the name of its error."""
    try:
        value = eval(expression, known)
    except Exception as error:
        return type(error).__name__.replace("SaltError", "SaltException")  # which is its name here
    if any(name in expression for name in UNORDERED):
        return sorted_plain(value)
    return plain(value)


def sorted_plain(value):
    if isinstance(value, dict):
        return plain({key: sorted_plain(value[key]) for key in sorted(value, key=repr)})
    return (
        plain(sorted(value))
        if isinstance(value, list) and all(isinstance(each, str) for each in value)
        else plain(value)
    )


def answers(expressions):
    """What all of them give, where FILES are."""
    before, known = os.getcwd(), names()
    with tempfile.TemporaryDirectory() as directory:
        for name, content in FILES.items():
            path = Path(directory, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
            path.chmod(0o644)
        os.symlink("..", Path(directory, "deep/up"))
        os.chdir(directory)
        try:
            return [called(each, known) for each in expressions]
        finally:
            os.chdir(before)


# The calls: expressions as they stand in library.txt, and those of generated values

FIXED = Path(__file__).with_name("library.txt").read_text().splitlines()


def texts(r, count=40):
    letters = "abcXYZ09+/= \nä"
    return ["".join(r.choices(letters, k=r.randrange(60))) for _ in range(count)]


def hashes(r):
    values = ["", "abc", "äöü €", b"", b"\xff\x00", "YWJj", "YWJj\n", "/w==", "YW", "é=", "x" * 200, 1, None, ["a"]]
    values += ["\ud800", *texts(r, 30)]
    one = "base64_b64encode base64_b64decode base64_encodestring base64_decodestring".split()
    one += [f"{each}_digest" for each in ("md5", "sha1", "sha256", "sha512")]
    calls = [(name, (value,)) for name in one for value in values]
    for value in values * 2:
        key = r.choice(values[:6])
        message = value if isinstance(value, bytes) else str(value).encode(errors="replace")
        digest = hmac.digest(key if isinstance(key, bytes) else key.encode(), message, "sha256")
        calls.append(("hmac_signature", (value, key, r.choice([base64.b64encode(digest).decode(), value]))))
        calls.append(("hmac_compute", (value, key)))
    calls += [("get_hash", args) for args in (("/dev/null",), ("/dev/null", "md5"), ("/dev/null", "no"), ("/no/file",))]
    return [f"hashutils.{name}{args!r}" for name, args in calls]


def leaf(r):
    return r.choice(
        [
            r.choice(["a", "B", "ä", "", "null", "10", "Äb c"]),
            r.randrange(-2, 12),
            0.5,
            None,
            True,
            False,
            b"b",
            b"\xff",
        ]
    )


def data(r, depth=3):
    """Nested data of all kinds that a module hands on."""
    kind = r.random()
    if depth == 0 or kind < 0.3:
        return leaf(r)
    inside = [data(r, depth - 1) for _ in range(r.randrange(4))]
    if kind < 0.55:
        return inside
    if kind < 0.65:
        return tuple(inside)
    if kind < 0.7:
        return {r.randrange(9) for _ in inside}
    return {r.choice(["a", "b", "C", 1, "1", b"k", None, (1, b"t")]): each for each in inside}


def of_data(r):
    calls = []
    for _ in range(60):
        value, other = data(r), data(r)
        for name in ("decode", "encode"):
            options = {"keep": r.random() < 0.7, "preserve_tuples": r.random() < 0.7}
            calls.append(f"data.{name}({value!r}, **{options})")
        calls.append(f"data.decode([{value!r}, 'e\\u0301'], encoding=['ascii', 'latin-1'], normalize=True)")
        calls.append(f"data.recursive_diff({value!r}, {other!r})")
        options = {"ignore_order": r.random() < 0.3, "ignore_missing_keys": r.random() < 0.3, "ignore_keys": ["a", 1]}
        calls.append(f"data.recursive_diff({value!r}, {r.choice([value, other])!r}, **{options})")
        for name in ("is_true", "is_iter", "is_list", "is_dictlist", "filter_falsey", "simple_types_filter", "flatten"):
            calls.append(f"data.{name}({value!r})")
        calls.append(f"data.filter_falsey({value!r}, {r.randrange(3)}, [{r.choice(['int', 'str', 'list'])}])")
        calls.append(f"data.flatten({value!r}, {r.randrange(3)}, {r.random() < 0.5})")
        calls.append(f"data.to_{r.choice(['lower', 'upper'])}case({value!r})")
        calls.append(f"data.exactly_n({value!r}, {r.randrange(3)})")
    for _ in range(80):
        value, other = ({r.choice("abC"): data(r, 2) for _ in range(3)} for _ in range(2))
        path = ":".join(r.choices(["a", "b", "C", "0", "1", "-1", "x", "*", "{i}", "None"], k=r.randrange(1, 4)))
        calls += [
            f"data.{name}({value!r}, {path!r}, 'no')"
            for name in ("traverse_dict", "traverse_dict_and_list", "get_value")
        ]
        calls.append(f"data.compare_dicts({value!r}, {other!r})")
        calls.append(f"data.recursive_diff(OrderedDict({value!r}), OrderedDict({other!r}), ignore_keys=['a'])")
        calls.append(
            f"data.subdict_match({value!r}, {path!r}, **{r.choice([{}, {'regex_match': True}, {'exact_match': True}])})"
        )
        lists = [[leaf(r) for _ in range(r.randrange(5))] for _ in range(2)]
        calls.append(f"data.compare_lists({lists[0]!r}, {lists[1]!r})")
        table = {key: {"k": data(r, 1)} for key in r.sample(["a", "B", "1*", "[ab]", "default", "base"], 4)}
        arguments = {"merge": r.choice([None, {"m": 1}, "no"]), "default": r.choice(["default", "a"]), "base": "base"}
        calls.append(f"data.filter_by({table!r}, {r.choice(['a', 'a:0', 'C'])!r}, {value!r}, **{arguments})")
        words = [
            r.choice(["w", 3, {"a": leaf(r)}, {"b": [{"c": 1}, {"d": 2}]}, {}, None]) for _ in range(r.randrange(4))
        ]
        options = {"strict": r.random() < 0.4, "recurse": r.random() < 0.5}
        calls.append(f"data.repack_dictlist({words!r}, **{options})")
        entries = [{r.choice(["key", "Name", "NAME", "x"]): leaf(r), r.choice(["value", "Value"]): 1} for _ in range(2)]
        calls.append(f"data.from_entries({entries!r})")
        calls.append(f"data.to_entries({r.choice([value, lists[0], 'no'])!r})")
    calls += [f"data.is_true({each!r})" for each in ("True", "tRUE", "yes", "1", "0.5", "-1", "", [], [0], -0.5, "nan")]
    calls += [f"data.hash({each})" for each in ("'ä'", "b'x', 'md5'", "'x', 'no'", "1", "'', 'sha3_256'")]
    table = ["+---+", "| id | name |", "+---+", "| 1 | a |", "| 2.5 | b |", ""]
    calls += [f"data.mysql_to_dict({table!r}, {key!r})" for key in ("id", "name", "no")]
    insensitive = "data.CaseInsensitiveDict({'Key': 1, 'b': 2}, C=3)"
    calls += [
        f"{insensitive}{each}" for each in ("['KEY']", ".get('B')", " == {'key': 1, 'B': 2, 'c': 3}", " == 1", "['x']")
    ]
    return [
        *calls,
        f"dict({insensitive})",
        f"list({insensitive}.items_lower())",
        f"len({insensitive})",
        f"repr({insensitive})",
    ]


def of_texts(r):
    values = [
        "",
        "abc",
        "äöü €",
        b"",
        b"\xff\x00",
        b"a\xc3",
        bytearray(b"x"),
        1,
        None,
        ["a"],
        "'q'",
        '"q"',
        "'",
        "  ",
        "\ud800",
    ]
    calls = [
        f"stringutils.{name}({value!r})"
        for value in values
        for name in ("to_bytes", "to_str", "to_unicode", "is_binary")
    ]
    calls += [
        f"stringutils.{name}({value!r})"
        for value in values
        for name in ("to_none", "is_quoted", "dequote", "to_num", "is_hex")
    ]
    calls += [
        f"stringutils.to_str({each!r}, {encoding!r}, 'replace')"
        for each in values[:5]
        for encoding in ("ascii", ["latin-1"], ())
    ]
    calls += [f"stringutils.is_binary({bytes(r.choices(range(256), k=9))!r})" for _ in range(40)]
    calls += [
        f"stringutils.is_binary({bytes(r.choices(range(200), k=9)) + b'text ' * r.randrange(6)!r})" for _ in range(40)
    ]
    sizes = ["2G", "30MB", "64 KiB", "1.5g", "x", "", "-1", "7", 12, "3 xb", "1..2", "10b", "5TB", "1Y", None]
    calls += [
        f"stringutils.human_to_bytes({size!r}, {unit!r}, {metric})"
        for size in sizes
        for unit, metric in (("B", False), ("M", True))
    ]
    calls += [f"stringutils.to_num({each!r})" for each in ("10", "-3.5", "1e3", "0x1f", " 7 ", "nan", "1_0")]
    names = ["a", "camelCase", "CamelCase", "HTTPServer", "aB", "getHTTP", "snake_case_here", "_a", "a__b", "ÄbcDef"]
    calls += [
        f"stringutils.{how}({name!r})" for name in names for how in ("camel_to_snake_case", "snake_to_camel_case")
    ]
    calls += [f"stringutils.snake_to_camel_case({name!r}, True)" for name in names]
    patterns = ["web*", "web[12]", "db\\d+", "(", "", "*", "web1", "E@b\\d", "E@^w", "we", 1]
    for value in ("web1", "db12", "", "web1\n"):
        for pattern in patterns:
            calls.append(f"stringutils.expr_match({value!r}, {pattern!r})")
            calls.append(
                f"stringutils.check_include_exclude({value!r}, {pattern!r}, {r.choice([None, patterns[:2], 'E@2'])!r})"
            )
            lists = [r.choice([None, [], patterns[:3], pattern, 5]) for _ in range(2)]
            calls.append(f"stringutils.check_whitelist_blacklist({value!r}, {lists[0]!r}, {lists[1]!r})")
        calls.append(f"stringutils.check_include_exclude({value!r}, {['x', 'web*']!r}, None)")
    texts = ['if [ -z "$a" ] && [ -r /etc/x ]; then', "it's\n a  b", "a, b", "", "\"a\" 'b'"]
    calls += [f"stringutils.build_whitespace_split_regex({text!r})" for text in texts]
    lines = "\n".join(map(str, range(1, 15)))
    calls += [
        f"stringutils.get_context({lines!r}, {line}, {around}, {marker!r})"
        for line in (1, 5, 14, 20)
        for around in (1, 5)
        for marker in (None, " <--")
    ]
    for _ in range(60):
        sides = [
            [f"{r.choice(['a', 'b', ' b', 'c # x', '# x', ''])}\n" for _ in range(r.randrange(4))] for _ in range(2)
        ]
        options = {name: r.random() < 0.6 for name in ("ignore_ordering", "ignore_whitespace")}
        options["ignore_comment_characters"] = r.choice(["#", None, ["#", "b"], 3])
        calls.append(f"stringutils.get_conditional_diff({sides[0]!r}, {sides[1]!r}, **{options})")
    return calls


def of_words(r):
    words = [
        "a",
        "a=b",
        "a = b",
        "a==b",
        "1",
        "0777",
        "1_0",
        "None",
        "null",
        "~",
        "{a: 1}",
        "[1, b]",
        "a: b",
        "- a",
        "#x",
        "a #b",
        "{a: 1} # c",
    ]
    words += [
        "a: b # c",
        "[1] #",
        "1 # one",
        "true",
        "yes",
        "2026-01-02",
        "a=[1, 2]",
        "x=#y",
        "",
        " ",
        "---",
        "...",
        "|",
        "!",
        "a\nb",
        "a=1\n",
        "{",
        "'q'",
        "é=1",
        "1a=2",
        "a.b-c=3",
    ]
    calls = [f"args.{name}({word!r})" for word in words for name in ("yamlify_arg", "parse_kwarg")]
    calls += [f"args.parse_input({r.choices(words, k=4)!r}, {r.random() < 0.5}, ['a'])" for _ in range(40)]
    functions = ("sample", "bare", "Sample().method", "Sample.method", "Sample", "3", "sorted", "len")
    calls += [f"tuple(args.get_function_argspec({each}))" for each in functions]
    given = [{}, {"one": 1}, {"one": 1, "two": 3, "x": 4}, {"one": 1, "three": 5, "y": 1, "x": 2}, {"self": 1}]
    for each in ("sample", "bare", "Sample().method"):
        calls += [f"suppressed(args.format_call, {each}, {data!r}, expected_extra_kws=('y',))" for data in given]
    table = "{'test.sample': sample, 'test.bare': bare, 'tester.x': 3, 'tester.bare': bare}"
    calls += [
        f"args.argspec_report({table}, {module!r})" for module in ("test", "test.*", "*", "", "test.bare", "tester")
    ]
    calls += [
        f"args.split_input({each}, {mapper})"
        for each in ("'a, b ,c'", "['a ']", "5", "''", "None")
        for mapper in ("None", "str.upper")
    ]
    calls += [f"args.test_mode(**{each})" for each in ({}, {"test": True}, {"TEST": "true"}, {"Test": 0}, {"tests": 1})]
    calls += [f"args.shlex_split({each!r})" for each in ("a 'b c'", 3, None, "a\\ b", "'")]
    written = [
        "f(a)",
        "m.f(a, b=c)",
        "f()",
        "f",
        "(a)",
        "f(a",
        "f([1, 2], {x: y})",
        "f('a b', k=\"c, d\")",
        "f(a=[b=c])",
        "f(])",
        "f(a)(b)",
        "f(a, )",
        "f(=a)",
        "m-x.f(1.5 2)",
        "",
    ]
    calls += [f"args.parse_function({each!r})" for each in written]
    return [*calls, "args.prepare_kwargs({'a': 1, 'b': None, 'c': 3}, ['a', 'b'])"]


def of_versions(r):
    versions = [
        "1.2",
        "1.10",
        "1.2.0",
        "2:1.0",
        "1:2.0",
        "1.2a1",
        "1.2rc1",
        "1.2-3~deb1",
        "0.99",
        "",
        "v1",
        "2019.2.0",
        3,
        1.5,
        None,
        "1.2.3.4",
        "a.b",
    ]
    pairs = [(r.choice(versions), r.choice(versions)) for _ in range(200)]
    calls = [f"versions.version_cmp({one!r}, {two!r}, {r.random() < 0.3})" for one, two in pairs]
    calls += [
        f"versions.compare({one!r}, {r.choice(['<', '<=', '==', '>=', '>', '!=', '~'])!r}, {two!r})"
        for one, two in pairs
    ]
    calls += [
        f"versions.LooseVersion({str(one)!r}) {r.choice(['<', '==', '>=', '!='])} {str(two)!r}"
        for one, two in pairs[:60]
    ]
    calls += [
        f"[versions.LooseVersion({each!r}).version, str(versions.LooseVersion({each!r}))]" for each in versions[:12]
    ]
    calls += [
        f"versions.compare('1', {oper!r}, '2', cmp_func=lambda *a, **k: {result})"
        for oper in ("<", "!=", ">=")
        for result in ("-5", "7", "None", "'x'", "0")
    ]
    releases = [
        3009,
        3000,
        3005,
        3008,
        9000,
        (2019, 2),
        (2019, 2, 3),
        (3000, 1),
        (3009, 1),
        (3005, 1, 0),
        "Potassium",
        "neon",
        "Helium",
    ]
    calls += [f"warned(versions.warn_until, {each!r}, 'x {{version}}')" for each in releases]
    calls += [
        f"warned(versions.kwargs_warn_until, {given}, {each!r}, UserWarning)"
        for each in releases[5:]
        for given in ({}, {"a": 1, "b": 2})
    ]
    days = ["'20990131'", "datetime.date(2099, 1, 2)", "datetime.datetime(2099, 1, 2, 3)", "'x'"]
    calls += [f"warned(versions.warn_until_date, {each}, 'x {{date}}')" for each in days]
    return calls


def of_yaml(r):
    documents = [
        "a: 1",
        "a: 0777",
        "a: 2026-01-02",
        "[1, {a: b}]",
        "a: !!binary YWI",
        "x: &x {a: 1}\ny: {<<: *x, b: 2}",
        "a: 1\na: 2",
        "a: [",
        "",
        "- a\n- b: |\n    c\n",
        "a: yes",
        "!!python/unicode 'x'",
        "? [1]\n: 2",
        "!!omap [a: 1]",
        "!!set {a, b}",
    ]
    calls = [f"yaml.safe_load({each!r})" for each in documents]
    calls += [f"yaml.load({each!r})" for each in documents[:4]]
    values = [
        "OrderedDict([('b', 1), ('a', [1, 2])])",
        "{'a': defaultdict(list, b=[1])}",
        "{'a': object}",
        "'ä'",
        "[[1], {'a': 'x\\ny'}]",
        "{'a': None, 'b': (1, 2), 'c': b'x'}",
        "{'a': ['b', {'c': ['d']}]}",
    ]
    calls += [f"yaml.safe_dump({each}{more})" for each in values for more in ("", ", default_flow_style=False")]
    calls += [
        f"yaml.dump({each}, Dumper=yaml.get_dumper({name!r}), default_flow_style=False)"
        for each in values[:1] + values[3:]
        for name in ("OrderedDumper", "IndentedSafeOrderedDumper")
    ]
    return calls


def of_files(r):
    calls = [
        f"files.{name}({each!r})"
        for each in (*FILES, "deep", "no")
        for name in ("is_text", "is_binary", "is_empty", "get_encoding")
    ]
    archives = ["a.tar.gz", "B.TGZ", "a.zip", "a.rar", "a.gz", "tar", "a.tar", "x.tlz"]
    calls += [f"files.guess_archive_type({each!r})" for each in archives]
    calls += [
        f"files.normalize_mode({each!r})"
        for each in ("644", 644, 0o644, "0o755", "00644", "'0600'", "keep", None, "", 0)
    ]
    calls += [f"files.st_mode_to_octal({each!r})" for each in (0o100644, 0o40755, 7, "x", None)]
    calls += [f"files.human_size_to_bytes({each!r})" for each in ("10", "10M", 5, "1.5G", "", "3k", "2P", "1G ")]
    calls += [f"files.safe_filename_leaf({each!r})" for each in ("a b", "a/b:c", 'x*?<>|"\\', "ä", b"a")]
    calls += [f"files.safe_filepath({each})" for each in ("'/a/b:c/d?'", "'a|b/c', '/'", "'a:b', ':'")]
    modes = [
        "'text'",
        "'text', 'rb'",
        "'text', binary=True",
        "'text', mode='r', binary=True",
        "'text', newline=None",
        "'no'",
        "'latin'",
        "'latin', encoding='latin-1'",
        "1",
        "'text', 'rt', binary=True",
    ]
    calls += [f"inside(files.fopen({each}), lambda f: f.read())" for each in modes]
    calls += [
        f"suppressed(files.process_read_exception, OSError({number}, 'why'), '/x', {ignore})"
        for number in (2, 13, 5)
        for ignore in ("None", "2", "[5, 13]")
    ]
    return calls


def of_addresses(r):
    values = [
        "192.168.0.1",
        "10.0.0.0/8",
        "10.0.0.0/33",
        "10.0.0.0/0",
        "::1",
        "fe80::/64",
        "fe80::/129",
        "x",
        "",
        None,
        5,
        "1.2.3",
        "1.2.3.4/x",
        "1.2.3.4/",
        "/8",
        "1.2.3.4/8/9",
    ]
    calls = [f"net.{name}({each!r})" for each in values for name in ("ipv4_addr", "ipv6_addr", "ip_addr")]
    calls += [
        f"net.netmask({each!r})" for each in ("255.255.0.0", "255.0.255.0", "24", "33", "", None, 24, "0.0.0.255")
    ]
    macs = [
        "00:11:22:aa:bb:cc",
        "0-1-2-3-4-5",
        "00:11:22:aa:bb",
        "00:11-22:aa:bb:cc",
        "00.11.22.AA.bb.cc",
        "gg:11:22:33:44:55",
        "",
    ]
    return [*calls, *(f"net.mac({each!r})" for each in macs)]


def calls():
    """Expressions, some thousands of them."""
    r = random.Random(3)
    kinds = (hashes, of_data, of_texts, of_words, of_versions, of_yaml, of_files, of_addresses)
    return [*(each for kind in kinds for each in kind(r)), *FIXED]
