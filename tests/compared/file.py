"""file: what is called, and what is not. See tests/functions.py. What edits has a file of its own to edit."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

Row = tuple[str, list[Any], dict[str, Any]]
CONF = "[main]\n# a comment\n  port = 80\nhost = one\n\nhost = two\n#off = 1\n## twice = 2\n"
HOSTS = "127.0.0.1 localhost\n\t10.0.0.1 begin\n10.0.0.9 end\n"
SCRATCH = "{scratch}/"
DIGESTS = {
    "md5": "b1946ac92492d2347c6235b4d2611184",
    "sha1": "f572d396fae9206628714fb2ce00f72e94f2258f",
    "sha256": "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03",
}


def on(fun: str, place: str, /, *args: Any, **kwargs: Any) -> Row:
    """A call with a file of the scratch directory as its first argument."""
    return (f"file.{fun}", [SCRATCH + place, *args], kwargs)


LINES: list[dict[str, Any]] = [  # arguments of file.line, each for a copy of HOSTS and one of CONF
    {"content": "new", "mode": "insert", "location": "start"},
    {"content": "new", "mode": "insert", "location": "end"},
    {"content": "new", "mode": "insert", "after": "localhost"},
    {"content": "new", "mode": "insert", "after": "10.0.0.1 "},
    {"content": "new", "mode": "insert", "before": "10.0.0.1 ", "indent": False},
    {"content": "new", "mode": "insert", "before": "10.0.0.9"},
    {"content": "10.0.0.9 end", "mode": "insert", "after": "begin"},
    {"content": "new", "mode": "insert", "after": "localhost", "before": "end"},
    {"content": "new", "mode": "insert", "after": "begin", "before": "end", "show_changes": False},
    {"content": "new", "mode": "insert"},
    {"content": "new", "mode": "insert", "after": "nowhere"},
    {"content": "new", "mode": "insert", "after": "10.0"},
    {"content": "new", "mode": "ensure", "after": "begin"},
    {"content": "new", "mode": "ensure", "before": "end"},
    {"content": "new", "mode": "ensure", "after": "begin", "before": "end"},
    {"content": "new", "mode": "ensure", "after": "localhost", "before": "end"},
    {"content": "10.0.0.9 end", "mode": "ensure", "after": "begin"},
    {"content": "new", "mode": "ensure", "after": "end"},
    {"content": "new", "mode": "ensure", "after": "10.0"},
    {"content": "new", "mode": "ensure"},
    {"content": "new", "mode": "replace", "match": "begin"},
    {"content": "new", "mode": "Replace", "match": "^10", "indent": False},
    {"content": "new", "mode": "replace", "match": "nowhere"},
    {"content": "10.0.0.9 end", "mode": "delete"},
    {"match": "begin", "mode": "delete"},
    {"match": "10", "mode": "delete", "show_changes": False},
    {"match": "host = ", "mode": "delete"},
    {"match": "nowhere", "mode": "delete"},
    {"content": "new"},
    {"content": "new", "mode": "odd"},
    {"mode": "insert", "after": "begin"},
]
REPLACED: list[tuple[list[Any], dict[str, Any]]] = [  # arguments of file.replace, each for a copy of CONF
    (["host = (.+)", r"name = \1"], {}),
    (["host = (.+)", r"name = \1"], {"count": 1, "backup": False}),
    (["HOST", "x"], {"flags": ["IGNORECASE", "MULTILINE"]}),
    (["^port", "x"], {}),
    ([r"^\s*port", "x"], {"show_changes": False}),
    (["host", "host"], {}),
    (["nothing", "added = 1"], {"append_if_not_found": True}),
    (["nothing", "added = 1"], {"prepend_if_not_found": True, "not_found_content": "first"}),
    (["nothing", "host = one"], {"append_if_not_found": True}),
    (["nothing", "x"], {}),
    (["host", 7], {"dry_run": True}),
    (["host", 7], {"backup": ".old"}),
    (["host", "a\\b"], {"backslash_literal": True}),
    (["port", ""], {"preserve_inode": False}),
    (["host", "x"], {"search_only": True, "append_if_not_found": True}),
    (["host", "x"], {"append_if_not_found": True, "prepend_if_not_found": True}),
    (["host", "x"], {"flags": "odd"}),
    (["", "x"], {"count": 2}),
    (["ü", "ue"], {"append_if_not_found": True}),
]
COMMENTED: list[tuple[str, list[Any], dict[str, Any]]] = [
    ("comment", ["host"], {}),
    ("comment", ["^host = one$"], {"backup": ".old"}),
    ("comment", ["nothing"], {}),
    ("comment", ["  port"], {"char": ";", "backup": False}),
    ("uncomment", ["off"], {}),
    ("uncomment", ["^off.*$"], {"backup": ""}),
    ("uncomment", ["twice"], {}),
    ("comment_line", ["host", "//", True], {}),
    ("comment_line", ["a comment", "#", False], {}),
]
MARKS = {"marker_start": "# begin", "marker_end": "# end"}
BLOCK = "a\n# begin old\nx\ny\nz # end of it\nb\n"
BLOCKS: list[tuple[str, dict[str, Any]]] = [  # a text, and arguments of file.blockreplace for a file of it
    (BLOCK, {"content": "new", **MARKS}),
    (BLOCK, {"content": "new", "append_newline": True, **MARKS}),
    (BLOCK, {"content": "new\nlines\n", "append_newline": None, **MARKS}),
    (BLOCK, {"content": "one\r\ntwo", "append_newline": None, "backup": False, "show_changes": False, **MARKS}),
    (BLOCK, {"content": "x\ny\nz ", "dry_run": True, **MARKS}),
    (BLOCK.replace("\n", "\r\n"), {"content": "new\nlines\n", **MARKS}),
    (BLOCK * 2, {"content": "new\n", **MARKS}),
    ("a\n# begin\nb\n", {"content": "new\n", **MARKS}),
    ("a\nb", {"content": "new\n", **MARKS}),
    ("a\nb", {"content": "new\n", "append_if_not_found": True, **MARKS}),
    ("", {"content": "new\n", "append_if_not_found": True}),
    ("a\nb", {"content": "new\n", "prepend_if_not_found": True, **MARKS}),
    ("a\nb\n", {"content": "new\n", "insert_before_match": "^b", **MARKS}),
    ("a\nb\n", {"content": "new\n", "insert_after_match": "^a", **MARKS}),
    ("a\nb\n", {"content": "new\n", "insert_after_match": "c", **MARKS}),
    ("a\nb\n", {"content": "new\n", "insert_after_match": "c", "append_if_not_found": True, **MARKS}),
    ("a\0b\n", {"content": "new\n", **MARKS}),
]
FOUND: list[dict[str, Any]] = [
    {},
    {"name": "*.txt"},
    {"iname": "*.TXT"},
    {"name": "[ab]*"},
    {"regex": ".*[.]txt$"},
    {"iregex": "A"},
    {"type": "f"},
    {"type": "d"},
    {"type": "df"},
    {"type": "p"},
    {"type": "x"},
    {"owner": "root"},
    {"owner": "nosuchuser"},
    {"group": "0,1"},
    {"size": "5"},
    {"size": "+1k"},
    {"size": "-10b"},
    {"size": "2k"},
    {"size": "odd"},
    {"mtime": "+1d"},
    {"mtime": "-1d12h"},
    {"mtime": "30"},
    {"maxdepth": 1},
    {"maxdepth": 0},
    {"mindepth": 2},
    {"mindepth": 1, "maxdepth": 2, "type": "f"},
    {"type": "f", "print": "name,size,type,mode,user,group,md5"},
    {"name": "a.txt", "print": "mode"},
    {"name": "e.old", "print": "path mtime"},
    {"odd": 1},
    {"name": ""},
    {"name": "*.txt", "exec": "cat {}"},
    {"name": "a.txt", "exec": "/no/such {}"},
    {"name": "*.old", "delete": "f", "test": True},
]


def edits() -> list[Row]:
    rows = [on("line", f"line/{kind}{at}", **row) for kind in ("h", "c", "e", "n") for at, row in enumerate(LINES)]
    rows += [on("replace", f"replace/{at}", *args, **row) for at, (args, row) in enumerate(REPLACED)]
    rows += [on("blockreplace", f"block/{at}", **row) for at, (_, row) in enumerate(BLOCKS)]
    return rows + [on(fun, f"comment/{at}", *args, **row) for at, (fun, args, row) in enumerate(COMMENTED)]


def prepare(scratch: Path) -> None:
    for directory in ("block", "line", "replace", "comment", "find/deep/deeper", "tree/below", "empty/one/two", "over"):
        (scratch / directory).mkdir(parents=True)
    for at in range(len(LINES)):
        for kind, text in (("h", HOSTS), ("c", CONF), ("e", ""), ("n", HOSTS.rstrip("\n"))):
            (scratch / f"line/{kind}{at}").write_text(text)
    for directory, number in (("replace", len(REPLACED)), ("comment", len(COMMENTED))):
        for at in range(number):
            (scratch / directory / str(at)).write_text(CONF)
            (scratch / directory / str(at)).chmod(0o640)
    for at, (text, _) in enumerate(BLOCKS):
        (scratch / f"block/{at}").write_bytes(text.encode())
    for name, size in (("a.txt", 5), ("b.TXT", 10), ("deep/c.txt", 2048), ("deep/deeper/d.old", 5000), ("e.old", 0)):
        (scratch / "find" / name).write_bytes(b"x" * size)
    (scratch / "find/to_a").symlink_to("a.txt")
    (scratch / "find/a.b").write_text("needle here\n")
    os.mkfifo(scratch / "find/pipe")
    for path in (scratch / "find").rglob("*.old"):
        os.utime(path, (1e9, 1e9))
    for name, text in (("hello", "hello\n"), ("conf", CONF), ("tree/x", "x\n"), ("tree/below/y", "y\n"), ("tail", "a")):
        (scratch / name).write_text(text)
        (scratch / name).chmod(0o644)
    (scratch / "hello").chmod(0o640)
    (scratch / "over/x").write_text("old\n")
    (scratch / "over/z").write_text("stays\n")
    (scratch / "latin").write_bytes(b"caf\xe9\n")
    (scratch / "binary").write_bytes(bytes(range(256)))
    (scratch / "pictures").write_bytes(bytes(256))
    (scratch / "link").symlink_to("hello")
    (scratch / "replace/link").symlink_to("18")
    (scratch / "nowhere").symlink_to("missing")
    os.mkfifo(scratch / "pipe")
    os.link(scratch / "conf", scratch / "conf2")


READING: list[Row] = [
    *(on("lsattr", name) for name in ("hello", "tree", "missing")),
    *(on("get_selinux_context", name) for name in ("hello", "missing")),
    *(
        on("get_diff", one, f"{SCRATCH}{other}", **more)
        for one, other, more in (
            ("hello", "conf", {}),
            ("hello", "link", {}),
            ("hello", "latin", {"show_filenames": False}),
            ("hello", "conf", {"show_changes": False}),
            ("hello", "binary", {}),
            ("binary", "hello", {}),
            ("binary", "pictures", {}),
            ("hello", "missing", {}),
        )
    ),
    on("chattr", "hello", operator="plus", attributes="A"),
    on("chattr", "hello", operator="add"),
    on("chattr", "hello", operator="add", attributes="A"),
    on("chattr", "hello", operator="remove", attributes="A", flags="R"),
    on("chattr", "missing", operator="add", attributes="A"),
    *(
        on(fun, name)
        for fun in ("file_exists", "directory_exists")
        for name in ("hello", "tree", "link", "no", "nowhere")
    ),
    on("path_exists_glob", "h*"),
    on("path_exists_glob", "nothing*"),
    *(on("access", "hello", mode) for mode in ("f", "r", "w", "x", 4, "odd")),
    ("file.access", ["hello", "f"], {}),
    *(on("stats", name) for name in ("hello", "tree", "link", "nowhere", "pipe", "missing")),
    on("stats", "link", follow_symlinks=False),
    on("stats", "hello", hash_type="md5"),
    *(on("lstat", name) for name in ("hello", "link", "missing")),
    ("file.lstat", ["hello"], {}),
    on("statvfs", "hello"),
    on("statvfs", "missing"),
    on("diskusage", "tree"),
    on("diskusage", "hello"),
    *(on("is_link", name) for name in ("hello", "link", "nowhere", "missing")),
    on("is_link", "link", nostat=True),
    *(on("is_hardlink", name) for name in ("hello", "conf", "missing")),
    *(
        ("file." + fun, [path], {})
        for fun in ("is_chrdev", "is_blkdev", "is_fifo")
        for path in ("/dev/null", SCRATCH + "pipe", "/no")
    ),
    *((f"file.{fun}", [word], {}) for fun in ("gid_to_group", "group_to_gid") for word in (0, "root", 64999, "nosuch")),
    *((f"file.{fun}", [word], {}) for fun in ("uid_to_user",) for word in (0, 64999)),
    *(("file.user_to_uid", [word], {}) for word in (0, "root", "nosuch", None)),
    ("file.group_to_gid", [None], {}),
    *(
        on(f"get_{what}", name)
        for what in ("uid", "user", "gid", "group", "mode")
        for name in ("hello", "link", "missing")
    ),
    *(on("get_mode", "link", follow_symlinks=follow) for follow in (True, False)),
    *(on(fun, "hello", kind) for fun in ("get_hash", "get_sum") for kind in ("md5", "sha1", "sha256", "sha512", "odd")),
    on("get_sum", "missing"),
    on("get_hash", "missing"),
    *(on("check_hash", "hello", digest) for digest in DIGESTS.values()),
    *(on("check_hash", "hello", f"{kind}={digest}") for kind, digest in DIGESTS.items()),
    on("check_hash", "hello", "md5:0"),
    on("check_hash", "hello", "abc"),
    on("check_hash", "hello", 5),
    on("read", "hello"),
    on("read", "binary", binary=True),
    on("read", "missing"),
    on("read", "tree"),
    on("seek_read", "hello", 3, 1),
    on("seek_read", "hello", 10, 100),
    on("readdir", "tree"),
    on("readdir", "hello"),
    ("file.readdir", ["tree"], {}),
    on("readlink", "link"),
    on("readlink", "link", canonicalize=True),
    on("readlink", "nowhere"),
    on("readlink", "hello"),
    ("file.readlink", ["link"], {}),
    *(
        on(fun, "conf", word)
        for fun in ("contains", "contains_regex", "contains_glob")
        for word in ("host", "*host*", " one ", "^host")
    ),
    on("contains", "missing", "x"),
    on("contains_regex", "missing", "x"),
    on("contains_regex", "conf", "^off", lchar="#"),
    *(
        on("grep", "conf", *words)
        for words in (["host"], ["host", "-c"], ["HOST", "-i", "-n"], ["nothing"], ["host", "-c -i"])
    ),
    on("grep", "missing", "x"),
    on("grep", "*o*", "host", "-l"),
    *(on("search", "conf", word) for word in ("host", "^port", "^host", "nothing", "one$")),
    on("search", "conf", "HOST", flags="IGNORECASE"),
    on("search", "conf", "^host", flags=0),
    on("search", "conf", "^host", flags=0, multiline=True),
    on("search", "missing", "x"),
    on("search", "missing", "x", ignore_if_missing=True),
    on("search", "binary", "x"),
    *(on("find", "find", **options) for options in FOUND),
    on("find", "find", "print", name="a*"),
    on("find", "fi*", name="a.txt"),
    on("find", "nothing"),
    on("find", "find", grep="needle"),
    on("find", "find", name="?.txt"),
    on("find", "find", type="l"),
    ("file.basename", ["test/test.config"], {}),
    ("file.dirname", ["test/path/filename.config"], {}),
    ("file.join", ["/", "usr", "local", "bin"], {}),
    ("file.normpath", ["a//b/c/.."], {}),
    ("file.pardir", [], {}),
]
CHANGING: list[Row] = [
    on("write", "written", "one", "two"),
    on("write", "written2", args="a=b"),
    on("write", "written3", args=["a=b", "c=d"]),
    on("write", "written4", "ü", 5, None),
    on("write", "hello", "new"),
    on("write", "link", "through the link"),
    on("write", "conf", "two names"),
    on("write", "no/such/directory", "x"),
    on("write", "tree", "x"),
    on("append", "tail", "b", "c"),
    on("append", "written", args=["d=e"]),
    on("append", "missing", "x"),
    on("prepend", "tail", "first"),
    on("prepend", "prepended", "first", "second"),
    on("seek_write", "written", b"ONE", 0),
    on("truncate", "written2", 2),
    on("truncate", "missing", 2),
    on("touch", "touched"),
    on("touch", "touched2", atime=5, mtime="7"),
    on("touch", "tail", mtime="odd"),
    on("touch", "no/such/directory"),
    on("set_mode", "written", "0600"),
    on("set_mode", "written2", 755),
    on("set_mode", "written3", "0o4711"),
    on("set_mode", "written4", "odd"),
    on("set_mode", "missing", 644),
    on("chown", "written", "daemon", "bin"),
    on("chown", "written2", 1, 2),
    on("chown", "written3", "nosuch", "nosuch"),
    on("chown", "written4", "", "daemon"),
    on("chown", "missing", "root", "root"),
    on("chown", "nowhere", "daemon", "daemon"),
    on("lchown", "link", "daemon", "daemon"),
    on("chgrp", "written4", "bin"),
    on("mkdir", "made/one/two"),
    on("mkdir", "made/one/two"),
    on("mkdir", "made2/one", user="daemon", group="bin", mode="0750"),
    on("makedirs", "made3/one/two"),
    on("makedirs", "made4/one/two/", mode=700),
    on("makedirs", "made4/one/two/"),
    on("makedirs", "hello/"),
    ("file.makedirs", ["made/no/where/"], {}),
    on("makedirs_perms", "made5/one", mode="0711"),
    ("file.symlink", [SCRATCH + "hello", SCRATCH + "sym"], {}),
    ("file.symlink", [SCRATCH + "hello", SCRATCH + "sym"], {}),
    ("file.symlink", [SCRATCH + "conf", SCRATCH + "sym"], {}),
    ("file.symlink", [SCRATCH + "conf", SCRATCH + "sym"], {"force": True}),
    ("file.symlink", [SCRATCH + "hello", SCRATCH + "sym"], {"atomic": True}),
    ("file.symlink", [SCRATCH + "hello", SCRATCH + "touched"], {}),
    ("file.symlink", [SCRATCH + "hello", SCRATCH + "touched"], {"force": True}),
    ("file.symlink", ["hello", "relative"], {}),
    ("file.link", [SCRATCH + "hello", SCRATCH + "hello2"], {}),
    ("file.link", ["hello", SCRATCH + "hello3"], {}),
    ("file.rename", [SCRATCH + "written", SCRATCH + "renamed"], {}),
    ("file.rename", [SCRATCH + "missing", SCRATCH + "renamed"], {}),
    ("file.rename", ["missing", SCRATCH + "renamed"], {}),
    ("file.move", [SCRATCH + "renamed", SCRATCH + "moved"], {}),
    ("file.move", [SCRATCH + "moved", SCRATCH + "made"], {}),
    ("file.move", ["missing", SCRATCH + "moved"], {}),
    ("file.move", [SCRATCH + "hello", "moved"], {}),
    ("file.move", [SCRATCH + "written4", SCRATCH + "moved4"], {"disallow_copy_and_unlink": True}),
    ("file.copy", [SCRATCH + "hello", SCRATCH + "copied"], {}),
    ("file.copy", [SCRATCH + "conf", SCRATCH + "copied"], {}),
    ("file.copy", [SCRATCH + "missing", SCRATCH + "copied"], {}),
    ("file.copy", ["missing", SCRATCH + "copied"], {}),
    ("file.copy", [SCRATCH + "tree", SCRATCH + "tree2"], {}),
    ("file.copy", [SCRATCH + "tree", SCRATCH + "tree2"], {"recurse": True}),
    ("file.copy", [SCRATCH + "tree", SCRATCH + "over"], {"recurse": True}),
    ("file.copy", [SCRATCH + "tree", SCRATCH + "empty"], {"recurse": True, "remove_existing": True}),
    on("rmdir", "made2/one"),
    on("rmdir", "tree"),
    on("rmdir", "hello"),
    on("rmdir", "made3", recurse=True, verbose=True),
    on("rmdir", "made4", older_than=1),
    on("remove", "made"),
    on("remove", "copied"),
    on("remove", "missing"),
    on("remove", "nowhere"),
    on("remove", "pipe"),
    ("file.remove", ["relative"], {}),
    on("find", "find", "delete", name="*.old"),
]
ODD: list[Row] = [
    on("replace", "replace/link", "host", "x"),
    on("line", "line/h0", mode="replace", match="(", content="x"),
    on("blockreplace", "missing", content="x"),
]
CASES: list[Row] = [*READING, *edits(), *ODD, *CHANGING]
AFTER = True


def _without(*names: str) -> Callable[[Any], Any]:
    return lambda found: {key: value for key, value in found.items() if key not in names} if found else found


def _grep(found: Any) -> Any:
    """Salt takes the files of a glob in whatever order."""
    return {
        key: sorted(value.split("\n")) if isinstance(value, str) else value
        for key, value in found.items()
        if key != "pid"
    }


NORMAL: dict[str, Callable[[Any], Any]] = {
    "file.stats": _without("inode", "atime", "mtime", "ctime"),
    "file.lstat": _without("st_atime", "st_mtime", "st_ctime"),
    "file.statvfs": _without("f_bavail", "f_bfree", "f_favail", "f_ffree"),
    "file.grep": _grep,
    "file.readdir": sorted,
}
WRONG = ("type=x", "owner=nosuchuser", "size=odd", "mtime=30", "odd=1", "name=")
SENTENCE = "an error is a sentence with the file's name, and no traceback"
ONLY_SALT = {
    **dict.fromkeys(
        (
            "file.apply_template_on_contents",
            "file.check_file_meta",
            "file.check_managed",
            "file.check_managed_changes",
            "file.check_perms",
            "file.extract_hash",
            "file.get_managed",
            "file.get_source_sum",
            "file.manage_file",
            "file.source_list",
        ),
        "the inside of the state file.managed, which needs Salt",
    ),
    **dict.fromkeys(
        (
            "file.delete_backup",
            "file.list_backup",
            "file.list_backups",
            "file.list_backups_dir",
            "file.remove_backup",
            "file.restore_backup",
        ),
        "backups are made by the state file.managed, which needs Salt",
    ),
    **dict.fromkeys(
        ("file.mknod", "file.mknod_blkdev", "file.mknod_chrdev", "file.mknod_fifo", "file.get_devmm"),
        "udev makes devices",
    ),
    **dict.fromkeys(
        ("file.sed", "file.sed_contains", "file.psed"), "Salt's documentation says itself: file.replace, file.search"
    ),
    "file.patch": "the output of patch, which cmd.run shows, too",
    "file.open_files": "ps.lsof says it of a process",
    **dict.fromkeys(
        ("file.restorecon", "file.set_selinux_context"), "SELinux could not be tried where this was written"
    ),
}
DIFFERS = {
    **{
        f"file.find {{scratch}}/find {option}": "what is wrong with an option is a failure (retcode 1), too"
        for option in WRONG
    },
    "file.find {scratch}/find type=l": "all links are found, not those alone that lead nowhere",
    "file.line {scratch}/line/h0 mode=replace match=( content=x": "the sentence says that this is a regular expression",
    'file.blockreplace {scratch}/block/16 "content=new\\n" "marker_start=# begin" "marker_end=# end"': (
        "a file with NUL bytes is refused as what it is"
    ),
    **{
        f"file.get_selinux_context {{scratch}}/{name}": "Salt has the retcode of stat for the job's"
        for name in ("hello", "missing")
    },
    "file.makedirs made/no/where/": "the sentence names the path",
    **dict.fromkeys(
        (
            "file.get_hash {scratch}/missing",
            "file.get_diff {scratch}/hello {scratch}/missing",
            "file.read {scratch}/missing",
            "file.read {scratch}/tree",
            "file.write {scratch}/no/such/directory x",
            "file.write {scratch}/tree x",
            "file.append {scratch}/missing x",
            "file.truncate {scratch}/missing 2",
        ),
        SENTENCE,
    ),
}
