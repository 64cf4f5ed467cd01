"""Random targets and random minions, judged by real Salt's own matchers and by saltlite: no difference is allowed.

    python tests/matchers.py --salt 3006=VENV [--salt …] [--number 3000] [--seed TEXT]

The same cases go to every release. Exit status: 0, 1 there was a difference; each is printed.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import json
import random
import subprocess
import sys
from typing import Any

import saltlite

# Run by the Python of a real Salt: cases in, verdicts out, a line each. An exception fails the target, as in a minion.
JUDGE = """
import json, logging, sys
logging.disable(logging.CRITICAL)
import salt.config, salt.loader
opts = salt.config.minion_config(None)
opts["grains"], opts["pillar"] = {}, {}
matchers = salt.loader.matchers(dict(opts))
for line in sys.stdin:
    tgt_type, tgt, delimiter, minion, grains, pillar = json.loads(line)
    mine = dict(opts, id=minion, grains=grains, pillar=pillar)
    extra = {"delimiter": delimiter} if tgt_type in ("grain", "grain_pcre", "pillar") else {}
    try:
        verdict = bool(matchers[tgt_type + "_match.match"](tgt, opts=mine, **extra))
    except Exception:
        verdict = False
    print(json.dumps(verdict))
"""

IDS = ["web1", "web2", "db1", "DB-2", "web1.example.org", "a", "mail_9"]
WORDS = ["web", "db", "Debian", "debian", "12", "12.5", "r1", "a", "", "True", "none", "x:y", "web1", "10.0.0.1", "*"]
KEYS = ["os", "role", "place", "room", "racks", "a", "os_family", "12", "ports"]
VALUES: list[Any] = [*WORDS, 12, 8080, True, None, 1.5]
PATTERNS = [
    "*",
    "w*",
    "web?",
    "[wd]*",
    "web[0-9]",
    "(web|db).*",
    r"web\d+$",
    "^a",
    "D.*n",
    ".*",
    "[!w]*",
    "web1,db1",
    "(",
]
NETWORKS = ["10.0.0.0/8", "10.0.0.1", "192.0.2.0/24", "::1", "fe80::/10", "10.0.0.300", "10.0.0.1/33", "10.0.0.1/8"]


class Cases:
    """Cases from one source of randomness."""

    def __init__(self, seed: str) -> None:
        self.random = random.Random(seed)

    def data(self, depth: int = 0) -> Any:
        """Nested grains or pillar."""
        kind = self.random.random()
        if depth == 0 or kind < 0.35 and depth < 4:
            found = {self.random.choice(KEYS): self.data(depth + 1) for _ in range(self.random.randint(0, 4))}
            if depth == 0 and self.random.random() < 0.7:
                some = ["10.0.0.1", "192.0.2.7", "127.0.0.1", "10.0.0.11"]
                found |= {"ipv4": self.random.sample(some, 2), "ipv6": ["::1", "fe80::1"][: self.random.randint(0, 2)]}
            return found
        if kind < 0.5 and depth < 4:
            return [self.data(depth + 1) for _ in range(self.random.randint(0, 3))]
        return self.random.choice(VALUES)

    def pattern(self) -> str:
        return self.random.choice([*PATTERNS, *WORDS, *IDS])

    def path(self, delimiter: str) -> str:
        parts = [self.random.choice([*KEYS, "*"]) for _ in range(self.random.randint(1, 3))]
        return delimiter.join([*parts, self.pattern()]) if self.random.random() < 0.95 else parts[0]

    def word(self) -> str:
        """An operand of a compound target."""
        letter = self.random.choice("GPIJLSE ")
        if letter == " ":
            return self.pattern() or "*"
        if letter in "GPIJ":
            delimiter = self.random.choice(["", "", "|", "/"])
            return f"{letter}{delimiter}@{self.path(delimiter or ':')}"
        return f"{letter}@{self.random.choice(NETWORKS) if letter == 'S' else self.pattern()}"

    def compound(self, depth: int = 0) -> str:
        words = []
        for number in range(self.random.randint(1, 4)):
            if number:
                words.append(self.random.choice(["and", "or", "and not", "or not", "not"]))
            elif self.random.random() < 0.2:
                words.append("not")
            inner = depth < 3 and self.random.random() < 0.25
            words.append(f"( {self.compound(depth + 1)} )" if inner else self.word())
        if self.random.random() < 0.03:  # malformed
            words.insert(self.random.randrange(len(words) + 1), self.random.choice(["(", ")", "and", "or", "not"]))
        return " ".join(words)

    def case(self) -> list[Any]:
        """tgt_type, tgt, delimiter, id, grains, pillar."""
        kinds = ["glob", "pcre", "list", "grain", "grain_pcre", "pillar", "pillar_pcre", "pillar_exact", "ipcidr"]
        kind = self.random.choice([*kinds, *["compound"] * 6])
        # of the others real Salt takes no delimiter from the wire
        delimiter = self.random.choice([":", ":", "|"]) if kind in ("grain", "grain_pcre", "pillar") else ":"
        tgt: Any = self.pattern()
        if kind == "compound":
            tgt = self.compound()
        elif kind == "ipcidr":
            tgt = self.random.choice(NETWORKS)
        elif "grain" in kind or "pillar" in kind:
            tgt = self.path(delimiter)
        elif kind == "list":
            tgt = self.random.sample(IDS, 3) if self.random.random() < 0.5 else ",".join(self.random.sample(IDS, 3))
        pillar = self.data() | {"always": 1}  # for an empty one Salt 3008 takes what its loader saw before
        return [kind, tgt, delimiter, self.random.choice(IDS), self.data(), pillar]


def judged(venv: str, cases: list[list[Any]]) -> list[bool]:
    """The verdicts of the Salt in a virtual environment."""
    text = "".join(json.dumps(case) + "\n" for case in cases)
    done = subprocess.run([f"{venv}/bin/python", "-c", JUDGE], input=text, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{venv} could not judge: {done.stderr[-2000:]}")
    return [json.loads(line) for line in done.stdout.splitlines()]


def main() -> int:
    parser = argparse.ArgumentParser(description="Random targets, judged by real Salt and by saltlite.")
    parser.add_argument("--salt", action="append", required=True, metavar="RELEASE=VENV")
    parser.add_argument("--number", type=int, default=3000)
    parser.add_argument("--seed", default=str(random.SystemRandom().randrange(10**9)))
    args = parser.parse_args()
    source = Cases(args.seed)
    cases = [source.case() for _ in range(args.number)]
    ours = [saltlite.match(c[1], c[0], saltlite.Facts(c[3], c[4], c[5]), c[2]) for c in cases]
    differences = 0
    with concurrent.futures.ThreadPoolExecutor() as pool:
        salts = [salt.split("=", 1) for salt in args.salt]
        for (release, _), theirs in zip(salts, pool.map(lambda salt: judged(salt[1], cases), salts), strict=True):
            wrong = [pair for pair in zip(cases, ours, theirs, strict=True) if pair[1] != pair[2]]
            differences += len(wrong)
            state = "ok    " if not wrong else "FAILED"
            print(
                f"matchers {state} {release}: {len(cases)} targets, {sum(theirs)} match, {len(wrong)} differ",
                flush=True,
            )
            for case, mine, real in wrong[:10]:
                print(f"    saltlite {mine}, Salt {real}: {json.dumps(case)} (--seed {args.seed})")
    return 1 if differences else 0


if __name__ == "__main__":
    sys.exit(main())
