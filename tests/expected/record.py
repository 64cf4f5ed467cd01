"""Records what real Salt makes of pillar trees, of its Jinja filters, of configuration files and of schedules, for the
tests to hold ours against:

    python tests/expected/record.py [--check] PYTHON_OF_AN_ENVIRONMENT_WITH_SALT

writes filters.json (expression -> what is printed, null for an error), trees.json (constructs.json and random cases,
with their results), configured.json (what the files of configurations.py say), salts_options.json (which options Salt
has), schedule.json (entries, and when they ran) and library.json (the calls of library.py, and what they gave); with
--check it only says whether Salt answers as it did."""

import datetime
import json
import os
import random
import subprocess
import sys
from pathlib import Path

import library
from configurations import CASES

HERE = Path(__file__).parent
EXPRESSIONS, TREES, ENTRIES = 3000, 150, 120
START, SECONDS = "2026-11-25T12:00:00", 2600  # of the schedules

TEXTS = [
    "'abc'",
    "'ABC def'",
    "''",
    "'a_b_c'",
    "'CamelCaseText'",
    "'10'",
    "'-3.5'",
    "'yes'",
    "'0x1f'",
    "'ff'",
    "'12 kB'",
    "'1.5GiB'",
    "'3mb'",
    "'äöü €'",
    "'it''s'|string",
    "'a: b \"c\"'",
    "'line1\\nline2'",
    "'<a&b>'",
    "'  pad '",
    "'192.168.0.1'",
    "'10.0.0.0/30'",
    "'fe80::1'",
    "'2001:db8::/126'",
    "'::1'",
    "'127.0.0.1'",
    "'nope'",
    "'2001:db8::1/64'",
    "'224.0.0.1'",
    "'YWJj'",
    "'00:11:22:aa:bb:cc'",
    "'lets replace spaces'",
    "'key=value; k2=v2'",
]
LISTS = [
    "[]",
    "[1, 2, 2, 3]",
    "['a', 'b', 'a']",
    "[1, [2, [3, none]], 'null']",
    "['B', 'a', 'C']",
    "[0, 1, 0]",
    "[true, false]",
    "[{'key': 'a', 'value': 1}, {'name': 'b', 'value': 2}]",
    "['10.0.0.1', 'fe80::1', 'x', '192.168.1.0/24']",
    "[none, 'None', 4]",
    "[3, 1, 2]",
    "('x', 'y')",
    "[{'a': 1}, {'b': {'c': 2}}]",
]
MAPS = [
    "{}",
    "{'a': 1}",
    "{'a': {'b': [1, 2, {'c': 3}]}, 'z': 'x'}",
    "{'b': 'line\\nx', 'a': 'q\\'s'}",
    "{'x': none, 'y': true, 'n': 1.5}",
    "{1: 'one', 'two': 2}",
    "{'eth0': ['10.0.0.5', '192.168.3.3'], 'lo': ['127.0.0.1']}",
    "{'root': {'at': 'v', 'kid': {'x': 1}, 'l': [{'i': 1}, {'i': 2}]}}",
]
OTHERS = ["0", "1", "-5", "1.5", "1040814000", "true", "none", "255"]
EVERY = TEXTS + LISTS + MAPS + OTHERS
FILTERS = {
    "regex_search": ["'^(.*)b(.*)$'", "'B', ignorecase=true", "'(\\\\d+)'", "'[a-z]+'"],
    "regex_match": ["'^(.*)b(.*)$'", "'a'", "'(A)', ignorecase=true"],
    "regex_replace": ["'\\\\s+', '__'", "'a', 'X', ignorecase=true", "'(b)', '<\\\\1>'"],
    "regex_escape": [""],
    "check_whitelist_blacklist": ["['a*']", "whitelist=['abc'], blacklist=['x']", "blacklist='a.*'"],
    "to_snake_case": [""],
    "to_camelcase": ["", "uppercamel=true"],
    "to_num": [""],
    "str_to_num": [""],
    "to_bool": [""],
    "human_to_bytes": ["", "'MB'", "handle_metric=true"],
    "is_hex": [""],
    "contains_whitespace": [""],
    "strftime": ["'%Y-%m-%d'", "'%H:%M %d.%m.%Y'"],
    "date_format": ["'%Y'"],
    "quote": [""],
    "uuid": [""],
    "md5": [""],
    "sha1": [""],
    "sha256": [""],
    "sha512": [""],
    "base64_encode": [""],
    "base64_decode": [""],
    "hmac_compute": ["'key'"],
    "hmac": ["'key', 'abc'"],
    "mac_str_to_bytes": [""],
    "unique": [""],
    "union": ["[2, 9]", "['a']"],
    "intersect": ["[2, 9]", "['a', 'q']"],
    "difference": ["[2, 9]", "['a']"],
    "symmetric_difference": ["[2, 9]", "['a', 'n']"],
    "min": [""],
    "max": [""],
    "avg": [""],
    "sequence": [""],
    "skip": [""],
    "is_list": [""],
    "is_iter": [""],
    "flatten": ["", "levels=1", "preserve_nulls=true"],
    "compare_dicts": ["{'a': 2, 'q': 1}"],
    "compare_lists": ["[1, 'a', 7]"],
    "exactly_n_true": ["2", "0"],
    "exactly_one_true": [""],
    "substring_in_list": ["['xabcx', 'q']"],
    "sorted_ignorecase": [""],
    "to_entries": [""],
    "from_entries": [""],
    "traverse": ["'a:b:0'", "'a:b:2:c'", "'a/b', 'dflt', '/'", "'zz', 'dflt'", "0", "'1'"],
    "method_call": ["'upper'", "'get', 'a'", "'nope'", "'startswith', 'a'"],
    "set_dict_key_value": ["'a:q', 5", "'n/m', 1, '/'"],
    "update_dict_key_value": ["'a', {'k': 1}", "'new:one', {'k': 1}"],
    "append_dict_key_value": ["'l', 1", "'a:b', 9"],
    "extend_dict_key_value": ["'l', [1, 2]"],
    "json_encode_dict": [""],
    "json_encode_list": [""],
    "combinations|list": ["2"],
    "permutations|list": ["2"],
    "product|list": ["[1, 2]"],
    "zip|list": ["[1, 2, 3]"],
    "zip_longest|list": ["[1]"],
    "compress|list": ["[1, 0, 1]"],
    "combinations_with_replacement|list": ["2"],
    "ipaddr": ["", "'private'", "'loopback, private'"],
    "ipv4": ["", "'global'"],
    "ipv6": ["", "'ll'"],
    "is_ip": ["", "'private'"],
    "is_ipv4": [""],
    "is_ipv6": [""],
    "ip_host": ["", "version=4"],
    "network_hosts": [""],
    "network_size": ["", "version=6"],
    "filter_by_networks": ["['10.0.0.0/8', 'fe80::/10']", "none"],
    "ipwrap": [""],
    "yaml": ["", "false"],
    "json": ["", "indent=2", "sort_keys=false"],
    "tojson": ["", "indent=2"],
    "xml": [""],
    "python": [""],
    "load_yaml": [""],
    "load_json": [""],
    "yaml_encode": [""],
    "yaml_dquote": [""],
    "yaml_squote": [""],
    "dict_to_sls_yaml_params": [""],
    "to_bytes": [""],
    "string": [""],
}

TESTS = ["is list", "is match('a')", "is match('A', ignorecase=true)", "is equalto(1)"]
ODD = [
    "salt is defined",
    "[1, 2]|json ~ '<'",
    "({'a': 'x\"y'}|json).replace('\"', \"'\")",
    "{'a': ['x\\ny', {'b': 'p\\tq'}]}",
    "({'a': 1}|yaml) + '<'",
]
BY_CHANCE = ("unique", "union", "intersect", "difference", "symmetric_difference", "compare_dicts")  # print sets


def expressions():
    found = []
    for name, arguments in FILTERS.items():
        name, _, rest = name.partition("|")
        values = [each for each in EVERY if name not in BY_CHANCE or each[0] == "["]
        for argument in arguments:
            call = name + (f"({argument})" if argument else "") + (f"|{rest}" if rest else "")
            found += [f"{value}|{call}" for value in values]
    found += [f"({value}) {test}" for test in TESTS for value in EVERY]
    found = [each for each in found if not ("network_hosts" in each and "/64" in each) and "none|strftime" not in each]
    found = [each for each in found if "none|date" not in each and "compare_dicts" not in each]
    return sorted(random.Random(1).sample(found, EXPRESSIONS)) + EVERY + ODD


def tree(r):
    names = ["a", "b", "c", "p", "p.q", "p.r"]

    def val(depth=0):
        k = r.random()
        if k < 0.3 and depth < 3:
            return {r.choice("xyzuv"): val(depth + 1) for _ in range(r.randint(1, 3))}
        if k < 0.5:
            return [r.randint(0, 4) for _ in range(r.randint(0, 3))]
        return r.choice([1, 2, "s", "t", True, None])

    files = {}
    envs = ["base"] if r.random() < 0.6 else ["base", "dev"]
    for env in envs:
        pre = "" if len(envs) == 1 else env + "/"
        for n in names:
            if r.random() < 0.15:
                continue
            d = {r.choice("klmnxy"): val() for _ in range(r.randint(0, 4))}
            if r.random() < 0.55:
                inc = []
                for _ in range(r.randint(1, 3)):
                    w = r.choice(names + [".q", ".r", "p.*", "zz"])
                    if r.random() < 0.4:
                        o = {}
                        if r.random() < 0.8:
                            o["key"] = r.choice(["k", "k:x", "n:y", "l"])
                        if r.random() < 0.5:
                            o["defaults"] = {"d": r.randint(1, 3)}
                        inc.append({w: o})
                    else:
                        inc.append(w)
                d["include"] = inc
            t = json.dumps(d) + "\n"
            if r.random() < 0.1:
                t = "[1, 2]\n"
            if r.random() < 0.1:
                t = "# nothing\n"
            f = n.replace(".", "/") + (".sls" if r.random() < 0.7 and n != "p" else "/init.sls")
            files[pre + f] = t
        top = {}
        for e in envs:
            if e == env or r.random() < 0.4:
                top[e] = {
                    g: [r.choice(names + ["p.*"]) for _ in range(r.randint(1, 4))]
                    for g in r.sample(["*", "web*", "web1"], r.randint(1, 3))
                }
                if r.random() < 0.2:
                    top[e]["*"] = [{"order": r.randint(0, 3)}, "a"]
        if r.random() < 0.15:
            top["include"] = ["inctop"]
            files[pre + "inctop.sls"] = json.dumps({"base": {"*": [r.choice(names)]}})
        files[pre + "top.sls"] = json.dumps(top)
    opts = {
        "pillar_source_merging_strategy": r.choice(["smart", "smart", "recurse", "aggregate", "overwrite", "none"]),
        "pillar_merge_lists": r.random() < 0.3,
        "pillar_includes_override_sls": r.random() < 0.3,
    }
    if len(envs) == 2:
        opts["pillar_roots"] = {e: ["srv/pillar/" + e] for e in envs}
    if r.random() < 0.2:
        opts["env_order"] = r.sample(["base", "dev"], r.randint(1, 2))
    if r.random() < 0.1:
        opts["pillarenv_from_saltenv"] = True
    load = {}
    if r.random() < 0.2:
        load["saltenv"] = r.choice(["base", "dev"])
    if r.random() < 0.1:
        load["pillarenv"] = r.choice(["base", "dev"])
    if r.random() < 0.2:
        load["pillar_override"] = {"k": val(), "o": 1}
    return {"files": files, "opts": opts, "load": load}


def entry(r):
    """An entry of a schedule. Left out is where Salt is plainly wrong, or ours another on purpose (README): several
    `when`, several gates, ranges that end before they start, splay with what may hold it up."""

    def moment(low=-600):
        second = r.randrange(low, SECONDS - 100)
        second -= second % 300 if r.random() < 0.5 else 0
        return datetime.datetime.fromisoformat(START) + datetime.timedelta(seconds=second)

    made = {"function": "test.ping"}
    made |= r.choice(
        [
            {"seconds": r.choice([7, 30, 61, 300, 600, 1000])},
            {"minutes": r.choice([1, 5, 10, 30])},
            {"cron": r.choice(["*/5 * * * *", "*/20 * * * *", "7 * * * *", "* * * * *"])},
            {"when": str(moment())},
            {"once": moment().isoformat()},
        ]
    )
    gate = r.choice(["range", "invert", "skip_during_range", "until", "after", "", ""])
    if r.random() < 0.3:
        made["run_on_start"] = r.random() < 0.5
    if gate in ("until", "after"):
        made[gate] = str(moment())
    elif gate:
        start = moment()
        end = start + datetime.timedelta(seconds=r.choice([60, 600, 1800, 3600]))
        made["range" if gate == "invert" else gate] = {"start": str(start), "end": str(end)}
        if gate == "invert":
            made["range"]["invert"] = True
    if r.random() < 0.3:
        made["run_after_skip_range"] = True
    if (gate in ("", "until") and "when" not in made or "once" in made) and r.random() < 0.5:
        made["splay"] = dict.fromkeys(("start", "end"), r.choice([3, 60, 400]))
    return made


CONSTRUCTS = json.loads((HERE / "constructs.json").read_text())


def by_salt(python, what, cases):
    command = [python, HERE / "by_salt.py", what]
    done = subprocess.run(
        command, input=json.dumps(cases), capture_output=True, text=True, check=True, env={**os.environ, "TZ": "UTC"}
    )
    return json.loads(done.stdout)


def main(python, check):
    asked = expressions()
    printed = [None if isinstance(each, dict) else each for each in by_salt(python, "filters", asked)]
    cases = [{"name": name, **case} for name, case in CONSTRUCTS.items()]
    cases += [{"name": f"tree {n}", **tree(random.Random(n))} for n in range(TREES)]
    results = by_salt(python, "pillar", cases)
    # with some options, a list among the includes makes Salt forget what was included before
    results = [each if "render to a dict" not in str(each) else {"failed": ""} for each in results]
    kept = [case | {"result": result} for case, result in zip(cases, results, strict=True) if "failed" not in result]
    configured = dict(zip(CASES, by_salt(python, "configurations", list(CASES.values())), strict=True))
    roles = ["master", "minion", "valid"]
    names = dict(zip(roles, by_salt(python, "options", roles), strict=True))
    entries = {f"job{n}": entry(random.Random(n)) for n in range(ENTRIES)}
    ran = by_salt(python, "schedule", {"start": START, "seconds": SECONDS, "entries": entries})
    schedule = [{"entry": entries[name], "ran": ran[name]} for name in entries]
    asked_of_library = library.calls()
    gave = list(zip(asked_of_library, by_salt(python, "library", asked_of_library), strict=True))
    gave = [row for row in gave if row[1] != "RecursionError"]  # what is there twice is no circle
    texts = {
        "library.json": "[\n" + ",\n".join(map(json.dumps, gave)) + "\n]\n",
        "configured.json": json.dumps(configured, indent=0) + "\n",
        "salts_options.json": json.dumps(names, indent=0, sort_keys=True) + "\n",
        "schedule.json": "[\n" + ",\n".join(map(json.dumps, schedule)) + "\n]\n",
        "filters.json": json.dumps(dict(zip(asked, printed, strict=True)), indent=0) + "\n",
        "trees.json": "[\n" + ",\n".join(map(json.dumps, kept)) + "\n]\n",
    }
    print(
        f"{len(asked)} expressions, {len(kept)} trees, {len(configured)} configurations, {len(schedule)} entries, "
        f"{len(gave)} calls"
    )
    if check:
        other = [name for name, text in texts.items() if (HERE / name).read_text() != text]
        sys.exit(f"Salt answers otherwise than it did: {', '.join(other)}" if other else 0)
    for name, text in texts.items():
        (HERE / name).write_text(text)


if __name__ == "__main__":
    main(sys.argv[-1], "--check" in sys.argv)
