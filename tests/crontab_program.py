"""A crontab for machines without one: what cron's own does with `-u USER`, `-l` and `-`, with files in a directory."""

import os
import pwd
import re
import sys
from pathlib import Path


def main(words: list[str]) -> int:
    user = pwd.getpwuid(os.geteuid()).pw_name
    if words[:1] == ["-u"]:
        user, words = words[1], words[2:]
    path = Path(os.environ["CRONTABS"], user)
    if words == ["-l"]:
        if not path.exists():
            sys.stderr.write(f"no crontab for {user}\n")
            return 1
        sys.stdout.write(path.read_text())
        return 0
    text = sys.stdin.read()
    for number, line in enumerate(text.splitlines()):
        fine = re.match(r"\s*(#|$|@(reboot|hourly|daily|weekly|monthly|yearly) \S|[A-Z_a-z]+\s*=|(\S+\s+){5}\S)", line)
        if not fine:
            sys.stderr.write(f'"-":{number}: bad minute\nerrors in crontab file, can\'t install.\n')
            return 1
    path.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
