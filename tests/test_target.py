"""Targets: whom they mean, and whom the master expects to answer."""

import fnmatch
import itertools
import time
import warnings

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import saltlite
from saltlite import (
    COMPOUND,
    MATCHERS,
    Facts,
    Failure,
    expand_nodegroups,
    expected,
    match,
    target_error,
)

MINIONS = [
    Facts(
        "web1",
        {"os": "Debian", "roles": ["web", "cache"], "ipv4": ["127.0.0.1", "10.0.0.1"], "ports": {8080: "http"}},
        {"env": "prod", "app": {"name": "shop", "url": "http://x:80"}},
    ),
    Facts(
        "web2",
        {"os": "RedHat", "roles": ["web"], "ipv4": ["10.0.0.2"], "ipv6": ["2001:db8::2"], "a:b": "c"},
        {"env": "test", "app": {"name": "Shop"}},
    ),
    Facts(
        "web10.example.org",
        {"os": "Debian", "roles": [], "ipv4": ["10.1.0.1"], "disks": [{"sda": {"size": 5}}, {"sdb": {"size": 7}}]},
        {"env": "prod"},
    ),
    Facts("db-1", {"os": "Debian", "roles": "db", "ipv4": ["192.168.0.1"], "up": True, "none": None}, {"env": "prod"}),
    Facts("DB2", {"os": "FreeBSD", "a": {"b": {"c": 1}}, "ipv4": "10.0.0.22"}, {}),
    Facts("and", {}, {"env": "prod", "app": []}),
]
IDS = [facts.id for facts in MINIONS]
WEB, DEBIAN = ["web1", "web2", "web10.example.org"], ["web1", "web10.example.org", "db-1"]


def matching(tgt, tgt_type, delimiter=":"):
    return [facts.id for facts in MINIONS if match(tgt, tgt_type, facts, delimiter)]


SIMPLE = [
    ("glob", "*", IDS),
    ("glob", "web*", WEB),
    ("glob", "web?", ["web1", "web2"]),
    ("glob", "web[!1]*", ["web2"]),
    ("glob", "db*", ["db-1"]),
    ("glob", "DB*", ["DB2"]),
    ("glob", "", []),
    ("glob", "[", []),
    ("pcre", "web", WEB),
    ("pcre", "web\\d$", ["web1", "web2"]),
    ("pcre", "eb1", []),
    ("pcre", "(?i)db", ["db-1", "DB2"]),
    ("pcre", "", IDS),
    ("list", "web1,db-1", ["web1", "db-1"]),
    ("list", "web1, db-1", ["web1"]),
    ("list", "web", []),
    ("list", ["web1", 5, "db-1"], ["web1", "db-1"]),
    ("list", [], []),
    ("grain", "os:Debian", DEBIAN),
    ("grain", "os:debian", DEBIAN),
    ("grain", "os:*BSD", ["DB2"]),
    ("grain", "OS:Debian", []),
    ("grain", "os:*", [*WEB, "db-1", "DB2"]),
    ("grain", "roles:web", ["web1", "web2"]),
    ("grain", "roles:d?", ["db-1"]),
    ("grain", "a:b:c", ["DB2"]),
    ("grain", "a:b:c:1", ["DB2"]),
    ("grain", "a:*:1", []),
    ("grain", "*:b:c:1", ["DB2"]),
    ("grain", "*:debian", DEBIAN),
    ("grain", "disks:sdb:size:7", ["web10.example.org"]),
    ("grain", "disks:1:sdb:size:7", ["web10.example.org"]),
    ("grain", "disks:-1:sdb:size:7", ["web10.example.org"]),
    ("grain", "disks:2:sdb:size:7", []),
    ("grain", "ports:8080:http", ["web1"]),
    ("grain", "up:true", ["db-1"]),
    ("grain", "none:none", ["db-1"]),
    ("grain", "os", []),
    ("grain_pcre", "os:(deb|red)", [*WEB, "db-1"]),
    ("grain_pcre", "os:ebian", []),
    ("grain_pcre", "os:D\\SB", []),
    ("pillar", "env:prod", ["web1", "web10.example.org", "db-1", "and"]),
    ("pillar", "app:name:s*", ["web1", "web2"]),
    ("pillar", "app:url:http://x:80", ["web1"]),
    ("pillar_pcre", "app:name:^sh.p$", ["web1", "web2"]),
    ("pillar_exact", "app:name:s*", []),
    ("pillar_exact", "app:name:SHOP", ["web1", "web2"]),
    ("ipcidr", "10.0.0.1", ["web1"]),
    ("ipcidr", "10.0.0.0/8", [*WEB, "DB2"]),
    ("ipcidr", "10.0.0.0/255.255.255.0", ["web1", "web2", "DB2"]),
    ("ipcidr", "2001:DB8::2", ["web2"]),
    ("ipcidr", "2001:db8::/32", ["web2"]),
    ("ipcidr", "10.0.0.2", ["web2", "DB2"]),  # as Salt: a text is searched, and 10.0.0.22 holds it
    ("managing_minion", "web1", ["web1"]),
    ("resource", "web1", []),
    ("data", "a:b", []),
    ("range", "%web", []),
    ("nodegroup", "web", []),
]


@pytest.mark.parametrize(("tgt_type", "tgt", "ids"), SIMPLE)
def test_a_target_matches_these_minions(tgt_type, tgt, ids):
    assert matching(tgt, tgt_type) == ids


COMPOUNDS = [
    ("web* and not web2", ["web1", "web10.example.org"]),
    ("web1 or db-1 and DB2", ["web1"]),
    ("( web1 or db-1 ) and G@os:Debian", ["web1", "db-1"]),
    ("not web*", ["db-1", "DB2", "and"]),
    ("web* not web1", ["web2", "web10.example.org"]),
    ("not ( web* or ( db-1 or DB2 ) )", ["and"]),
    ("G@os:Debian and E@web1", ["web1", "web10.example.org"]),
    ("L@web1,db-1 or S@10.0.0.0/24", ["web1", "web2", "db-1", "DB2"][:4]),
    ("G|@a|b|c", ["DB2"]),
    ("G/@a:b/c or web1", ["web1", "web2"]),
    ("P@os:^d.*n$ and I@env:prod", DEBIAN),
    ("J@app:name:sh.p", ["web1", "web2"]),
    ("M@web1 or T@web2", ["web1"]),
    (["web*", "and", "G@os:RedHat"], ["web2"]),
    ("X@web1 or G@ or @ or web1", ["web1"]),  # a glob each
    ("L|@web1 or web1", ["web1"]),
    ("N@web1 or web1", []),  # a group that nobody expanded is dropped, and nothing stands before `or`
    ("web1 N@x", ["web1"]),
    ("not ( )", IDS),
    ("G@os or web1", ["web1"]),
    ("P@os:[ or web1", ["web1"]),
    ("web1 or web1 ( web1 )", ["web1"]),
    ("not not web1", []),
    ("(web1 or web2)", []),
    ("( or web1 )", []),
    ("and", []),
    ("and web1", []),
    (") web1 (", []),
    ("web1 and", []),
    ("web1 web2", []),
    ("web1 or )", []),
    ("( web1", []),
    ("web1 )", []),
    ("E@[ or web1", []),
    ("R@web1 or web1", []),
    ("web1 ( web1 )", []),
    ("( )", []),
    ("", []),
    ([], []),
    (["web1", "or", 5], []),
    ("S@10.0.0.1/8 or web1", ["web1"]),
    (" ".join(["("] * 200 + ["web1"] + [")"] * 200), ["web1"]),
    (" ".join(["("] * 201 + ["web1"] + [")"] * 201), []),
    (" ".join(["( not"] * 200 + ["web1"] + [")"] * 200), ["web1"]),
    (" or ".join(["web1"] * 5_000), ["web1"]),
]


@pytest.mark.parametrize(("tgt", "ids"), COMPOUNDS, ids=lambda row: str(row)[:40])
def test_a_compound_target_matches_these_minions(tgt, ids):
    assert matching(tgt, "compound") == ids


@pytest.mark.parametrize(("delimiter", "ids"), [("|", ["DB2"]), ("::", ["DB2"]), ("", [])])
def test_the_delimiter_is_free(delimiter, ids):
    assert matching(f"a{delimiter}b{delimiter}c", "grain", delimiter) == ids


@pytest.mark.parametrize(("tgt", "tgt_type"), list(itertools.product([None, 5, b"web1", {}, ["web1"], True], MATCHERS)))
def test_a_target_of_the_wrong_type_matches_nobody(tgt, tgt_type):
    if not (tgt == ["web1"] and tgt_type in ("list", "compound")):
        assert matching(tgt, tgt_type) == [] and target_error(tgt, tgt_type)


def test_an_unknown_type_of_target_matches_nobody():
    assert matching("*", "seco") == matching("*", None) == matching("*", ["glob"]) == []


def test_an_address_grain_that_is_none_fails_the_whole_target():
    assert not match("S@10.0.0.0/8 or odd", "compound", Facts("odd", {"ipv4": ["junk"]}))
    assert not match("10.0.0.1", "ipcidr", Facts("odd", {"ipv4": 5}))


def test_every_letter_is_in_the_table():
    assert set(COMPOUND) == {"", *"ELGPIJSRMT"}


def test_every_small_expression_is_judged_as_python_judges_it():
    """All token sequences up to length 5, against eval with the values of a and b filled in."""
    for length in range(1, 6):
        for words in itertools.product(("x", "and", "or", "not", "(", ")"), repeat=length):
            if words[0] in ("and", "or", ")") or any(
                left == "(" and right in ("and", "or") or right == "not" and left not in ("and", "or", "(")
                for left, right in itertools.pairwise(words)
            ):
                continue  # Salt's own rules, tested above
            for value in (True, False):
                assert match(" ".join(words), "compound", Facts("x" if value else "y")) == judged(words, value)


def judged(words, value):
    """What Python's grammar says, by its parser and a walk of its tree."""
    import ast
    import warnings

    def walk(node):
        if isinstance(node, ast.BoolOp):
            decisive = isinstance(node.op, ast.Or)
            for operand in node.values:
                if walk(operand) is decisive:
                    return decisive
            return not decisive
        if isinstance(node, ast.UnaryOp):
            return not walk(node.operand)
        if isinstance(node, ast.Call):
            raise TypeError
        return value if isinstance(node, ast.Name) else False

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return walk(ast.parse(" ".join(words), mode="eval").body)
        except (SyntaxError, TypeError):
            return False


COMPLAINTS = [
    ("web[", "pcre", "'web[' is not a regular expression: unterminated character set at position 3."),
    ("os", "grain", "'os' must be key:value."),
    ("os:[", "grain_pcre", "'[' is not a regular expression: unterminated character set at position 0."),
    ("10.0.0.1/8", "ipcidr", "not an address or a network: 10.0.0.1/8 has host bits set."),
    ("( web1", "compound", "compound target: a ')' or an operator is missing."),
    ("web1 )", "compound", "compound target: a ( is missing."),
    ("web1 web2", "compound", "compound target: an operator is missing."),
    ("web1 or", "compound", "compound target: it ends too early."),
    ("", "compound", "compound target: it ends too early."),
    ("or web1", "compound", "compound target: nothing stands before 'or'."),
    ("web1 ( web2 )", "compound", "compound target: an operator is missing before '('."),
    ("G@os and web1", "compound", "'os' must be key:value."),
    ("R@x", "compound", "'x': range targets are not supported."),
    ("*", "seco", "'seco' is not a kind of target."),
    ("a:b", "data", "data targets are not supported."),
]


@pytest.mark.parametrize(("tgt", "tgt_type", "sentence"), COMPLAINTS)
def test_a_malformed_target_is_explained(tgt, tgt_type, sentence):
    assert target_error(tgt, tgt_type) == sentence


@pytest.mark.parametrize("tgt", [tgt for tgt, ids in COMPOUNDS if ids and tgt in ("not web*", "G|@a|b|c")])
def test_a_good_target_is_not_complained_about(tgt):
    assert target_error(tgt, "compound") is None


# What the master foresees


def grains_of(minion):
    """The master has seen the grains of all but the web minions."""
    return None if minion.startswith("web") else next(facts.grains for facts in MINIONS if facts.id == minion)


EXPECTED = [
    ("glob", "db*", ["db-1"]),
    ("grain", "os:Debian", [*WEB, "db-1"]),
    ("grain", "os", []),
    ("grain_pcre", "os:^f", [*WEB, "DB2"]),
    ("pillar", "env:prod", IDS),
    ("ipcidr", "192.168.0.0/16", [*WEB, "db-1"]),
    ("ipcidr", "junk", []),
    ("pcre", "[", []),
    ("compound", "web1 and G@os:Plan9", ["web1"]),
    ("compound", "DB2 and G@os:Plan9", []),
    ("compound", "not G@os:Debian", [*WEB, "DB2", "and"]),
    ("compound", "not web* and not G@os:Debian", ["DB2", "and"]),
    ("compound", "G@os:Debian or E@[", []),
    ("compound", "G@os:Plan9 or G@os:FreeBSD", [*WEB, "DB2"]),
    ("pcre", "(a|b)*c", IDS),  # too costly to run: everybody may match
    ("pcre", "web.*", WEB),
]


@pytest.mark.parametrize(("tgt_type", "tgt", "ids"), EXPECTED)
def test_the_master_expects_who_matches_or_may_match(tgt_type, tgt, ids):
    assert expected(tgt, tgt_type, IDS, grains_of) == ids


def test_grains_are_read_only_where_they_decide():
    asked = []
    assert expected("web* and G@os:Debian", "compound", IDS, asked.append) == WEB
    assert asked == WEB


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize(("tgt_type", "tgt"), [row[:2] for row in SIMPLE] + [("compound", row[0]) for row in COMPOUNDS])
def test_who_matches_is_always_expected(tgt_type, tgt, known):
    grains = {facts.id: facts.grains for facts in MINIONS if known}
    assert set(matching(tgt, tgt_type)) <= set(expected(tgt, tgt_type, IDS, grains.get))


REDOS = ["(a+)+$", "(a|a)*b", "(a|aa)+$", "(.*a){12}", "a*a*a*a*a*b", "(?:a?){30}a{30}", "a?" * 40 + "a" * 40]
REDOS += ["([a-z]+)*=", "(\\w+\\s?)*$", "^(([a-z])+.)+[A-Z]([a-z])+$", "(a*)*\\1b", "((a|b)|(a|b))*c", "(x+x+)+y"]


@pytest.mark.parametrize("expression", REDOS)
def test_an_expensive_expression_does_not_run_on_the_master(expression):
    started = time.thread_time()
    ids = ["a" * 250, "a" * 30 + "!"]
    assert expected(expression, "pcre", ids, lambda minion: None) == ids
    assert expected(f"k:{expression}", "grain_pcre", ids, lambda minion: {"k": minion}) == ids
    assert time.thread_time() - started < 2


def test_no_expression_is_slow_on_the_master():
    started = time.thread_time()
    for expression in (".*a.*b", "[a-z]*[a-y]*b", "a|ab|abc", ".*" * 3 + "!", "(web|db)[0-9]+.(a|b|c)?.*$"):
        expected(expression, "pcre", ["a" * 253] * 10, lambda minion: None)
    assert time.thread_time() - started < 5


# Nodegroups

GROUPS = {
    "ids": ["web1", "db-1"],
    "text": "web1 db-1",
    "comma": "web1,db-1",
    "regex": "web[12]",
    "or": "web1 or db-1",
    "nested": "N@or and G@os:Debian",
    "deep": ["not", "N@nested"],
    "holds": "DB2 or N@ids",
    "loop": "N@pool",
    "pool": "web1 or N@loop",
    "self": "N@self",
    "empty": "",
    "bad": 5,
    "space": ["G@os:Red Hat"],
}
EXPANDED = [
    ("N@ids", "L@web1,db-1"),
    ("N@text", "L@web1,db-1"),
    ("N@comma", "L@web1,db-1"),
    ("N@regex", "E@web[12]"),
    ("N@or", "web1 or db-1"),
    ("N@nested", "( ( web1 or db-1 ) and G@os:Debian )"),
    ("not N@deep", "not ( not ( ( web1 or db-1 ) and G@os:Debian ) )"),
    ("N@holds", "( DB2 or L@web1,db-1 )"),
    ("a and N@or", "a and web1 or db-1"),
    ("N@", "N@"),
    ("web* and x", "web* and x"),
]


@pytest.mark.parametrize(("words", "wanted"), EXPANDED)
def test_nodegroups_are_expanded(words, wanted):
    assert expand_nodegroups(words.split(), GROUPS) == wanted.split()


@pytest.mark.parametrize(
    ("word", "sentence"),
    [
        ("N@none", "there is no nodegroup none."),
        ("N@bad", "there is no nodegroup bad: it must be a text or a list."),
        ("N@self", "the nodegroup self contains itself: self > self."),
        ("N@pool", "the nodegroup pool contains itself: pool > loop > pool."),
    ],
)
def test_a_bad_nodegroup_is_explained(word, sentence):
    with pytest.raises(Failure) as caught:
        expand_nodegroups([word], GROUPS)
    assert str(caught.value) == sentence


# Anything at all

DATA = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text("ab:*|", max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab:*|", max_size=2), inner, max_size=3),
    max_leaves=8,
)


@given(st.text("ab:*?[]()|\\+", max_size=12), st.sampled_from(list(MATCHERS)), st.dictionaries(st.text("ab"), DATA))
def test_no_target_and_no_grains_raise(tgt, tgt_type, data):
    facts = Facts("ab", data, data)
    matched = match(tgt, tgt_type, facts)
    assert target_error(tgt, tgt_type) is None or isinstance(target_error(tgt, tgt_type), str)
    assert not matched or expected(tgt, tgt_type, ["ab"], lambda minion: None) == ["ab"]


@given(st.lists(st.sampled_from(["a", "b", "G@a:b", "and", "or", "not", "(", ")"]), max_size=12))
def test_what_is_unknown_is_never_excluded(words):
    """The verdict without grains is `may match` or that of every possible grain."""
    verdicts = {match(words, "compound", Facts("a", grains)) for grains in ({}, {"a": "b"})}
    foreseen = expected(words, "compound", ["a"], lambda minion: None)
    assert foreseen == (["a"] if True in verdicts else []) or verdicts == {False} and foreseen == ["a"]


# Globs, which are compared without compiling anything

GLOB = st.text("ab*?[]!-^\\\n&|~", max_size=12)


@given(st.text("ab-!]^\\\nc", max_size=8), GLOB)
@settings(max_examples=700)
def test_globs_mean_what_they_mean_to_python(text, pattern):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        assert saltlite.glob_match(text, pattern) == fnmatch.fnmatchcase(text, pattern)


@pytest.mark.parametrize("pattern", ["*" * 500, "*a" * 500, "a*" * 400 + "b", "*" + "?" * 250 + "b", "[!b]" * 250])
def test_no_glob_is_slow(pattern):
    started = time.thread_time()
    for length in (1, 100, 253):
        saltlite.glob_match("a" * length, pattern)
    assert time.thread_time() - started < 1


HIDDEN = ["(?x)(a+) + $", "(?x)(a+)\n+$", "(?s:a+)+$", "(?P<n>a+)(?P=n)+b", "(?=(a+)+$)b", "(?i)[\u0100-\u9fff]" * 9]


@pytest.mark.parametrize("expression", REDOS + HIDDEN)
def test_what_may_take_long_has_no_bound_that_is_useful(expression):
    assert saltlite.steps(expression, 253) > saltlite.REGEX_BUDGET


@pytest.mark.parametrize("expression", ["web.*", "(?i)web[0-9]+.*", "(?:a|b)c", "web(1|2)", "[a-z]+-db\\d+"])
def test_what_operators_write_is_run(expression):
    assert saltlite.steps(expression, 253) <= saltlite.REGEX_BUDGET
    assert saltlite.costly(f"E@{expression} and G@a:b", "compound") == saltlite.costly(expression, "pcre") == ""


@pytest.mark.parametrize("what, most", [("x", 1001), ("a:", 40), ("*:", 3)])
def test_targets_of_others_than_root_have_a_size(what, most):
    size = saltlite.MAX_TARGET[{"x": "", "a:": ":"}.get(what, what)]
    assert size == most
    most -= what == "x"  # the empty text stands between any two characters, and at both ends
    for number in (most - 1, most):
        assert saltlite.costly(what * number, "grain") == ""
    assert "too long" in saltlite.costly(what * (most + 1), "grain")
    assert saltlite.costly([what * 2000], "list") == ""


SLOW: list[tuple[str, object]] = [("pcre", "(a+)+$"), ("compound", "G@a:b and E@(a+)+$"), ("grain_pcre", "k:(a+)+$")]
SLOW += [("compound", ["P|@k|(a+)+$"]), ("compound", "J@k:(a+)+$")]


@pytest.mark.parametrize("kind, tgt", SLOW)
def test_expressions_of_others_than_root_are_refused_where_they_may_take_long(kind, tgt):
    assert "may take too long" in saltlite.costly(tgt, kind)


def test_a_line_that_takes_too_long_may_mean_somebody():
    assert saltlite.line_matches("web1", ["(a+)+$"]) is None
    assert saltlite.line_matches("web1", ["(a+)+$", "web*"]) is True
    assert saltlite.line_matches("a" * 253, [".*a.*a.*a.*b"]) is None
    assert saltlite.line_matches("web1", [".*a.*a.*a.*b", "db1"]) is False
