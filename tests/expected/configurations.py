"""Configuration files, for real Salt and for ours: name -> (role, {file below etc/salt: text}, options asked for)."""

M, N = "master", "minion"
ROOTS = "file_roots: {base: [/srv/salt]}\n"


def formula(name, env="base"):
    return f"file_roots:\n  {env}:\n    - /srv/formulas/{name}\n"


CASES = {
    "formulas": (M, {"master": ROOTS, "master.d/a.conf": formula("a"), "master.d/b.conf": formula("b")}, "file_roots"),
    "formulas of environments": (
        M,
        {"master.d/a.conf": formula("a"), "master.d/b.conf": formula("b", "dev"), "master.d/c.conf": formula("c")},
        "file_roots",
    ),
    "the same twice": (M, {"master.d/a.conf": formula("a"), "master.d/b.conf": formula("a")}, "file_roots"),
    "pillar roots": (
        M,
        {"master.d/1.conf": "pillar_roots: {base: [/p/1]}", "master.d/2.conf": "pillar_roots: {base: [/p/2], x: [/q]}"},
        "pillar_roots",
    ),
    "nodegroups": (
        M,
        {
            "master": "nodegroups: {zero: 'x*'}",
            "master.d/1.conf": "nodegroups: {one: 'a*', both: [m1]}",
            "master.d/2.conf": "nodegroups: {two: 'b*', both: [m2]}",
        },
        "nodegroups",
    ),
    "nodegroups as a list": (M, {"master": "nodegroups: [{one: 'a*'}, {two: ['b', 'c']}]"}, "nodegroups"),
    "a later value": (M, {"master": "timeout: 1", "m.txt": "timeout: 9", "master.d/1.conf": "timeout: 2"}, "timeout"),
    "names in order": (M, {"master.d/10.conf": "timeout: 1", "master.d/9.conf": "timeout: 2"}, "timeout"),
    "only .conf": (M, {"master.d/1.txt": "timeout: 8", "master.d/.2.conf": "timeout: 9"}, "timeout"),
    "include": (M, {"master": "timeout: 1\ninclude: more.yml", "more.yml": "timeout: 3"}, "timeout"),
    "include is last": (
        M,
        {"master": "include: [x.yml]", "x.yml": "timeout: 3", "master.d/1.conf": "timeout: 2"},
        "timeout",
    ),
    "include replaces": (
        M,
        {"master": "include: x.yml", "x.yml": formula("x"), "master.d/1.conf": formula("d")},
        "file_roots",
    ),
    "globs and lists": (
        M,
        {
            "master": "include: ['x/*.yml', y.yml]",
            "x/1.yml": formula("1"),
            "x/2.yml": formula("2"),
            "y.yml": formula("y"),
        },
        "file_roots",
    ),
    "absolute": (M, {"master": "include: '@ROOT@/other/*'", "../../other/a": "timeout: 4"}, "timeout"),
    "nested": (
        M,
        {
            "master": "include: a/a.yml",
            "a/a.yml": "timeout: 1\nfile_roots: {base: [/a]}\ninclude: b/*.yml",
            "a/b/b.yml": "timeout: 2\nfile_roots: {base: [/b]}\nnodegroups: {b: m}",
        },
        "timeout file_roots nodegroups",
    ),
    "nested in the default": (
        M,
        {
            "master.d/1.conf": "include: ../x.yml\n" + formula("1"),
            "x.yml": formula("x"),
            "master.d/2.conf": formula("2"),
        },
        "file_roots",
    ),
    "default_include": (
        M,
        {"master": "default_include: 'm/*.conf'", "m/a.conf": "timeout: 7", "master.d/a.conf": "timeout: 8"},
        "timeout",
    ),
    "no default_include": (M, {"master": "default_include:", "master.d/a.conf": "timeout: 8"}, "timeout"),
    "include of nothing": (M, {"master": "timeout: 2\ninclude: [nothing/*.yml]"}, "timeout"),
    "a list and a text": (
        M,
        {"master.d/1.conf": "file_ignore_glob: [a]", "master.d/2.conf": "file_ignore_glob: b"},
        "file_ignore_glob",
    ),
    "roots with a glob": (
        M,
        {
            "master": "file_roots: {base: ['@ROOT@/f/*/salt', /srv/x]}",
            "../../f/one/salt/top.sls": "",
            "../../f/two/x": "",
        },
        "file_roots",
    ),
    "grains": (
        N,
        {
            "minion": "grains: {rack: 1, roles: [z]}",
            "minion.d/1.conf": "grains: {roles: [web], deep: {a: 1, l: [1]}}",
            "minion.d/2.conf": "grains: {roles: [db, web], deep: {b: 2, l: [2, 1]}}",
        },
        "grains",
    ),
    "mine_functions": (
        N,
        {
            "minion.d/1.conf": "mine_functions: {test.ping: [], network.ip_addrs: [eth0]}",
            "minion.d/2.conf": "mine_functions: {test.ping: [], network.ip_addrs: [eth1]}",
        },
        "mine_functions",
    ),
    "masters": (N, {"minion.d/1.conf": "master: [a, b]", "minion.d/2.conf": "master: [c]"}, "master"),
    "schedule": (
        N,
        {
            "minion.d/1.conf": "schedule: {one: {function: test.ping, seconds: 5}, two: {function: a.b, args: [1]}}",
            "minion.d/2.conf": "schedule: {two: {function: a.c, args: [2]}}",
        },
        "schedule",
    ),
    "schedule of minion.d in place of the first": (
        N,
        {
            "minion": "schedule: {m: {function: a.m}, two: {function: a.main}}",
            "minion.d/1.conf": "schedule: {one: {function: a.one}, two: {function: a.d1, args: [1]}}",
            "minion.d/2.conf": "schedule: {two: {function: a.d2, args: [2]}}",
        },
        "schedule",
    ),
    "schedule of include in place of minion.d": (
        N,
        {
            "minion": "schedule: {m: {function: a.m}}\ninclude: [x.yml, y.yml]",
            "x.yml": "schedule: {x: {function: a.x}}",
            "y.yml": "schedule: {y: {function: a.y}}",
            "minion.d/1.conf": "schedule: {one: {function: a.one}}",
        },
        "schedule",
    ),
    "schedule nested": (
        N,
        {
            "minion.d/1.conf": "schedule: {one: {function: a.one}}\ninclude: ../x.yml",
            "x.yml": "schedule: {x: {function: a.x}, one: {function: a.y}}",
            "minion.d/2.conf": "schedule: {two: {function: a.two}}",
        },
        "schedule",
    ),
    "an id with a domain": (N, {"minion": "id: web1\nappend_domain: example.org"}, "id"),
    "an id in the domain": (N, {"minion": "id: web1.example.org\nappend_domain: example.org"}, "id"),
    "a cached id with a domain": (N, {"minion": "append_domain: example.org", "minion_id": "web1\n"}, "id"),
    "an id as it is": (
        N,
        {"minion": "id: WEB1.example.org\nminion_id_lowercase: True\nminion_id_remove_domain: True"},
        "id",
    ),
    "a cached id as it is": (N, {"minion": "minion_id_lowercase: True", "minion_id": "WEB1"}, "id"),
    "id_function beside an id": (N, {"minion": "id: web1\nid_function: test.echo"}, "id"),
    "a number as id": (N, {"minion": "id: 0777"}, "id"),
    "yaml of Salt's": (N, {"minion": "id: m\ngrains: {rack: 010, day: 2020-01-02, hex: 0x10, on: on}"}, "grains"),
    "only True": (M, {"master": "auto_accept: 1\nopen_mode: 'true'"}, "auto_accept open_mode"),
    "True": (M, {"master": "auto_accept: True\nopen_mode: yes"}, "auto_accept open_mode"),
    "hash_type": (M, {"master": "hash_type: SHA512"}, "hash_type"),
    "one text": (M, {"master": "file_ignore_regex: '/\\.git($|/)'"}, "file_ignore_regex"),
}
