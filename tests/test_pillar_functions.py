"""What pillar templates may reach by `salt`, other renderers, pillar from elsewhere: errors and bounds."""

import hashlib
import os
import sys

import pytest
from in_memory import Site
from leaves import MINE
from roots import GRAINS, TOP, Roots, write

import saltlite

PROCESS = saltlite.packed_leaf("pillars", "process")
FUNCTIONS = saltlite.packed_leaf("pillars", "functions")
SANDBOX = saltlite.packed_leaf("pillars", "sandbox")
SAFE = "Rendering SLS 'a' failed. Please see master log for details."
FAILED = "Failed to load ext_pillar {}. Please see master log for details."


def sls(expression):
    return {"top.sls": TOP, "a.sls": f"a: {{{{ {expression} }}}}\n"}


@pytest.fixture(autouse=True)
def rested(monkeypatch):
    """What took too long in another test is run in this."""
    monkeypatch.setattr(PROCESS, "RESTING", {})


# What is not there


@pytest.mark.parametrize("name", ["cmd.run", "http.query", "grains.setval", "cp.get_file_str", "pillar.fetch_all", "x"])
@pytest.mark.parametrize("written", ["salt['{}']('x')", "salt.{}('x')"])
def test_another_function_is_an_error_that_names_it_and_the_file(compiled, caplog, name, written):
    assert compiled(sls(written.format(name))) == {"_errors": [SAFE]}
    assert "a.sls line 1" in caplog.text and "have no function" in caplog.text
    assert name.split(".")[0] in caplog.text


LEAKS = """
salt['grains.get'].__closure__
salt['grains.get'].func
salt['grains.get'].__globals__
salt.grains.__dict__
salt.grains._missing
salt.grains['__class__']
salt.__class__
salt['config.get']('pki_dir')
salt['config.get']('publisher_acl')
salt['config.get']('pillar_roots:base')
salt['file.file_exists']('/etc/passwd')
salt['file.file_exists']('../../secret.txt')
salt['file.find']('/etc')
salt['file.find'](opts.conf_dir)
salt['file.directory_exists']('/')
salt['saltutil.runner']('salt.cmd', arg=['cmd.run'])
salt['saltutil.runner']('mine.get', '*', 'x', 'pcre')
salt['saltutil.runner']('mine.get', 'E@.* and web1', 'x', 'compound')
'/etc/passwd'|file_hashsum
'/etc'|list_files
'/etc'|is_bin_file
'/etc/passwd'|is_text_file
'/etc/passwd'|is_empty
'sh'|which
'localhost'|dns_check(80)
'http://localhost/'|http_query
'/etc/passwd'|is_text_file
'ls'|which
'example.com'|dns_check(80)
'http://example.com'|http_query
{}|method_call('__class__')|string|first ~ {}.__class__
'x'|method_call('format_map', 'x').__class__
'x'|regex_replace('x', 'y').__class__
""".strip().splitlines()


@pytest.mark.parametrize("expression", LEAKS)
def test_nothing_leads_out_of_the_table(tmp_path, expression):
    roots = Roots(tmp_path, sls(expression))
    write(tmp_path, {"secret.txt": "secret"})
    assert roots.pillar() == {"_errors": [SAFE]}


def test_a_link_or_a_grain_does_not_lead_out_of_the_roots(tmp_path):
    roots = Roots(tmp_path, sls("salt['file.file_exists']('{}/' ~ grains.x)".format(tmp_path / "srv/pillar")))
    write(tmp_path, {"secret.txt": "secret"})
    os.symlink(tmp_path / "secret.txt", roots.path / "link")
    assert roots.pillar(grains={"x": "a.sls"}) == {"a": True}
    assert roots.pillar(grains={"x": "no.sls"}) == {"a": False}
    for name in ("link", "../../secret.txt", "../..", "a.sls/../../../secret.txt"):
        assert roots.pillar(grains={"x": name}) == {"_errors": [SAFE]}, name


BOMBS = """
range(99999)|list|permutations
range(9999)|list|product(range(9999)|list)
['x' * 99]|combinations_with_replacement(9999999999)
[1]|product(repeat=9999999999)
range(99999)|list|xml
range(99999)|list|python
range(9999)|map('string')|map('list')|list|unique
'10.0.0.0/8'|network_hosts
'fe80::/64'|network_hosts
99999999999|random_str
'a' * 4000|regex_replace('(a+)+$', 'b')
('a' * 4000)|regex_match('(a|a)*b')
('ab' * 4000)|regex_replace('', 'x' * 100000)
('a' * 4000) is match('(a+)+b')
('a' * 4000)|check_whitelist_blacklist('(a+)+b')
'%99999d'|strftime
0|strftime('%99999d')
[('x' * 16700000)|upper|length, ('x' * 99999)|yaml_dquote|length]
""".strip().splitlines()


@pytest.mark.parametrize("expression", BOMBS)
def test_a_filter_ends_and_stays_small(compiled, expression):
    assert compiled(sls(expression)) == {"_errors": [SAFE]}


def test_a_shared_value_is_not_flattened(compiled):
    text = "{% set n = namespace(s=[1]) %}{% for i in range(40) %}{% set n.s = [n.s, n.s] %}{% endfor %}"
    assert compiled({"top.sls": TOP, "a.sls": text + "a: {{ n.s|flatten }}\n"}) == {"_errors": [SAFE]}


@pytest.mark.parametrize("more", [-1, 0, 1])
def test_a_filter_makes_a_bounded_list(compiled, monkeypatch, more):
    monkeypatch.setattr(SANDBOX, "MAX_ITEMS", 12)
    found = compiled(sls(f"(range({12 + more})|list)|zip(range(99)|list)|length"))
    assert found == ({"a": 12 + more} if more <= 0 else {"_errors": [SAFE]})


@pytest.mark.parametrize("more", [-1, 0, 1])
@pytest.mark.parametrize(
    "bound, leaf, expression",
    [
        ("MAX_COMPARED", "lists", "range({})|batch(1)|list|unique|length"),
        ("MAX_SLOW", "serial", "(['x' * ({} - 16)]|python)|length - 4 + 16"),
        ("MAX_LONG", "lists", "([1]|combinations_with_replacement({}))[0]|length"),
        ("MAX_RANDOM", "text", "({}|random_str)|length"),
        ("MAX_HOSTS", "network", "('10.0.0.0/24'|network_hosts)|length - 254 + {}"),
    ],
)
def test_bounds_of_filters(compiled, monkeypatch, more, bound, leaf, expression):
    most = 256 - (more if bound == "MAX_HOSTS" else 0)
    monkeypatch.setattr(saltlite.packed_leaf("pillars", leaf), bound, most)
    found = compiled(sls(expression.format(256 + (0 if bound == "MAX_HOSTS" else more))))
    wanted = 256 + (0 if bound == "MAX_HOSTS" else more)
    assert found == ({"a": wanted} if more <= 0 else {"_errors": [SAFE]})


def test_long_lists_of_a_minion_are_no_long_work(compiled):
    files = sls("[grains.x|unique|length, grains.x|difference(grains.x)|length, grains.x|union([1])|length]")
    assert compiled(files, grains={"x": list(range(40_000))}) == {"a": [40_000, 0, 40_000]}


def test_an_ordered_map_keeps_its_order(compiled):
    text = (
        "{% set d = odict([('z', 1), ('a', {'y': 2, 'b': 3})]) %}a: {{ d|yaml }}\nb: {{ [d|json]|yaml }}\nc: {{ d }}\n"
    )
    found = compiled({"top.sls": TOP, "a.sls": text})
    assert list(found["a"]) == list(found["c"]) == ["z", "a"] and list(found["a"]["a"]) == ["b", "y"]
    assert isinstance(found["b"][0], str)


@pytest.mark.parametrize("more", [-1, 0, 1])
def test_a_short_text_meets_any_expression(compiled, monkeypatch, more):
    text = saltlite.packed_leaf("pillars", "text")
    found = compiled(sls(f"('a' * {text.SHORT + more})|regex_replace('^(a?)*$', 'x')"))
    assert found == ({"a": "x"} if more <= 0 else {"_errors": [SAFE]})


@pytest.mark.parametrize("more", [-1, 0, 1])
def test_file_find_gives_a_bounded_list(tmp_path, monkeypatch, more):
    monkeypatch.setattr(FUNCTIONS, "MAX_FOUND", 5)
    roots = Roots(tmp_path, sls(f"salt['file.find']('{tmp_path}/srv/pillar/d', type='f')|length"))
    write(roots.path, {f"d/{n}": "" for n in range(5 + more)})
    assert roots.pillar() == ({"a": 5 + more} if more <= 0 else {"_errors": [SAFE]})


@pytest.mark.parametrize(
    "expression, wanted",  # as real Salt answers
    [
        ("salt['match.ifelse']('db*', 'x', 'web* and G@id:web1', 'y', 'z')", "y"),
        ("salt['match.ifelse']('db*', 'x', 'z')", "z"),
        ("salt['match.ifelse'](False, 'x', True, 'y', 'z')", "y"),
        ("salt['match.ifelse']('z')", "z"),
        ("salt['match.ifelse']('web*', {'k': 1}, {'k': 2}, merge={'l': 3})|json", {"k": 1, "l": 3}),
        ("salt['match.ifelse']('db*', {'k': 1}, {'k': 2}, merge={'l': 3})|json", {"k": 2}),
        ("salt['match.ifelse']('web*', {'k': [1]}, {}, merge={'k': [1, 2]}, merge_lists=True)|json", {"k": [1, 2]}),
        ("salt['match.filter_by']({'db*': 1, 'E@web[0-9]': 2, 'default': 3})", 2),
        ("salt['match.filter_by']({'db*': 1, 'default': 3}, minion_id=grains.id)", 3),
        ("salt['match.filter_by']({'db*': 1, 'other': 4}, default='other')", 4),
        ("salt['match.filter_by']({'db*': 1})|json", None),
        ("salt['match.filter_by']({'r*': 1, 'os:Deb*': 2}, 'grain')", 2),
        ("salt['pillar.filter_by']({'db': 1, 'default': 3}, 'role')", 3),
        ("['root'|get_uid, 'no such user'|get_uid]|json", [0, None]),
    ],
)
def test_a_template_asks_whether_its_minion_is_meant(compiled, expression, wanted):
    assert compiled(sls(expression)) == {"a": wanted}


@pytest.mark.parametrize(
    "expression",
    [
        "salt['match.ifelse']('E@' ~ grains.x, 1, 2)",
        "salt['match.filter_by']({grains.x: 1}, 'pcre')",
        "salt['match.ifelse']('web*', 1, 'x', 2)",
        "salt['match.ifelse']('web*', 1, 2, minion_id='db1')",
        "salt['match.ifelse']('web*', [1], 2, merge={'a': 1})",
        "salt['match.ifelse']('web*', {}, 2, merge=[1])",
    ],
)
def test_what_cannot_be_asked_of_a_target_is_an_error(compiled, expression):
    assert compiled(sls(expression), grains={"x": "web.*"}) == {"_errors": [SAFE]}


def test_pillar_of_ext_pillar_first_is_what_filter_by_sees(tmp_path):
    write(tmp_path, {"first.json": '{"role": ["ops", "web"]}'})
    told = [{"cmd_json": f"cat {tmp_path}/first.json"}]
    files = sls("salt['pillar.filter_by']({'db': 1, 'we*': 2, 'default': 3}, 'role')")
    roots = Roots(tmp_path, files, ext_pillar=told, ext_pillar_first=True)
    assert roots.pillar() == {"role": ["ops", "web"], "a": 2}


# Data


def test_a_minions_words_are_data_in_what_functions_give(compiled):
    found = compiled(sls("salt['grains.get']('motd')"), grains={"motd": "x\nadmin: yes"})
    assert found == {"_errors": [SAFE]} or set(found) == {"a"}


@pytest.mark.parametrize("seconds", [MINE.STEP, 0.0])
def test_the_mine_answers_with_what_this_minion_may_get(tmp_path, monkeypatch, seconds):
    """Where it takes more than a step of the loop, the pillar is compiled apart."""
    monkeypatch.setattr(MINE, "STEP", seconds)
    ask = "[salt['saltutil.runner']('mine.get', '*', 'net.ip'), salt['mine.get']('*', 'net.ip')]|unique|first|json"
    write(tmp_path / "srv/pillar", sls(ask))
    site = Site(tmp_path, mine_get={"web.*": ["net.*"]})
    web, db = site.joined("web1"), site.joined("db1", key=1)
    for minion, address in ((web, "10.1"), (db, "10.2\nx: y")):
        site.ask(minion, {"cmd": "_mine", "data": {"net.ip": address, "secret": 1}})
    site.ask(db, {"cmd": "_mine", "data": {"own": {"__data__": 1, "__saltmine_acl__": 1, "allow_tgt": "db*"}}})
    assert site.ask(web, {"cmd": "_pillar", "grains": GRAINS}) == {"a": {"db1": "10.2 x: y", "web1": "10.1"}}
    assert site.ask(db, {"cmd": "_pillar", "grains": GRAINS}) == {"a": {}}
    apart = site.master.requests["_pillar"].handler.__self__.apart
    assert apart == (set() if seconds else {"web1", "db1"})


def test_made_up_options_are_there_and_private_ones_not(compiled):
    files = sls("[opts.mine, salt['config.get']('mine:x'), opts.get('pki_dir', 'none'), opts.get('nope', 1)]")
    found = compiled(files, {"mine": {"x": 7}, "pillar_opts": True})
    assert found["a"] == [{"x": 7}, 7, "none", 1] and found["master"]["mine"] == {"x": 7}
    assert not {"pki_dir", "conf_dir", "gpg_keydir", "ext_pillar", "decrypt_pillar"} & set(found["master"])


# pillar_functions


def test_a_command_runs_when_the_operator_has_listed_it(compiled):
    files = sls("salt['cmd.run']('echo one; echo two >&2') ~ salt.cmd.retcode('exit 3')")
    assert compiled(files) == {"_errors": [SAFE]}
    found = compiled(sls("salt['cmd.run']('echo one') ~ salt.cmd.retcode('exit 3')"), {"pillar_functions": ["cmd.run"]})
    assert found == {"_errors": [SAFE]}
    found = compiled(
        sls("salt['cmd.run']('echo one') ~ salt.cmd.retcode('exit 3')"),
        {"pillar_functions": ["cmd.run", "cmd.retcode"]},
    )
    assert found == {"a": "one3"}


@pytest.mark.parametrize(
    "command", ["'echo ' ~ grains.x", "grains.x", "'echo %s' % grains.x", "'echo {}'.format(grains.x)"]
)
def test_no_word_of_a_minion_becomes_a_command(tmp_path, compiled, command):
    found = compiled(
        sls(f"salt['cmd.run']({command})"),
        {"pillar_functions": ["cmd.run"]},
        grains={"x": f"; touch {tmp_path}/done"},
    )
    assert found == {"_errors": [SAFE]} and not (tmp_path / "done").exists()


def test_pillar_functions_are_a_closed_list(tmp_path):
    (tmp_path / "master").write_text("pillar_functions: [cmd.run, network.ip_addrs]\n")
    with pytest.raises(saltlite.Failure, match="pillar_functions must be a list of cmd.run"):
        saltlite.load_opts("master", str(tmp_path))


# Programs


def test_a_program_is_ended_with_all_that_it_has_started():
    with pytest.raises(saltlite.Failure, match="takes more than 0.3 seconds"):
        PROCESS.run("it", "sleep 600 & sleep 600", seconds=0.3)


def test_what_took_too_long_rests(monkeypatch):
    for rest, said in ((60.0, "is not run again for 60 seconds"), (0.0, "takes more than 0.1 seconds")):
        PROCESS.RESTING.clear()
        monkeypatch.setattr(PROCESS, "REST", rest)
        with pytest.raises(saltlite.Failure, match="takes more than 0.1 seconds"):
            PROCESS.run("it", "sleep 60", seconds=0.1)
        with pytest.raises(saltlite.Failure, match=said):
            PROCESS.run("it", "sleep 60", seconds=0.1)
        assert PROCESS.run("another", "true").returncode == 0


@pytest.mark.parametrize("more", [-1, 0, 1])
def test_of_a_bounded_number_it_is_known_that_they_rest(monkeypatch, more):
    monkeypatch.setattr(PROCESS, "MAX_RESTING", 3)
    PROCESS.RESTING.update({str(n): 0.0 for n in range(2 + more)})
    with pytest.raises(saltlite.Failure, match="takes more"):
        PROCESS.run("it", "sleep 60", seconds=0.1)
    assert len(PROCESS.RESTING) == (3 + more if more <= 0 else 1)


@pytest.mark.parametrize("more", [-1, 0, 1])
def test_what_a_program_prints_is_bounded(monkeypatch, more):
    monkeypatch.setattr(PROCESS, "MAX_OUTPUT", 1000)
    command = [sys.executable, "-c", f"print('x' * {1000 + more}, end='')"]
    if more > 0:
        with pytest.raises(saltlite.Failure, match="prints more than"):
            PROCESS.run("it", command)
    else:
        assert len(PROCESS.run("it", command).output) == 1000 + more


def test_the_memory_of_a_program_is_bounded(monkeypatch):
    monkeypatch.setattr(PROCESS, "MAX_MEMORY", 200 << 20)
    command = [sys.executable, "-c", "import time; time.sleep(0.2); x = b'x' * (300 << 20)"]
    assert PROCESS.run("it", command).returncode != 0


def test_a_program_that_is_not_there_is_a_sentence():
    with pytest.raises(saltlite.Failure, match="it cannot be run: No such file or directory"):
        PROCESS.run("it", ["/no/such/program"])


# Python


PY = "#!py\ndef run():\n    {}\n"


def test_a_python_file_is_off_until_it_is_allowed(compiled, caplog):
    files = {"top.sls": TOP, "a.sls": PY.format("return {'a': 1}")}
    assert compiled(files) == {"_errors": [SAFE]} and "pillar_py: True" in caplog.text
    assert compiled(files, {"pillar_py": True}) == {"a": 1}


@pytest.mark.parametrize(
    "body, said",
    [
        ("raise ValueError('no')", "line 3: ValueError: no"),
        ("return __salt__['cmd.run']('id')", "have no function cmd.run"),
        ("return __salt__['file.file_exists']('/etc/passwd')", "not beneath pillar_roots"),
        ("import os; os._exit(3)", "ends with 3"),
        ("while True: pass", "takes more than 1 seconds"),
        ("return {'x': 'y' * (2 << 20)}", "prints more than"),
    ],
)
def test_a_python_file_that_fails_is_an_error(compiled, caplog, monkeypatch, body, said):
    monkeypatch.setattr(PROCESS, "MAX_SECONDS", 1)
    monkeypatch.setattr(PROCESS, "MAX_OUTPUT", 1 << 20)
    files = {"top.sls": TOP, "a.sls": PY.format(body)}
    assert compiled(files, {"pillar_py": True}) == {"_errors": [SAFE]} and said in caplog.text


def test_a_python_file_prints_and_includes_and_knows_its_minion(compiled):
    body = "print('x'); return {'include': ['b'], 'id': __grains__['id'], 'os': salt['grains.get']('os'), 1: b'x'}"
    files = {"top.sls": TOP, "a.sls": PY.format(body), "b.sls": "b: 1\n"}
    assert compiled(files, {"pillar_py": True}) == {"b": 1, "id": "web1", "os": "Debian", 1: b"x"}


def test_what_a_template_has_made_is_no_program(compiled):
    for pipe in ("jinja|py", "jinja|jinja|yaml", "yaml|jinja", "jinja|gpg|py"):
        files = {"top.sls": TOP, "a.sls": f"#!{pipe}\n{{{{ grains.os }}}}\n"}
        assert compiled(files, {"pillar_py": True}) == {"_errors": [SAFE]}


@pytest.mark.parametrize("more", [-1, 0, 1])
def test_a_python_file_calls_a_bounded_number_of_functions(compiled, monkeypatch, more):
    monkeypatch.setattr(saltlite.packed_leaf("renderers", "py"), "MAX_CALLS", 20)
    body = f"return {{'a': sum(__salt__['grains.get']('n') for _ in range({20 + more}))}}"
    found = compiled({"top.sls": TOP, "a.sls": PY.format(body)}, {"pillar_py": True})
    assert found == ({"a": 5 * (20 + more)} if more <= 0 else {"_errors": [SAFE]})


# Errors


def test_a_key_that_stands_twice_is_named_with_its_line(compiled, caplog):
    for text, line in (("a: 1\nb:\n  c: 1\n  d: 2\n  c: 3\n", 5), ("c: 1\nx: 1\nc: 2\n", 3)):
        caplog.clear()
        assert compiled({"top.sls": TOP, "a.sls": text}) == {"_errors": [SAFE]}
        assert f"line {line}: the key 'c' appears twice" in caplog.text


def test_an_unknown_renderer_is_named(compiled, caplog):
    assert compiled({"top.sls": TOP, "a.sls": "#!mako|yaml\na: 1\n"}) == {"_errors": [SAFE]}
    assert "'mako' is not there; it may be gpg, jinja" in caplog.text


def test_a_map_that_holds_itself_is_an_error_and_ends(compiled):
    files = {"top.sls": "base: {'*': [a, b]}\n", "a.sls": "include: [b: {key: m}]\nm: {x: 1}\n"}
    files["b.sls"] = "include: [a: {key: m}, b: {key: m}]\nm: {y: 1}\n"
    for strategy in ("overwrite", "smart", "aggregate"):
        for over in (False, True):
            opts = {"pillar_source_merging_strategy": strategy, "pillar_includes_override_sls": over}
            assert isinstance(compiled(files, opts), dict)


def test_what_is_no_map_is_included_under_a_key_only(compiled):
    files = {"top.sls": TOP, "a.sls": "include: [b: {key: 'x:y'}]\nk: 1\n", "b.sls": "[1, 2]\n"}
    assert compiled(files) == {"x": {"y": [1, 2]}, "k": 1, "_errors": ["SLS 'b' does not render to a dictionary"]}


# Pillar from elsewhere


@pytest.mark.parametrize(
    "told, said",
    [
        ({"cmd_yaml": "exit 3"}, "ends with 3"),
        ({"cmd_yaml": "echo '['"}, "ParserError"),
        ({"cmd_yaml": "echo '- a'"}, "gives a list, not a map"),
        ({"cmd_json": "echo x"}, "not JSON"),
        ({"cmd_json": 5}, "wants a command"),
        ({"cmd_yaml": "sleep 60"}, "takes more than 1 seconds"),
        ({"file_tree": {}}, "root_dir is missing"),
        ({"file_tree": {"root_dir": "x"}}, "must be an absolute path"),
        ({"file_tree": {"root_dir": "/x", "pattern": 1}}, "unexpected keyword argument 'pattern'"),
        ({"stack": {"grain:os": {}}}, "is no condition"),
        ({"git": ["master https://example.com/x"]}, "no kind 'git'"),
        ({"functions": 1}, "no kind 'functions'"),
    ],
)
def test_what_cannot_be_had_is_an_error_beside_the_rest(compiled, caplog, monkeypatch, told, said):
    if "sleep" in str(told):
        monkeypatch.setattr(PROCESS, "MAX_SECONDS", 1.0)
    found = compiled({"top.sls": TOP, "a.sls": "a: 1\n"}, {"ext_pillar": [told, {"cmd_yaml": "echo 'b: 2'"}]})
    assert found == {"a": 1, "b": 2, "_errors": [FAILED.format(next(iter(told)))]} and said in caplog.text


def test_a_minion_reads_no_file_tree_of_another(tmp_path):
    write(tmp_path, {"t/hosts/web1/k": "1", "t/hosts/db1/secret": "2", "out/secret": "3"})
    os.symlink(tmp_path / "out", tmp_path / "t/hosts/web1/link")
    os.symlink(tmp_path / "out/secret", tmp_path / "t/hosts/web1/file")
    roots = Roots(tmp_path, {}, ext_pillar=[{"file_tree": {"root_dir": str(tmp_path / "t")}}])
    assert roots.pillar(grains={"id": "db1"}) == {"k": b"1", "link": {}}


@pytest.mark.parametrize("word", ["*", "[a-z]*", "../minions/db1", "/minions/db1", "x.yml, minions/db1", "?"])
def test_no_grain_names_another_file_of_a_stack(tmp_path, word):
    write(
        tmp_path,
        {"s/s.cfg": "- os/{{ __grains__.os }}.yml\n- minions/{{ minion_id }}.yml\n", "s/minions/web1.yml": "a: 1\n"},
    )
    write(tmp_path, {"s/minions/db1.yml": "secret: 1\n", "s/os/db.yml": "secret: 1\n", "s/os/x.yml": "secret: 1\n"})
    roots = Roots(tmp_path, {}, ext_pillar=[{"stack": str(tmp_path / "s/s.cfg")}])
    assert roots.pillar(grains={"os": word}) == {"a": 1}


def test_a_stack_reads_no_file_beside_its_directory(tmp_path):
    write(
        tmp_path,
        {"s/s.cfg": "../x.yml\nlink.yml\ny.yml\n", "x.yml": "secret: 1\n", "s/y.yml": "{% include '../x.yml' %}\n"},
    )
    os.symlink(tmp_path / "x.yml", tmp_path / "s/link.yml")
    roots = Roots(tmp_path, {}, ext_pillar=[{"stack": str(tmp_path / "s/s.cfg")}])
    assert roots.pillar() == {"_errors": [FAILED.format("stack")]}


@pytest.mark.parametrize("more", [-1, 0, 1])
def test_file_trees_and_stacks_have_a_bounded_number_of_files(tmp_path, monkeypatch, more):
    for leaf, bound in (("file_tree", "MAX_FILES"), ("stack", "MAX_PATHS")):
        monkeypatch.setattr(saltlite.packed_leaf("pillars", leaf), bound, 5)
    names = [f"k{n}" for n in range(5 + more)]
    write(
        tmp_path, {f"t/hosts/web1/{name}": "x" for name in names} | {f"s/d/{name}.yml": f"{name}: x" for name in names}
    )
    write(tmp_path, {"s/s.cfg": "d/*.yml\n"})
    for kind, told, value in (
        ("file_tree", {"root_dir": f"{tmp_path}/t"}, b"x"),
        ("stack", f"{tmp_path}/s/s.cfg", "x"),
    ):
        found = Roots(tmp_path, {}, ext_pillar=[{kind: told}]).pillar()
        assert found == (dict.fromkeys(names, value) if more <= 0 else {"_errors": [FAILED.format(kind)]})


def test_a_file_tree_that_is_rendered_imports_no_other_file(tmp_path, caplog):
    write(tmp_path, {"t/hosts/web1/k": "{% import 'secret' as s %}{{ s }}", "t/hosts/db1/secret": "2"})
    told = {"root_dir": str(tmp_path / "t"), "template": True}
    found = Roots(tmp_path, {"secret": "1"}, ext_pillar=[{"file_tree": told}]).pillar()
    assert found == {"_errors": [FAILED.format("file_tree")]} and "TemplateNotFound: secret" in caplog.text


@pytest.mark.parametrize("more", [-1, 0, 1])
def test_a_file_whose_hash_is_wanted_has_a_size(tmp_path, monkeypatch, more):
    monkeypatch.setattr(FUNCTIONS, "MAX_HASHED", 10)
    files = sls(f"'{tmp_path}/srv/pillar/f'|file_hashsum('md5')") | {"f": "x" * (10 + more)}
    found = Roots(tmp_path, files).pillar()
    assert found == ({"_errors": [SAFE]} if more > 0 else {"a": hashlib.md5(b"x" * (10 + more)).hexdigest()})


@pytest.mark.parametrize("more", [-1, 0, 1])
def test_the_paths_beneath_a_directory_are_counted(tmp_path, monkeypatch, more):
    monkeypatch.setattr(FUNCTIONS, "MAX_FOUND", 6)
    files = sls(f"'{tmp_path}/srv/pillar/d'|list_files|length") | {f"d/{n}": "" for n in range(5 + more)}
    assert Roots(tmp_path, files).pillar() == ({"_errors": [SAFE]} if more > 0 else {"a": 6 + more})


def test_links_are_followed_beneath_the_roots_and_in_no_circle(tmp_path):
    roots = Roots(tmp_path, sls(f"'{tmp_path}/srv/pillar/d'|list_files|length") | {"d/e/f": ""})
    os.symlink("..", tmp_path / "srv/pillar/d/e/up")
    assert roots.pillar() == {"a": 4}
    os.symlink("/etc", tmp_path / "srv/pillar/d/out")
    assert roots.pillar() == {"_errors": [SAFE]}


@pytest.mark.parametrize(
    ("call", "good"),
    [
        ("slsutil.merge({'a': 1}, 5)", False),
        ("slsutil.update([], {})", False),
        ("slsutil.banner(width=1000)|length", True),
        ("slsutil.banner(width=1001)", False),
        ("slsutil.banner(width=4)", False),
        ("slsutil.serialize('yaml', {})", False),
        ("slsutil.renderer(string='{{ 1 }}')", False),
        ("slsutil.file_exists('../x')", True),
        ("slsutil.findup('nope', 'x')", False),
        ("slsutil.findup('', 'x')", False),
        ("defaults.merge(none, {})", False),
        ("defaults.update(none, {})", False),
    ],
)
def test_what_does_not_fit_together_is_an_error(compiled, call, good):
    assert ("_errors" in compiled(sls(f"salt.{call}"))) is not good


def test_what_is_put_together_is_counted(compiled, caplog, monkeypatch):
    monkeypatch.setattr(SANDBOX, "MAX_STEPS", 20_000)
    text = "{% set ns = namespace(d={}) %}{% for n in range(40) %}{% set ns.d = salt['slsutil.merge']({'a': ns.d}, "
    text += "{'b': ns.d}) %}{% endfor %}a: {{ ns.d.a|length }}\n"
    assert compiled({"top.sls": TOP, "a.sls": text}) == {"_errors": [SAFE]}
    assert "put together more than" in caplog.text


def test_pillar_on_demand_is_an_error_that_names_it(tmp_path, caplog):
    site = Site(tmp_path)
    write(tmp_path / "srv/pillar", {"top.sls": TOP, "a.sls": "a: 1\n"})
    minion = site.joined("web1")
    load = saltlite.pillar_load(minion.opts, {"id": "web1"}) | {"ext": {"cmd_yaml": "echo 'b: 2'"}}
    assert site.ask(minion, load) == {"a": 1, "_errors": ["The ext_pillar cmd_yaml is not made on demand here."]}
    assert "web1" in caplog.text and site.ask(minion, load | {"ext": None}) == {"a": 1}
    odd = site.ask(minion, load | {"ext": ["\x1b[31m" * 100]})["_errors"]
    assert odd == ["The ext_pillar that it asks for is not made on demand here."]
