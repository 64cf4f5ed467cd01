"""Configuration is read as Salt reads it: which files count, what becomes of several, who a machine is, what is told of
options of Salt's that are not here. What is right was taken from Salt itself: expected/configured.json."""

import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest
from leaves import MASTER_OPTIONS, MINION_COMMAND, MINION_OPTIONS

import saltlite
from saltlite import Failure, check, load_opts

find_id, host_name = MINION_COMMAND.find_id, MINION_COMMAND.host_name

EXPECTED = Path(__file__).parent / "expected"
sys.path.append(str(EXPECTED))
from configurations import CASES  # noqa: E402

CONFIGURED = json.loads((EXPECTED / "configured.json").read_text())
FILES, SALTS = (saltlite.packed_leaf("configuration", name) for name in ("files", "salts"))
TABLES = {"master": MASTER_OPTIONS, "minion": MINION_OPTIONS}


def written(path, files):
    """A configuration directory with these files, as `path`/etc/salt."""
    conf = path / "etc/salt"
    for name, text in files.items():
        (conf / name).parent.mkdir(parents=True, exist_ok=True)
        (conf / name).write_text(text.replace("@ROOT@", str(path)))
    conf.mkdir(parents=True, exist_ok=True)
    return str(conf)


def told(path, role, **files):
    """The sentences of the log that a daemon would write at its start, by level."""
    opts = load_opts(role, written(path, {name.replace("__", "/"): text for name, text in files.items()}))
    return [(logging.getLevelName(level), sentence) for level, sentence in opts["__warnings__"]]


def test_a_kind_of_ext_pillar_that_is_not_here_is_an_error_at_the_start(tmp_path):
    text = "ext_pillar:\n  - git: ['main https://example.com/pillar.git']\n  - cmd_yaml: 'true'\n"
    ((level, sentence),) = told(tmp_path, "master", master=text)
    assert level == "ERROR" and "no kind 'git'" in sentence and "Keep a checkout" in sentence


@pytest.mark.parametrize(
    ("role", "text", "name", "taken"),
    [
        ("minion", "state_output: highstate", "state_output", "full"),
        ("minion", "state_output: Terse_ID", "state_output", "terse_id"),
        ("master", "pillar_source_merging_strategy: deep", "pillar_source_merging_strategy", "recurse"),
        ("master", "top_file_merging_strategy: first", "top_file_merging_strategy", "merge"),
    ],
)
def test_a_word_that_salt_takes_for_another_is_that_one(tmp_path, role, text, name, taken):
    opts = load_opts(role, written(tmp_path, {role: f"id: a\n{text}\n"}))
    said = [sentence for _, sentence in opts["__warnings__"] if "it counts as" in sentence]
    assert opts[name] == taken and len(said) == (taken != "terse_id")


def test_a_key_that_stands_twice_is_named_with_its_line(tmp_path):
    with pytest.raises(saltlite.Failure, match="line 3: the key 'user' appears twice"):
        told(tmp_path, "master", master="user: root\nid: a\nuser: salt\n")


# Which files count


@pytest.mark.parametrize("name", CASES)
def test_files_are_read_as_salt_reads_them(tmp_path, name):
    role, files, asked = CASES[name]
    opts = load_opts(role, written(tmp_path, files))
    if "id" in asked.split():
        opts["id"] = find_id(opts)
    found = json.loads(json.dumps({each: opts[each] for each in asked.split()}).replace(str(tmp_path), "@ROOT@"))
    assert found == CONFIGURED[name]


def test_a_pattern_of_include_that_matches_nothing_is_told_and_the_default_one_is_not(tmp_path):
    found = told(tmp_path, "master", master="include: nothing/*.conf\ndefault_include: nowhere/*.conf")
    assert [level for level, _ in found] == ["WARNING"] and "nothing/*.conf matches no file" in found[0][1]


@pytest.mark.parametrize("many, well", [(-1, True), (0, True), (1, False)])
def test_includes_end_somewhere(tmp_path, many, well):
    last = FILES.MAX_INCLUDES + many
    files = {f"{n}.yml": f"timeout: {n}\ninclude: {n + 1}.yml" for n in range(1, last)} | {
        f"{last}.yml": "timeout: 999"
    }
    conf = written(tmp_path, {"master": "include: 1.yml"} | files)
    if well:
        assert load_opts("master", conf)["timeout"] == 999
    else:
        with pytest.raises(Failure, match=r"16\.yml: include: more than 16 files"):
            load_opts("master", conf)


def test_a_file_that_includes_itself_is_a_mistake_that_is_named(tmp_path):
    with pytest.raises(Failure, match=r"a\.yml: include"):
        load_opts("master", written(tmp_path, {"master": "include: a.yml", "a.yml": "include: a.yml"}))


@pytest.mark.parametrize(
    "files, said",
    [
        ({"master.d/a.conf": "timeout: many"}, r"a\.conf: timeout must be a number"),
        ({"master.d/a.conf": "[1]"}, r"a\.conf: a configuration file must be a map"),
        ({"master": "include: a.yml", "a.yml": "include: b.yml", "b.yml": "a: ["}, r"b\.yml line \d: this is not YAML"),
        ({"master": "include: {a: b}"}, "include must be a list"),
        ({"master.d/a.conf": "file_roots: {base: [/a]}", "master.d/b.conf": "file_roots: 5"}, r"b\.conf: file_roots"),
    ],
)
def test_a_file_that_cannot_be_used_is_named_wherever_it_comes_from(tmp_path, files, said):
    with pytest.raises(Failure, match=said):
        load_opts("master", written(tmp_path, files))


# What Salt takes


TAKEN = [
    ("ret_port", "'4506'", 4506),
    ("ret_port", "4506.0", 4506),
    ("ret_port", "' 4506 '", 4506),
    ("keysize", "'4096'", 4096),
    ("timeout", "'15'", 15),
    ("timeout", "1.5", 1.5),
    ("loop_interval", "'0.5'", 0.5),
    ("log_level", "DEBUG", "debug"),
    ("log_level", "Warning", "warning"),
    ("hash_type", "SHA256", "sha256"),
    ("state_output", "Mixed", "mixed"),
    ("publish_signing_algorithm", "pkcs1v15-sha224", "PKCS1v15-SHA224"),
    ("max_minions", "-1", 0),
    ("keep_jobs_seconds", "-1", 0),
    ("autosign_timeout", "'-1'", 0),
    ("tcp_keepalive_idle", "-1", -1),
    ("ipv6", "1", True),
    ("ipv6", "0", False),
    ("ipv6", "'false'", False),
    ("ipv6", "'True'", True),
    ("ipv6", "'no'", False),
    ("ipv6", "'on'", True),
    ("env_order", "base", ["base"]),
    ("env_order", "2019", [2019]),
    ("file_ignore_glob", "'*.pyc'", ["*.pyc"]),
    ("file_ignore_regex", "x", ["x"]),
    ("state_aggregate", "pkg", ["pkg"]),
    ("state_aggregate", "'true'", True),
    ("interface", "10", "10"),
    ("nodegroups", "[{a: b}, {c: d}]", {"a": "b", "c": "d"}),
    ("auto_accept", "1", False),
    ("auto_accept", "'True'", False),
    ("auto_accept", "yes", True),
    ("open_mode", "'true'", False),
    ("open_mode", "True", True),
]


@pytest.mark.parametrize("name, text, value", TAKEN)
def test_what_salt_takes_starts(tmp_path, name, text, value):
    found = load_opts("master", written(tmp_path, {"master": f"{name}: {text}"}))[name]
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize(
    "name, value",
    [
        *(("ret_port", value) for value in ("4506a", "", "0x11", "1e3", True, [4506], "9" * 16)),
        *(("ipv6", value) for value in (2, "maybe", "", [True], 0.5)),
        *(("max_minions", value) for value in (-2, 1.5, "many")),
        *(("env_order", value) for value in ({"a": 1}, True)),
        *(("nodegroups", value) for value in ("a", ["a"], [{"a": 1, "b": 2}], 5)),
        ("open_mode", "maybe"),
        ("open_mode", 2),
        *(("log_level", value) for value in ("loud", 7, True)),
    ],
)
def test_what_nobody_can_mean_is_refused_with_the_value_that_was_written(name, value):
    with pytest.raises(Failure) as caught:
        check(name, value, MASTER_OPTIONS[name], "file")
    assert f"file: {name} must be" in str(caught.value) and f"not {value!r}" in str(caught.value)


# Who a machine is


HOST = host_name()


@pytest.mark.parametrize(
    "text, wanted",
    [
        ("minion_id_lowercase: True", HOST.lower()),
        ("minion_id_remove_domain: True", HOST.partition(".")[0]),
        ("minion_id_remove_domain: Example.org\nappend_domain: EXAMPLE.ORG", HOST + ".EXAMPLE.ORG"),
        ("minion_id_remove_domain: no.such.domain", HOST),
        ("append_domain: .example.org", HOST + ".example.org"),
    ],
)
def test_a_host_name_becomes_an_id(tmp_path, text, wanted):
    assert find_id(load_opts("minion", written(tmp_path, {"minion": text}))) == wanted


@pytest.mark.parametrize(
    "name, opts, wanted",
    [
        ("WEB1.Example.org", {"minion_id_lowercase": True}, "web1.example.org"),
        ("WEB1.Example.org", {"minion_id_remove_domain": True}, "WEB1"),
        ("WEB1.Example.org", {"minion_id_remove_domain": "example.ORG"}, "WEB1"),
        ("web1.a.example.org", {"minion_id_remove_domain": "example.org"}, "web1.a"),
        ("web1.example.org", {"minion_id_remove_domain": "ample.org"}, "web1.example.org"),
        ("WEB1", {"minion_id_remove_domain": True, "append_domain": "b.org"}, "WEB1.b.org"),
        ("web1.a.org", {"minion_id_remove_domain": "a.org", "append_domain": "b.org"}, "web1.b.org"),
    ],
)
def test_words_of_a_host_name_are_taken_off_and_put_on(tmp_path, name, opts, wanted):
    """In a program of its own, whose host name is this one."""
    written(tmp_path, {"minion": json.dumps(opts)})
    program = "import os, sys, saltlite; real = os.uname(); "
    program += "os.uname = lambda: type(real)((real[0], sys.argv[1], *real[2:])); "
    program += "print(saltlite.packed_leaf('commands', 'minion').find_id(saltlite.load_opts('minion', sys.argv[2])))"
    command = [sys.executable, "-c", program, name, str(tmp_path / "etc/salt")]
    environment = os.environ | {"PYTHONPATH": str(Path(saltlite.__file__).parent)}
    assert subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout.strip() == wanted


def test_a_function_that_would_give_the_id_is_refused_where_it_would_be_asked(tmp_path):
    conf = written(tmp_path, {"minion": "id_function: {network.hw_addr: {iface: eth0}}"})
    with pytest.raises(Failure, match="id_function is not supported: write the id"):
        find_id(load_opts("minion", conf))


def test_the_id_is_cached_without_the_domain_that_is_appended(tmp_path):
    opts = load_opts("minion", written(tmp_path, {"minion": "append_domain: example.org"}))
    minion_id_of = saltlite.packed_leaf("commands", "minion").minion_id_of
    assert minion_id_of(opts) == f"{HOST}.example.org" == minion_id_of(opts)
    assert (tmp_path / "etc/salt/minion_id").read_text() == HOST


def test_without_caching_the_cached_id_is_not_read(tmp_path):
    files = {"minion": "minion_id_caching: False", "minion_id": "other"}
    assert find_id(load_opts("minion", written(tmp_path, files))) == HOST


# Options of Salt's that are not here


LOST = [
    ("master", "fileserver_backend: [git, roots]", "file_roots alone"),
    ("master", "gitfs_remotes: [https://example.org/a.git]", "file_roots alone"),
    ("master", "hgfs_remotes: [x]", "file_roots alone"),
    ("master", "master_tops: {ext_nodes: x}", "are not applied"),
    ("master", "external_auth: {pam: {web: ['.*']}}", "nobody is let in"),
    ("master", "reactor: [{'salt/*': [/srv/r.sls]}]", "no event causes it; executables in master.d/hooks"),
    ("master", "engines: [{logstash: {}}]", "nothing of it runs"),
    ("master", "event_return: mysql", "go nowhere else"),
    ("master", "schedule: {a: {function: runner.x, hours: 1}}", "nothing of it runs"),
    ("minion", "beacons: {load: []}", "nothing of it runs"),
    ("minion", "return: mysql", "go nowhere else"),
]


@pytest.mark.parametrize("role, text, said", LOST)
def test_content_that_goes_missing_is_an_error_at_each_start(tmp_path, role, text, said):
    [(level, sentence)] = told(tmp_path, role, **{role: text})
    assert level == "ERROR" and said in sentence
    assert sentence.startswith(f"{tmp_path}/etc/salt/{role}: {text.partition(':')[0]} ")


@pytest.mark.parametrize(
    "role, text, said",
    [
        ("master", "peer: {'.*': ['.*']}", "publish nothing"),
        ("master", "file_recv: True", "cp.push"),
        ("master", "cluster_id: one", "clusters of masters"),
        ("minion", "random_master: True", "use master_shuffle"),
        ("minion", "source_interface_name: eth1", "the address that the system gives"),
    ],
)
def test_what_is_not_supported_says_what_is_missing(tmp_path, role, text, said):
    [(level, sentence)] = told(tmp_path, role, **{role: text})
    assert level == "WARNING" and said in sentence and "secret" not in sentence


@pytest.mark.parametrize(
    "role, text",
    [
        ("master", "worker_threads: 5"),
        ("master", "fileserver_backend: [roots]"),
        ("master", "reactor: []"),
        ("master", "external_auth: {}"),
        ("master", "peer:"),
        ("master", "gitfs_update_interval: 60"),
        ("master", "mysql.host: db"),
        ("master", "master_job_cache: local_cache"),
        ("master", "mine_interval: 5"),
        ("minion", "multiprocessing: False"),
        ("minion", "file_roots: {base: [/srv/salt]}"),
        ("minion", "test: True"),
        ("minion", "reactor: [a]"),
    ],
)
def test_what_changes_nothing_is_said_at_debug(tmp_path, role, text):
    assert [level for level, _ in told(tmp_path, role, **{role: text})] == ["DEBUG"]


def test_only_words_that_nobody_knows_are_unknown_and_have_a_nearest_name(tmp_path):
    found = told(tmp_path, "master", master="ret_prot: 1\nour_own: {a: 1}")
    assert [level for level, _ in found] == ["WARNING"] * 2
    assert "unknown option 'ret_prot' is ignored; did you mean 'ret_port'?" in found[0][1]
    assert found[1][1].endswith("unknown option 'our_own' is ignored.")


def test_signatures_cannot_be_switched_off(tmp_path):
    [(level, sentence)] = told(tmp_path, "minion", minion="sign_pub_messages: False")
    assert level == "WARNING" and "no effect" in sentence


@pytest.mark.parametrize("role", TABLES)
def test_every_option_of_salts_has_a_verdict(role):
    """Names and defaults as salt.config has them; with its default none of them is told above debug."""
    salts = json.loads((EXPECTED / "salts_options.json").read_text())
    missing = sorted(set(salts[role]) - set(TABLES[role]))
    assert len(missing) > 200
    loud = [name for name in missing if SALTS.verdict(role, name, salts[role][name])[0] > logging.DEBUG]
    assert loud == []
    everywhere = set(salts["master"]) | set(salts["minion"]) | set(salts["valid"])
    words = [SALTS.verdict(role, name, "something")[1] for name in sorted(everywhere - set(TABLES[role]))]
    assert [sentence for sentence in words if "unknown" in sentence] == []


@pytest.mark.parametrize("name", sorted(SALTS.HARMLESS | set(SALTS.ROLES) | set(SALTS.DEFAULTS)))
def test_tables_name_nothing_that_is_an_option_here(name):
    assert not any(name in table for table in TABLES.values())


@pytest.mark.parametrize("command", [["master"], ["call", "--local", "test.ping"]], ids=" ".join)
def test_daemons_and_call_name_all_of_them_and_not_the_first_ten(tmp_path, command):
    """The flood gate of the log lets ten of one kind pass, and each of these is a kind of its own."""
    role = "master" if command == ["master"] else "minion"
    text = "".join(f"unknown_{n}: 1\n" for n in range(25)) + "interface: nowhere.invalid\nengines: [a]\nid: m\n"
    conf = written(tmp_path, {role: text})
    program = [sys.executable, saltlite.__file__, command[0], "-c", conf, *command[1:]]
    said = subprocess.run(program, capture_output=True, text=True, timeout=60, check=False).stderr
    assert all(f"'unknown_{n}'" in said for n in range(25))
    assert "[ERROR" in said and "engines is Salt's" in said


@pytest.mark.parametrize(
    "text, seconds",
    [
        ("keep_jobs: 48", 172800),
        ("keep_jobs: '1'", 3600),
        ("keep_jobs: 0", 0),
        ("keep_jobs: 0.5", 1800),
        ("keep_jobs: 48\nkeep_jobs_seconds: 60", 60),
        ("keep_jobs: many", 86400),
        ("keep_jobs:", 86400),
    ],
)
def test_keep_jobs_is_hours(tmp_path, text, seconds):
    assert load_opts("master", written(tmp_path, {"master": text}))["keep_jobs_seconds"] == seconds


@pytest.mark.parametrize(
    "text, said",
    [
        ("publisher_acl: {fred: [5]}", "publisher_acl: fred: 5 is no regular expression"),
        ("publisher_acl: {fred: }", "publisher_acl: fred: None is no regular"),
        ("publisher_acl: {fred: ['a(']}", "fred: 'a\\(' is no regular expression and no glob"),
        ("publisher_acl: {'fr(': [a]}", "publisher_acl: 'fr\\(' is no"),
        ("publisher_acl: {fred: [{'a*': [x], 'b*': [y]}]}", "one target or function stands in each map, not a\\*, b"),
        ("publisher_acl: {fred: [{'a*': 5}]}", "fred: a\\*: 5 is no"),
        ("publisher_acl: {fred: [{'N@x': [a]}]}", "no nodegroup x"),
        ("publisher_acl: {fred: [{'G@os': [a]}]}", "fred: G@os: "),
        ("publisher_acl: {fred: [{'*': [{a.b: [x]}]}]}", "a.b: behind a function stand"),
        ("publisher_acl: {fred: [{'*': [{a.b: {argv: [x]}}]}]}", "a.b: behind a function stand"),
        ("publisher_acl: {fred: [{'*': [{a.b: {args: ['(a+)+']}}]}]}", "may take too long"),
        ("publisher_acl: [fred]", "publisher_acl must be a map"),
        ("publisher_acl_blacklist: {user: [a]}", "'user' is neither users nor modules"),
        ("publisher_acl_blacklist: {users: [5]}", "publisher_acl_blacklist: users: 5 is no"),
    ],
)
def test_rules_that_can_never_be_meant_are_refused_at_the_start(tmp_path, text, said):
    with pytest.raises(Failure, match=said):
        load_opts("master", written(tmp_path, {"master": text}))


def test_rules_about_runners_are_told(tmp_path):
    found = told(tmp_path, "master", master="publisher_acl: {fred: [test.ping, '@runner', {'@wheel': [key.list]}]}")
    assert [level for level, _ in found] == ["WARNING"] * 2
    assert "fred: @runner allows nothing" in found[0][1] and "fred: @wheel allows nothing" in found[1][1]


def test_the_forms_of_salts_documentation_are_taken(tmp_path):
    text = """
publisher_acl:
  thatch: ['.*']
  fred: [{'web*': ['test.*', 'pkg.*']}, {N@group: [test.ping]}]
  admin|manager_.*: ['saltutil.*']
  user_.*: [{'web*': [{my_mod.*: {args: [a.*, b.*], kwargs: {kwa: kwa.*, kwb: kwb}}}]}]
  '%wheel': [test.ping]
publisher_acl_blacklist: {users: [root, '^(?!sudo_).*$'], modules: [cmd, test.echo]}
nodegroups: {group: 'a*'}
"""
    assert load_opts("master", written(tmp_path, {"master": text}))["publisher_acl"].keys() >= {"fred", "%wheel"}
