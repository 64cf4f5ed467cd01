"""Pillar, compiled on the master, and how the wire and the jobs use it."""

import os
import stat
import subprocess
import sys

import pytest
from in_memory import Site
from leaves import PILLAR
from roots import GRAINS, TOP, Roots, write

import saltlite

# The trees below have been compiled by real Salt 3008.3 too, with these results.

MATCH = """
base:
  '*': [all]
  'web*': [glob]
  'db*': [no]
  'os:Debian': [{match: grain}, grain]
  'os:(Deb|Ubu).*': [{match: grain_pcre}, gpcre]
  'web[0-9]+': [{match: pcre}, pcre]
  'web1,db1': [{match: list}, lst]
  'G@os:Debian and not E@db.*': [comp]
  grp: [{match: nodegroup}, ng]
  '10.1.0.0/16': [{match: ipcidr}, ip]
  'x:y': [{match: pillar}, pil]
  'deep:a:b:c': [{match: grain}, deep]
"""
NAMES = "all glob no grain gpcre pcre lst comp ng ip pil deep".split()
MEANT = "all glob grain gpcre pcre lst comp ng ip deep".split()
MATCHES = {"top.sls": MATCH} | {f"{n}.sls": f"{n}: yes\nlast: {n}\nl: [{n}]\n" for n in NAMES}
GROUP = {"nodegroups": {"grp": "web* or x"}}
TWO = {"top.sls": "base:\n  '*': [a, b]\n", "a.sls": "m: {x: 1, y: 2}\nl: [1]\n", "b.sls": "m: {y: 3, z: 4}\nl: [2]\n"}
INCLUDE = {
    "top.sls": "base:\n  '*': [a, pkg, pkg.rel]\n",
    "a.sls": "include: [b, c: {defaults: {who: me, n: 3}, key: 'under:here'}, d]\nx: a\nm: {a: 1}\n",
    "b.sls": "x: b\nm: {b: 2}\n",
    "c.sls": "who: {{ who }}\nn: {{ n }}\nx: c\n",
    "d.sls": "who_d: {{ who|default('none') }}\nx: d\n",
    "pkg/init.sls": "include:\n  - .sub\n  - pkg.glob*\npkg: init\n",
    "pkg/sub.sls": "sub: {{ sls }} {{ slspath }} {{ tpldir }} {{ tplfile }} {{ slsdotpath }} {{ sls_path }}\n",
    "pkg/glob1.sls": "g1: 1\n",
    "pkg/glob2.sls": "g2: 1\n",
    "pkg/rel.sls": "include: ['.sub', .b]\nrel: '{{ sls }} {{ tpldir }} {{ tplfile }}'\n",
}
INCLUDED = {
    "x": "b",
    "m": {"a": 1, "b": 2},
    "under": {"here": {"who": "me", "n": 3, "x": "c"}},
    "who_d": "me",
    "sub": "pkg.sub pkg pkg pkg/sub.sls pkg pkg",
    "g1": 1,
    "g2": 1,
    "pkg": "init",
    "rel": "pkg.rel pkg pkg/rel.sls",
}
JINJA = {
    "top.sls": "base:\n  '*': [a]\n  {% if grains.os == 'Debian' %}\n  '{{ grains.id }}': [sub.b]\n  {% endif %}\n",
    "map.jinja": "{% set m = {'Debian': 'apt'}.get(grains.os) %}"
    "{% macro hi(x) %}hi {{ x }} {{ grains.id }}{% endmacro %}",
    "a.sls": "{% from 'map.jinja' import m, hi %}\npkg: {{ m }}\nhi: {{ hi('x') }}\nroles: {{ grains.role|yaml }}\n"
    "q: {{ 'a: b \"x\"'|yaml_encode }}\nb: {{ 'yes'|to_bool }}\npil: {{ pillar|json }}\n"
    "ids: {{ opts.id }} {{ opts['minion_id'] }} {{ saltenv }}\n"
    "{% set l = [] %}{% for i in range(9) %}{% if i > 2 %}{% break %}{% endif %}{% do l.append(i) %}{% endfor %}\n"
    "l: {{ l }}\nnum: 0777\ndate: 2020-01-01\n{% include 'inc.yml' %}\n",
    "inc.yml": "included: {{ grains.n * 2 }}\n",
    "sub/lib.jinja": "{% set v = grains.os ~ '!' %}",
    "sub/b.sls": "{% from './lib.jinja' import v %}{% from 'sub/lib.jinja' import v as w %}\nbv: {{ v }}{{ w }}\n",
}
RENDERED = {
    "pkg": "apt",
    "hi": "hi x web1",
    "roles": ["web", "db"],
    "q": 'a: b "x"',
    "b": True,
    "pil": {},
    "ids": "web1 web1 base",
    "l": [0, 1, 2],
    "num": 777,
    "date": "2020-01-01",
    "included": 10,
    "bv": "Debian!Debian!",
}
CASES = {
    "every kind of match": (MATCHES, GROUP, {"last": "deep", "l": ["deep"]} | dict.fromkeys(MEANT, True)),
    "lists": (MATCHES, GROUP | {"pillar_merge_lists": True}, {"last": "deep", "l": MEANT} | dict.fromkeys(MEANT, True)),
    "maps": (TWO, {}, {"m": {"x": 1, "y": 3, "z": 4}, "l": [2]}),
    "overwrite": (TWO, {"pillar_source_merging_strategy": "overwrite"}, {"m": {"y": 3, "z": 4}, "l": [2]}),
    "aggregate": (TWO, {"pillar_source_merging_strategy": "aggregate"}, {"m": {"y": 3, "z": 4}, "l": [2]}),
    "none": (TWO, {"pillar_source_merging_strategy": "none"}, {"m": {"x": 1, "y": 3, "z": 4}, "l": [2]}),
    "include": (INCLUDE, {}, INCLUDED),
    "includes win": (INCLUDE, {"pillar_includes_override_sls": True}, INCLUDED),
    "jinja": (JINJA, {}, RENDERED),
    "only yaml": ({"top.sls": TOP, "a.sls": "#!yaml\na: '{{ x }}'\n"}, {}, {"a": "{{ x }}"}),
    "shebang": ({"top.sls": TOP, "a.sls": "#!jinja|yaml\na: {{ grains.id }}\n"}, {}, {"a": "web1"}),
    "a top file includes": (
        {"top.sls": "include: [t]\n" + TOP, "t.sls": "base: {web1: [b]}\n", "a.sls": "a: 1\n", "b.sls": "b: 1\n"},
        {},
        {"a": 1, "b": 1},
    ),
    "a loop of includes": (
        {"top.sls": TOP, "a.sls": "include: [b]\na: 1\nz: a\n", "b.sls": "include: [a]\nb: 1\nz: b\n"},
        {},
        {"a": 1, "b": 1, "z": "a"},
    ),
    "order": (
        {"top.sls": "base:\n  '*': [order: 5, a]\n  'web*': [order: '1', b]\n", "a.sls": "x: a\n", "b.sls": "x: b\n"},
        {},
        {"x": "a"},
    ),
    "no top file": ({"a.sls": "a: 1\n"}, {}, {}),
    "empty files": ({"top.sls": TOP, "a.sls": "# nothing\n"}, {}, {}),
}


@pytest.mark.parametrize("name", CASES)
def test_pillar_is_compiled_as_salt_compiles_it(compiled, name):
    files, opts, pillar = CASES[name]
    assert compiled(files, opts) == pillar


ENVS = {
    "base/top.sls": "base: {'*': [a]}\ndev: {'*': [b]}\n",
    "base/a.sls": "x: base\na: {{ saltenv }}\n",
    "dev/top.sls": "dev: {'web*': [d, b]}\n",
    "dev/b.sls": "x: dev\nb: {{ saltenv }}\n",
    "dev/d.sls": "d: 1\n",
    "dyn-qa/top.sls": "qa: {'*': [q]}\n",
    "dyn-qa/q.sls": "q: {{ saltenv }}\n",
}
DEV, QA = {"d": 1, "x": "dev", "b": "dev"}, {"q": "qa"}


@pytest.mark.parametrize(
    "load, opts, pillar",
    [
        ({}, {}, DEV | {"a": "base"}),
        ({"pillarenv": "dev"}, {}, DEV),
        ({"pillarenv": "base"}, {}, {"x": "base", "a": "base"}),
        ({"pillarenv": "nope"}, {}, {}),
        ({"saltenv": "dev"}, {}, DEV | {"a": "base"}),
        ({"saltenv": "dev"}, {"pillar_source_merging_strategy": "none"}, DEV),
        ({}, {"pillarenv": "dev"}, DEV),
        ({"pillarenv": "qa"}, {}, QA),
        ({"pillarenv": "../dyn-qa"}, {}, {}),
        ({"pillarenv": 5, "saltenv": {}}, {}, DEV | {"a": "base"}),
    ],
)
def test_environments(compiled, load, opts, pillar):
    roots = {
        env: [f"srv/pillar/{name}"] for env, name in (("base", "base"), ("dev", "dev"), ("__env__", "dyn-__env__"))
    }
    assert compiled(ENVS, {"pillar_roots": roots} | opts, **load) == pillar


def test_the_first_root_that_has_a_file_gives_it(compiled):
    files = {"one/a.sls": "a: 1\n", "two/a.sls": "a: 2\n", "two/top.sls": TOP}
    assert compiled(files, {"pillar_roots": {"base": ["srv/pillar/one", "srv/pillar/two"]}}) == {"a": 1}


def test_pillar_roots_follow_the_root(tmp_path):
    (tmp_path / "etc/salt").mkdir(parents=True)
    opts = saltlite.load_opts("master", str(tmp_path / "etc/salt"))
    assert opts["pillar_roots"] == {"base": [str(tmp_path / "srv/pillar")]}
    opts = saltlite.load_opts("master", str(tmp_path / "etc/salt"), {"pillar_roots": {"dev": "/p", "x": None}})
    assert opts["pillar_roots"] == {"dev": ["/p"], "x": []}
    (tmp_path / "etc/salt/master").write_text("pillar_roots: {base: {a: 1}}\n")
    with pytest.raises(saltlite.Failure, match="pillar_roots must be a map of environments to lists of directories"):
        saltlite.load_opts("master", str(tmp_path / "etc/salt"))


# Errors

SAFE = "Rendering SLS '{}' failed. Please see master log for details."
ERRORS = [
    ({"a.sls": "a: [\n"}, SAFE.format("a")),
    ({"a.sls": "a: {{ nope }}\n"}, SAFE.format("a")),
    ({"a.sls": "a: {% if %}\n"}, SAFE.format("a")),
    ({"a.sls": "a: {{ salt['cmd.run']('id') }}\n"}, SAFE.format("a")),
    ({"a.sls": "#!py\ndef run(): return {}\n"}, SAFE.format("a")),
    ({"a.sls": "#!jinja|gpg\na: 1\n"}, "SLS 'a' does not render to a dictionary"),
    ({"a.sls": "#!nope|yaml\na: 1\n"}, SAFE.format("a")),
    ({"a.sls": "x: 1\nx: 2\n"}, SAFE.format("a")),
    ({"a.sls": "- a\n"}, "SLS 'a' does not render to a dictionary"),
    ({"a.sls": "include: x\n"}, "Include Declaration in SLS 'a' is not formed as a list"),
    ({}, "Specified SLS 'a' in environment 'base' is not available on the salt master"),
    ({"top.sls": "base: {'*': 5}\n"}, "Error encountered while rendering pillar top file."),
    ({"top.sls": "base: {'*': [\n"}, "Rendering Primary Top file failed. Please see master log for details."),
    ({"top.sls": "- a\n"}, "Error encountered while rendering pillar top file."),
    ({"top.sls": "gone: {'*': [a]}\n"}, "No matching pillar environment for environment 'gone' found"),
]


@pytest.mark.parametrize("files, sentence", ERRORS)
def test_an_error_is_a_sentence_in_the_pillar(compiled, files, sentence):
    assert compiled({"top.sls": TOP} | files)["_errors"] == [sentence]


def test_what_is_right_beside_an_error_is_there(compiled):
    files = {"top.sls": "base:\n  '*': [bad, ok]\n", "bad.sls": "{{ x }}\n", "ok.sls": "ok: 1\n"}
    assert compiled(files) == {"ok": 1, "_errors": [SAFE.format("bad")]}


def test_a_missing_file_may_be_ignored(compiled):
    assert compiled({"top.sls": "base:\n  '*': [ignore_missing: true, a]\n"}) == {}


def test_the_cause_is_in_the_log_only_unless_asked_for(compiled, caplog):
    files = {"top.sls": TOP, "a.sls": "ok: 1\nb: {{ secret }}\n"}
    assert "secret" not in str(compiled(files))
    assert "a.sls line 2" in caplog.text and "'secret' is undefined" in caplog.text
    found = compiled(files, {"pillar_safe_render_error": False})
    assert found["_errors"] == ["Rendering SLS 'a' failed, render error:\n'secret' is undefined"]


def test_errors_of_one_minion_are_not_those_of_another(tmp_path):
    roots = Roots(tmp_path, {"top.sls": TOP, "a.sls": "a: {{ 1 // grains.n }}\nid: {{ grains.id }}\n"})
    assert roots.pillar(grains={"n": 0}) == {"_errors": [SAFE.format("a")]}
    assert roots.pillar("web2") == {"a": 0, "id": "web2"}


# What minions say is data


def test_grains_are_never_source(compiled):
    grains = {"os": "{{ 7 * 7 }}{% include '/etc/passwd' %}"}
    found = compiled({"top.sls": TOP, "a.sls": "a: {{ grains.os|yaml_encode }}\n"}, grains=grains)
    assert found == {"a": grains["os"]}


@pytest.mark.parametrize("end", ["\n", "\r", "\r\n", "\x85", "\u2028", "\u2029", "\x0c", "\0"], ids=repr)
def test_a_grain_adds_neither_a_key_nor_an_include(compiled, end):
    """`motd: {{ grains['motd'] }}` is what many write, and what every minion may fill in."""
    files = {"top.sls": TOP, "a.sls": "motd: {{ grains.motd }}\nall: {{ grains.deep|json }}\n", "b.sls": "secret: 1\n"}
    motd = f"hello{end}admin: yes{end}include: [b]"
    found = compiled(files, grains={"motd": motd.replace(": ", ":"), "deep": [{f"a{end}b": end}]})
    assert set(found) == {"motd", "all"} and found["motd"].split() == ["hello", "admin:yes", "include:[b]"]
    for grains in ({"motd": motd, "deep": 1}, {"motd": 1, "deep": motd}):
        assert not {"admin", "secret"} & set(compiled(files, grains=grains))


def test_targets_see_grains_as_they_are(compiled):
    files = {"top.sls": "base:\n  'a:x\ty':\n    - match: grain\n    - a\n", "a.sls": "a: 1\n"}
    files["top.sls"] = files["top.sls"].replace("'a:x\ty'", '"a:x\\ty"')
    assert compiled(files, grains={"a": "x\ty"}) == {"a": 1}


def test_an_include_stands_in_the_file_or_is_an_error(compiled):
    files = {"top.sls": TOP, "a.sls": "{{ grains.motd }}: [b]\nx: 1\n", "b.sls": "secret: 1\n"}
    found = compiled(files, grains={"motd": "include"})
    assert found == {"x": 1, "_errors": ["SLS 'a' has an include that does not stand in the file; it is left out"]}


@pytest.mark.parametrize("role", ["*", "x,*", "[a-z]*", "?b", "w*b"])
@pytest.mark.parametrize("sls", ["r.{{ grains.role.split(',')[-1] }}", "{{ grains.role.split(',')[-1] }}"])
def test_no_grain_is_a_pattern_of_sls_names(compiled, role, sls):
    files = {
        "a.sls": f"include: ['{sls}']\nx: 1\n",
        "r/db.sls": "secret: 1\n",
        "b.sls": "secret: 1\n",
        "db.sls": "secret: 1\n",
    }
    for top in (TOP, f"base:\n  '*':\n    - '{sls}'\n"):
        found = compiled(files | {"top.sls": top}, grains={"role": role})
        assert "secret" not in found and "not available" in found["_errors"][0]
        assert compiled(files | {"top.sls": top}, grains={"role": "db" if "r." in sls else "b"})["secret"] == 1
    files = {
        "top.sls": "base: {'*': ['r.*', a]}\n",
        "a.sls": "include: [.b*]\n",
        "b.sls": "b: 1\n",
        "r/db.sls": "r: 1\n",
    }
    assert compiled(files, grains={"role": role}) == {"r": 1, "b": 1}


def test_numbers_of_a_hundred_digits_are_read_and_longer_ones_are_an_error(compiled):
    longest = saltlite.MAX_DIGITS
    for text, digits in (("9" * longest, longest), ("9" * (longest - 1), longest - 1)):
        found = compiled({"top.sls": TOP, "a.sls": f"n: {text}\n"})
        assert len(str(found["n"])) == digits
    for text in ("9" * (longest + 1), "1" + ":00" * longest, "1." + "9" * longest, "0x" + "f" * longest):
        found = compiled({"top.sls": TOP, "a.sls": f"n: {text}\n"})
        assert list(found) == ["_errors"], text
    assert compiled({"top.sls": TOP, "a.sls": f"n: '{'9' * 300}'\n"}) == {"n": "9" * 300}


def test_the_id_is_the_proven_one_whatever_the_grains_say(compiled):
    files = {"top.sls": "base:\n  'id:db1':\n    - match: grain\n    - a\n  '*': [b]\n", "a.sls": "secret: 1\n"}
    found = compiled(files | {"b.sls": "id: {{ grains.id }} {{ opts.id }}\n"}, grains={"id": "db1"})
    assert found == {"id": "web1 web1"}


def test_a_costly_expression_over_grains_is_left_out_and_said(compiled):
    files = {"top.sls": "base:\n  'g:(a+)+$':\n    - match: grain_pcre\n    - a\n", "a.sls": "a: 1\n"}
    found = compiled(files, grains={"g": "a" * 40 + "!"})
    assert list(found) == ["_errors"] and "may take too long" in found["_errors"][0]


def test_what_an_imported_file_made_for_one_minion_is_not_there_for_the_next(tmp_path):
    files = {"top.sls": TOP, "lib.jinja": "{% set l = [] %}{% do l.append(grains.id) %}"}
    roots = Roots(tmp_path, files | {"a.sls": "{% import 'lib.jinja' as m %}{% do m.l.append(1) %}\nl: {{ m.l }}\n"})
    assert [roots.pillar(f"web{n}")["l"] for n in (1, 2, 1)] == [["web1", 1], ["web2", 1], ["web1", 1]]


def test_what_a_template_changes_is_its_own(tmp_path):
    files = {"top.sls": TOP, "a.sls": "include: [b: {defaults: {l: [1]}}]\n"}
    files["b.sls"] = "{% do l.append(2) %}{% do opts.nodegroups.update({'x': 'y'}) %}\nl: {{ l }}\n"
    roots = Roots(tmp_path, files, nodegroups={"g": "web*"})
    assert [roots.pillar()["l"] for _ in range(3)] == [[1, 2]] * 3
    assert roots.opts["nodegroups"] == {"g": "web*"}


ORDINARY = {
    "'12345 or 10050'|replace('x', 'y')": "12345 or 10050",
    "'%s at %5.1f'|format(8589934592, 1)": "8589934592 at   1.0",
    "'%s-%d' % ('a', 123456)": "a-123456",
    "'{:<5}{}'.format(1, 99999999)": "1    99999999",
    "grains.mem * 1024 * 1024": 4 << 40,
    "[1, 2]|yaml": [1, 2],
    "{'a': '12345'}|json": {"a": "12345"},
    "['x', 'y']|map('upper')|join(', ')|yaml_encode": "X, Y",
    "', '.join(['x']|map('upper'))": "X",
    "17179869184|default(99999999999)": 17179869184,
    "'[1, {a: 2}]'|load_yaml|tojson": [1, {"a": 2}],
    "salt is defined": True,
    "salt['cmd.run'] is defined": False,
}


@pytest.mark.parametrize("expression", ORDINARY)
def test_ordinary_expressions_are_not_in_the_way_of_the_bounds(compiled, expression):
    found = compiled({"top.sls": TOP, "a.sls": f"a: {{{{ {expression} }}}}\n"}, grains={"mem": 4 << 20})
    assert found == {"a": ORDINARY[expression]}


# The sandbox

ESCAPES = """
''.__class__.__mro__[1].__subclasses__()
''['__class__']
(''|attr('__class__')).__mro__
[''.__class__]|map(attribute='__base__')|first
['']|map(attribute='__class__')|first
['']|map('attr', '__class__')|first
'{0.__class__.__mro__}'.format('')
'{0.__class__}'|format('') ~ '{x.__init__}'.format(x=grains)
('{0.__class__}'.format_map)({'0': 1})
cycler.__init__.__globals__.os.popen('id').read()
joiner.__init__.__globals__
namespace.__init__.__globals__['__builtins__']
lipsum.__globals__['os'].system('id')
self._TemplateReference__context
self.__init__.__globals__
range.__self__
dict.__base__
dict.__subclasses__()
opts.__class__
grains.get.__self__.__class__
(grains|items).gi_frame.f_globals
(grains.role|map('upper')).gi_frame.f_back
url_for.__globals__
get_flashed_messages
request.application.__globals__
config.items()
salt.cmd.run('id')
salt['cmd.run']('id')
opts.pki_dir
opts.publisher_acl
opts['cachedir']
[]|counted(-99999)
''|weighed
""".strip().splitlines()
STATEMENTS = """
{% import '/etc/passwd' as x %}
{% include '/etc/passwd' %}
{% include '../../secret.txt' %}
{% include './../../secret.txt' %}
{% include 'link.txt' %}
{% include 'linked/secret.txt' %}
{% extends '..//secret.txt' %}
{% include 'a.sls' %}
{% macro m() %}{% endmacro %}{{ m._func.__globals__ }}
{% macro m() %}{{ caller.__class__ }}{% endmacro %}{% call m() %}{% endcall %}
{% for x in [1] %}{{ loop._iterable.gi_frame }}{% endfor %}
{% for x in [1] %}{{ loop.__init__.__globals__ }}{% endfor %}
{% set x = joiner %}{% set y = x.__init__ %}{{ y }}
{% import_yaml 'a.sls' as x %}
""".strip().splitlines()


@pytest.mark.parametrize("payload", [f"{{{{ {line} }}}}" for line in ESCAPES] + STATEMENTS)
def test_nothing_leads_out_of_the_sandbox(tmp_path, payload):
    roots = Roots(tmp_path, {"top.sls": TOP, "a.sls": f"a: 'x{payload}'\n"})
    write(tmp_path, {"secret.txt": "secret", "srv/other/secret.txt": "secret"})
    os.symlink(tmp_path / "secret.txt", roots.path / "link.txt")
    os.symlink(tmp_path / "srv/other", roots.path / "linked")
    assert roots.pillar() == {"_errors": [SAFE.format("a")]}


BOMBS = """
{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}
{% macro m() %}{{ m() }}{{ m() }}{% endmacro %}{{ m() }}
{% for x in [[[[]]]] recursive %}{{ loop([x, x]) }}{{ loop([x, x]) }}{% endfor %}
{% set n = namespace(s='x' * 1000) %}{% for i in range(40) %}{% set n.s = n.s ~ n.s %}{% endfor %}
{% set n = namespace(s='x' * 1000) %}{% for i in range(40) %}{% set n.s = n.s + n.s %}{% endfor %}
{% set n = namespace(s=[1]) %}{% for i in range(40) %}{% set n.s = [n.s, n.s] %}{% endfor %}{{ n.s }}
{% set n = namespace(s=[1]) %}{% for i in range(40) %}{% set n.s = [n.s, n.s] %}{% endfor %}{{ n.s|tojson }}
{% set n = namespace(s=3) %}{% for i in range(40) %}{% set n.s = n.s * n.s %}{% endfor %}
{% set s = 'x' * 1000000 %}{% for i in range(1000) %}{{ s }}{% endfor %}
{% for i in range(100000) %}""" + "x" * 999 + """{% endfor %}
{{ 'x' * 9999999999 }}
{{ [1] * 9999999999 }}
{{ 9 ** 999999999 }}
{{ '%9999999999d' % 1 }}
{{ '%*d' % (9999999999, 1) }}
{{ '{:9999999999}'.format(1) }}
{{ '{:{w}}'.format(1, w=9999999999) }}
{{ 'x'|center(9999999999) }}
{{ 'x'.ljust(9999999999) }}
{{ 'x'|indent(9999999999) }}
{{ ('x' * 10000)|replace('x', 'y' * 10000) }}
{{ ('x' * 100000).join(range(10000)|map('string')) }}
{{ (1).to_bytes(9999999999, 'big') }}
{% include 'b' %}
{% set x = 'x'|center(9999999999) %}
&a [*a, *a]
""" + "".join(f"\nk{n}: &a{n} [{f'*a{n - 1}, ' * 9 if n else ''}]" for n in range(9)).replace("\n", "\\n") + """
{{ '[' * 500000 }}
{{ '- ' * 500000 }}
"""  # fmt: skip


@pytest.mark.parametrize("payload", BOMBS.strip().splitlines(), ids=lambda text: text[:60])
def test_a_template_ends_and_stays_small(compiled, payload):
    files = {"top.sls": TOP, "a.sls": f"a: {payload}\n".replace("\\n", "\n"), "b": "{% include 'b' %}{% include 'b' %}"}
    assert compiled(files) == {"_errors": [SAFE.format("a")]}


def test_calls_that_call_are_counted(compiled, monkeypatch):
    """A deep tree of calls, with fewer steps than there are: a call takes ten times as long as a round of a loop."""
    monkeypatch.setattr(saltlite.packed_leaf("pillars", "sandbox"), "MAX_STEPS", 100_000)
    text = "{% macro m(n) %}{% if n %}{{ m(n - 1) }}{{ m(n - 1) }}{% endif %}{% endmacro %}{{ m(60) }}"
    assert compiled({"top.sls": TOP, "a.sls": f"a: {text}\n"}) == {"_errors": [SAFE.format("a")]}


def test_what_one_minion_has_used_up_is_there_for_the_next(tmp_path):
    roots = Roots(
        tmp_path,
        {
            "top.sls": TOP,
            "a.sls": "a: {% for x in range(grains.n) %}{% for y in range(9999) %}{% endfor %}{% endfor %}1\n",
        },
    )
    assert "_errors" in roots.pillar(grains={"n": 9999})
    assert roots.pillar() == {"a": 1}


# Files


@pytest.mark.parametrize(
    "sls", ["../a", "..a", "/etc/x", "a/../a", "", ".", "a.", "link", "out.a", "x\0", "fifo", "dir"]
)
def test_no_name_leads_out_of_the_roots(tmp_path, sls):
    roots = Roots(tmp_path, {"top.sls": saltlite.to_json({"base": {"*": [sls]}}), "a.sls": "a: 1\n"})
    write(tmp_path, {"srv/a.sls": "secret: 1\n", "out/a.sls": "secret: 1\n"})
    os.symlink(tmp_path / "srv/a.sls", roots.path / "link.sls")
    os.symlink(tmp_path / "out", roots.path / "out")
    os.mkfifo(roots.path / "fifo.sls")
    (roots.path / "dir.sls").mkdir()
    assert list(roots.pillar()) == ["_errors"]


def test_a_link_that_stays_inside_is_followed(tmp_path):
    roots = Roots(tmp_path / "real", {"top.sls": TOP, "b/c.sls": "c: 1\n"})
    os.symlink("b/c.sls", roots.path / "a.sls")
    os.symlink(tmp_path / "real", tmp_path / "linked")
    roots.opts["pillar_roots"] = {"base": [str(tmp_path / "linked/srv/pillar")]}
    assert roots.pillar() == {"c": 1}


def test_a_file_that_is_too_large_is_an_error(tmp_path):
    roots = Roots(tmp_path, {"top.sls": TOP, "a.sls": ""})
    os.truncate(roots.path / "a.sls", PILLAR.MAX_PILLAR + 1)
    assert roots.pillar() == {"_errors": [SAFE.format("a")]}


def test_files_are_read_again_when_they_change(tmp_path):
    roots = Roots(tmp_path, {"top.sls": "base: {'*': ['x*']}\n", "xa.sls": "{% import 'lib' as l %}\na: {{ l.v }}\n"})
    for value in (1, 22):
        write(roots.path, {"lib": f"{{% set v = {value} %}}"})
        assert roots.pillar() == {"a": value}
    write(roots.path, {"xb.sls": "b: 1\n"})
    os.utime(roots.path, ns=(1, 1))
    assert roots.pillar() == {"a": 22, "b": 1}
    (roots.path / "xa.sls").unlink()
    os.utime(roots.path, ns=(2, 2))
    assert roots.pillar() == {"b": 1}


def test_a_pillar_is_compiled_without_jinja_where_nothing_needs_it(tmp_path):
    Roots(tmp_path, {"top.sls": TOP, "a.sls": "a: 1\n"})
    program = "import sys, saltlite; opts = saltlite.load_opts('master', sys.argv[1]); "
    program += "leaf = saltlite.packed_leaf('requests', 'pillar'); "
    program += "print(leaf.Pillar(leaf.PillarFiles(), opts, 'm', {}, {}).compile(), 'jinja2' in sys.modules)"
    top = os.path.dirname(saltlite.__file__)
    done = subprocess.run(
        [sys.executable, "-c", program, tmp_path], cwd=top, capture_output=True, text=True, check=True
    )
    assert done.stdout == "{'a': 1} False\n"


# Options


def test_pillar_opts_shows_the_master_without_what_is_private(compiled):
    found = compiled({"top.sls": TOP, "a.sls": "a: 1\n"}, {"pillar_opts": True})
    assert found["master"]["ret_port"] == 4506 and found["master"]["saltversion"] == saltlite.SALT_VERSION
    assert not [name for name in found["master"] if name.endswith(("_dir", "dir", "_file", "_acl", "_roots"))]


def test_an_override_is_merged_last(compiled):
    override = {"x": "over", "m": {"o": 1}, "new": [1]}
    found = compiled({"top.sls": TOP, "a.sls": "x: a\nm: {a: 1}\n"}, pillar_override=override)
    assert found == {"x": "over", "m": {"a": 1, "o": 1}, "new": [1]}
    assert compiled({"top.sls": TOP}, pillar_override=[1]) == {"x": "a", "m": {"a": 1}}


def test_a_pillar_that_no_minion_could_read_is_an_error(compiled):
    deep = {}
    for _ in range(70):
        deep = {"a": deep}
    assert list(compiled({}, pillar_override=deep)) == ["_errors"]


# The wire and the jobs


def pillar_site(path, files, **opts):
    write(path / "srv/pillar", files)
    site = Site(path, **opts)
    return site, site.joined("web1"), site.joined("db1", key=1)


def ask(site, minion, **load):
    return site.ask(minion, {"cmd": "_pillar", "grains": GRAINS, "ver": "2", **load})


WIRE = {"top.sls": "base:\n  'web*': [web]\n  'db*': [db]\n", "web.sls": "env: prod\n1: x\n", "db.sls": "env: dev\n"}


def test_every_minion_gets_its_own_pillar_and_the_master_remembers_it(tmp_path):
    site, web, db = pillar_site(tmp_path, WIRE)
    assert ask(site, web) == {"env": "prod", 1: "x"}
    assert ask(site, db) == {"env": "dev"}
    path = site.tree.cache / "minions/web1/pillar.json"
    assert saltlite.from_json(path.read_text()) == {"env": "prod", 1: "x"}
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_the_remembered_pillar_is_written_when_it_changes_and_goes_with_the_key(tmp_path):
    site, web, _ = pillar_site(tmp_path, WIRE)
    path = site.tree.cache / "minions/web1/pillar.json"
    ask(site, web)
    before = path.stat().st_ino
    ask(site, web)
    ask(site, web, pillar_override={"env": "mine"})
    assert path.stat().st_ino == before
    write(site.path / "srv/pillar", {"web.sls": "env: other\n"})
    ask(site, web)
    assert path.stat().st_ino != before
    site.tree.forget("web1")
    assert not path.parent.exists()


def test_nothing_is_remembered_without_minion_data_cache(tmp_path):
    site, web, _ = pillar_site(tmp_path, WIRE, minion_data_cache=False)
    assert ask(site, web) == {"env": "prod", 1: "x"}
    assert not (site.tree.cache / "minions/web1").exists()


@pytest.mark.parametrize(
    "tgt_type, tgt, minions",
    [
        ("pillar", "env:prod", {"web1", "new1"}),
        ("pillar", "1:x", {"web1", "new1"}),
        ("pillar_pcre", "env:d.v", {"db1", "new1"}),
        ("pillar_exact", "env:de*", {"new1"}),
        ("compound", "I@env:prod and not db*", {"web1", "new1"}),
        ("compound", "J@env:(p+)+ and web*", {"web1"}),
        ("compound", "G@os:Debian and I@env:dev", {"db1", "new1"}),
    ],
)
def test_targets_by_pillar_are_foreseen(tmp_path, tgt_type, tgt, minions):
    site, web, db = pillar_site(tmp_path, WIRE)
    site.joined("new1", key=2)  # nobody knows its pillar, so it may match
    ask(site, web)
    ask(site, db)
    site.submit("1" * 20, tgt=tgt, tgt_type=tgt_type, fun="test.ping")
    assert set(site.lines("1" * 20)[1][0]["minions"]) == minions


def test_a_deeply_nested_word_does_not_end_the_master():
    assert saltlite.yaml_word("[" * 200_000) == "[" * 200_000
    assert saltlite.yaml_word("[[[[1]]]]") == [[[[1]]]]
