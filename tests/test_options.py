"""Options: what a value may be, how configuration files are found and read, and where the paths lie."""

from pathlib import Path

import pytest
from leaves import MASTER_OPTIONS, MINION_COMMAND, MINION_OPTIONS

from saltlite import Failure, check, collect_grains, load_opts, merge_options

find_id = MINION_COMMAND.find_id

TABLES = {"master": MASTER_OPTIONS, "minion": MINION_OPTIONS}
ROWS = [pytest.param(name, row, id=f"{role}-{name}") for role, table in TABLES.items() for name, row in table.items()]


@pytest.mark.parametrize("name, row", ROWS)
def test_every_row_is_whole_and_its_default_passes_its_own_check(name, row):
    assert row.kind.wanted and row.help
    assert check(name, row.default, row, "file") == row.default


@pytest.mark.parametrize("name, row", ROWS)
def test_any_value_is_taken_or_refused_with_a_sentence(name, row):
    for value in (True, 5, -5, 1.5, float("nan"), "text", [1], {"a": 1}, b"x"):
        try:
            taken = check(name, value, row, "the/file")
        except Failure as failure:
            assert str(failure).startswith("the/file") and name in str(failure), value
        else:
            assert isinstance(taken, row.kind.types), value


@pytest.mark.parametrize("name, row", ROWS)
def test_a_line_without_a_value_is_the_default(name, row):
    assert check(name, None, row, "file") == row.default


CHOICES = [
    ("encryption_algorithm", ("OAEP-SHA1", "OAEP-SHA224")),
    ("signing_algorithm", ("PKCS1v15-SHA1", "PKCS1v15-SHA224")),
    ("key_watch", ("auto", "inotify", "polling", "none")),
    ("master_type", ("str", "standard", "failover")),
    ("hash_type", ("md5", "sha1", "sha224", "sha256", "sha384", "sha512")),
    ("log_level", ("quiet", "critical", "error", "warning", "info", "profile", "debug", "trace", "garbage", "all")),
]


@pytest.mark.parametrize("name, words", CHOICES)
def test_choices_take_their_words_only(name, words):
    row = next(table[name] for table in TABLES.values() if name in table)
    assert all(check(name, word, row, "file") == word for word in words)
    with pytest.raises(Failure):
        check(name, "ROT13", row, "file")


@pytest.mark.parametrize("port", [0, -1, 65536, True, "65536", "4506x", 4506.5])
def test_odd_ports_are_refused(port):
    with pytest.raises(Failure):
        check("ret_port", port, MASTER_OPTIONS["ret_port"], "file")


@pytest.mark.parametrize("size, good", [(2047, False), (2048, True), (8192, True), (8193, False)])
def test_keysize_has_its_bounds(size, good):
    if good:
        assert check("keysize", size, MASTER_OPTIONS["keysize"], "file") == size
    else:
        with pytest.raises(Failure, match="2048 to 8192"):
            check("keysize", size, MASTER_OPTIONS["keysize"], "file")


def test_the_later_document_wins():
    opts, others = merge_options(
        MASTER_OPTIONS, [("a", {"timeout": 1, "ret_port": 1}), ("b", None), ("c", {"timeout": 2})]
    )
    assert (opts["timeout"], opts["ret_port"], others) == (2, 1, {})


@pytest.mark.parametrize("document", [[], "text", 5, True])
def test_a_document_that_is_no_map_is_refused(document):
    with pytest.raises(Failure, match="must be a map"):
        merge_options(MASTER_OPTIONS, [("file", document)])


def test_tables_are_not_changed_by_what_is_read():
    opts, _ = merge_options(MASTER_OPTIONS, [("file", {"nodegroups": {"a": "b"}})])
    opts["nodegroups"]["c"] = "d"
    assert MASTER_OPTIONS["nodegroups"].default == {}


@pytest.mark.parametrize(
    "conf, config, pki, cache",
    [
        ("c", "", "c/pki/master", "c/var/cache/salt/master"),
        ("r/etc/salt", "", "r/etc/salt/pki/master", "r/var/cache/salt/master"),
        ("c", "root_dir: {top}/root", "root/etc/salt/pki/master", "root/var/cache/salt/master"),
        ("c", "pki_dir: {top}/keys", "keys", "c/var/cache/salt/master"),
        ("c", "cachedir: here", "c/pki/master", "c/here"),
        ("c", "root_dir: {top}/root\npki_dir: /keys", "root/keys", "root/var/cache/salt/master"),
    ],
)
def test_paths_lie_below_the_root(tmp_path, conf, config, pki, cache):
    (tmp_path / conf).mkdir(parents=True)
    (tmp_path / conf / "master").write_text(config.format(top=tmp_path))
    opts = load_opts("master", str(tmp_path / conf))
    assert (opts["pki_dir"], opts["cachedir"]) == (str(tmp_path / pki), str(tmp_path / cache))


def test_directory_of_pieces_is_read_in_order_and_only_conf_files(tmp_path):
    (tmp_path / "master.d").mkdir()
    pieces = {"10.conf": "timeout: 1", "20.conf": "timeout: 2", "30.txt": "timeout: 3", ".40.conf": "timeout: 4"}
    for name, text in pieces.items():
        (tmp_path / "master.d" / name).write_text(text)
    (tmp_path / "master").write_text("timeout: 0\n")
    assert load_opts("master", str(tmp_path))["timeout"] == 2


@pytest.mark.parametrize(
    "text, said",
    [
        (b"a: [", "not YAML"),
        (b"a:\n\tb", "line 2: this is not YAML: .*tab"),
        (b"a: 1\n\tb: 2", "line 2: this is not YAML: .*tab"),
        (b"\xff\xfe", "UTF-8"),
        (b"a: !!python/object/apply:os.system [id]", "not YAML"),
        (b"- a", "map"),
        (b"timeout: 1\ntimeout: 2", "twice"),
        (b"? [a]\n: 1", "unhashable"),
        (b"timeout: !!int x", "not YAML"),
        (b"timeout: " + b"9" * 101, "digits"),
        (b"ret_port: many", "ret_port"),
    ],
)
def test_a_file_that_cannot_be_used_is_named(tmp_path, text, said):
    (tmp_path / "master").write_bytes(text)
    with pytest.raises(Failure, match=said) as caught:
        load_opts("master", str(tmp_path))
    assert str(tmp_path / "master") in str(caught.value)


@pytest.mark.parametrize("word, value", [("010", 10), ("0x10", 16), ("2020-01-02", "2020-01-02"), ("1.50", 1.5)])
def test_files_are_read_as_salt_reads_yaml(tmp_path, word, value):
    """Not by YAML 1.1's own rules, by which 010 is eight (Salt's salt.utils.yamlloader)."""
    (tmp_path / "minion").write_text(f"id: m\nmine: {word}\ngrains: {{a: {word}}}\n")
    (tmp_path / "grains").write_text(f"b: {word}\n")
    opts = load_opts("minion", str(tmp_path))
    grains = collect_grains(opts)
    assert opts["mine"] == grains["a"] == grains["b"] == value


DEEP_GRAINS = """
def one():
    return {'site': {'x': 1, 'y': [1], 'z': {'a': 1}}, 'conf': {'a': 1}}
def two():
    return {'site': {'z': {'b': 2}}, 'conf': {'b': 1}}
"""


@pytest.mark.parametrize(
    "deep, wanted", [(False, {"y": [2]}), (True, {"x": 1, "y": [2], "z": {"a": 1, "b": 2}})], ids=str
)
def test_maps_of_grains_are_joined_if_that_is_wanted(tmp_path, deep, wanted):
    """As with Salt 3008, which joins no lists, and nothing with the option `grains`."""
    (tmp_path / "_grains").mkdir()
    (tmp_path / "_grains/own.py").write_text(DEEP_GRAINS)
    (tmp_path / "grains").write_text("site: {y: [2]}\n")
    (tmp_path / "minion").write_text(f"id: m\ngrains_deep_merge: {deep}\ngrains: {{conf: {{c: 3}}}}\n")
    grains = collect_grains(load_opts("minion", str(tmp_path)))
    assert (grains["site"], grains["conf"]) == (wanted, {"c": 3})


def test_a_file_that_everybody_may_write_is_refused(tmp_path):
    (tmp_path / "master").write_text("timeout: 1\n")
    (tmp_path / "master").chmod(0o666)
    with pytest.raises(Failure, match="everybody"):
        load_opts("master", str(tmp_path))


@pytest.mark.parametrize("text, wanted", [("web1\n", "web1"), ("\ufeffweb1", "web1"), (" web1 \nmore\n", "web1")])
def test_minion_id_is_the_first_line_of_its_file(tmp_path, text, wanted):
    (tmp_path / "minion_id").write_text(text, encoding="utf-8")
    assert find_id(load_opts("minion", str(tmp_path))) == wanted


@pytest.mark.parametrize("name", ["a/b", "..", "a b", "-x", "ü", "a\n", "x" * 254])
def test_an_id_that_cannot_be_one_is_refused(tmp_path, name):
    Path(tmp_path / "minion_id").write_text("other\n")
    with pytest.raises(Failure, match="cannot be a minion's id"):
        find_id(load_opts("minion", str(tmp_path), {"id": name}))


def test_without_any_id_the_host_name_is_it(tmp_path):
    assert find_id(load_opts("minion", str(tmp_path)))
    assert find_id(load_opts("minion", str(tmp_path), {"append_domain": "example.org"})).endswith(".example.org")
