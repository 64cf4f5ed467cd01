"""cron: how a crontab is read and written, and what is done with it through the program crontab."""

import getpass
import os
from pathlib import Path

import pytest
from one_minion import Minion

import saltlite

CRON = Path(saltlite.__file__).resolve().parent / "etc/salt/modules/cron.py"
TAG = "# Lines below here are managed by Salt, do not edit"
USER = getpass.getuser()
THEIRS = "# mine\n0 5 * * * tar zcf /var/backups/home.tgz /home/\n\nMAILTO=me\n"
CRONTAB = r"""#!/bin/sh
# for machines without one: what cron's own does with -u USER, -l and -, with files in a directory
user=$(id -un)
[ "$1" = -u ] && user=$2 && shift 2
if [ "$1" = -l ]; then
    [ -e "$CRONTABS/$user" ] || { echo "no crontab for $user" >&2; exit 1; }
    exec cat "$CRONTABS/$user"
fi
cat > "$CRONTABS/.new"
good='^[ ]*(#|$|@(reboot|hourly|daily|weekly|monthly|yearly) [^ ]|[A-Z_a-z]+ *=|([^ ]+ +){5}[^ ])'
grep -qvE "$good" "$CRONTABS/.new" && { echo '"-":1: bad minute' >&2; echo "errors in crontab file" >&2; exit 1; }
mv "$CRONTABS/.new" "$CRONTABS/$user"
"""
cron = saltlite.read_leaf(CRON, {"__opts__": {}, "__context__": {}, "__grains__": {}, "__salt__": {}})


@pytest.fixture
def minion(tmp_path, monkeypatch):
    """A minion with a crontab of its own, that has lines of somebody's."""
    program = tmp_path / "bin/crontab"
    program.parent.mkdir()
    program.write_text(CRONTAB)
    program.chmod(0o755)
    tabs = tmp_path / "tabs"
    tabs.mkdir()
    (tabs / USER).write_text(THEIRS)
    monkeypatch.setenv("CRONTABS", str(tabs))
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    return Minion(tmp_path / "minion", None)


def lines(minion):
    text = minion("cron.raw_cron", USER)
    assert text.startswith(THEIRS)
    return text[len(THEIRS) :].splitlines()


def test_a_line_ends_where_cron_ends_it(minion):
    odd = "".join(map(chr, (0x0B, 0x0C, 0x1C, 0x85, 0x2028, 0x2029)))
    theirs = f"{THEIRS}# {odd}* * * * * touch /tmp/evil\r\n"
    tabs = Path(os.environ["CRONTABS"])
    (tabs / USER).write_bytes(theirs.encode())
    for number in range(2):  # what the first one wrote is read by the second
        minion("cron.set_job", USER, number, 3, "*", "*", 1, "echo \x85* * * * * evil", comment=f"a{odd}* * * * * evil")
    said = (tabs / USER).read_bytes().decode()
    assert said == f"{theirs}{TAG}\n# a{odd}* * * * * evil\n1 3 * * 1 echo \x85* * * * * evil\n"


def test_a_job_is_added_changed_and_removed_and_other_lines_stay(minion):
    job = (USER, "0", "3", "*", "*", "1", "/bin/echo a  b")
    assert minion("cron.set_job", *job) == "new"
    assert minion("cron.set_job", *job) == "present"
    assert lines(minion) == [TAG, "0 3 * * 1 /bin/echo a  b"]
    assert minion("cron.set_job", USER, 5, 3, "*", "*", 1, "/bin/echo a  b", comment="two\nlines") == "updated"
    assert lines(minion) == [TAG, "# two", "# lines", "5 3 * * 1 /bin/echo a  b"]
    assert minion("cron.rm_job", USER, "/bin/echo a  b", minute=6) == "absent"
    assert minion("cron.rm_job", USER, "/bin/echo a  b", minute=5) == "removed"
    assert minion("cron.rm_job", USER, "/bin/echo a  b") == "absent"
    assert lines(minion) == [TAG]


def test_an_identifier_says_which_entry_is_meant(minion):
    every = ("*", "*", "*", "*", "*")
    assert minion("cron.set_job", USER, *every, "/bin/a", identifier="one") == "new"
    assert minion("cron.set_job", USER, *every, "/bin/a", identifier="two") == "new"
    assert minion("cron.set_job", USER, *every, "/bin/b", identifier="one") == "updated"
    assert minion("cron.get_entry", USER, identifier="one")["cmd"] == "/bin/b"
    assert minion("cron.get_entry", USER, cmd="/bin/a")["identifier"] == "two"
    assert minion("cron.get_entry", USER, cmd="/bin/nosuch") is False
    assert minion("cron.rm_job", USER, "/whatever", identifier="two") == "removed"
    assert lines(minion) == [TAG, "# SALT_CRON_IDENTIFIER:one", "* * * * * /bin/b"]
    assert minion("cron.set_special", USER, "@daily", "/bin/b", identifier="one") == "updated"
    assert lines(minion) == [TAG, "# SALT_CRON_IDENTIFIER:one", "@daily /bin/b"]
    assert minion("cron.rm_special", USER, "/bin/b", identifier="one") == "removed"


def test_random_is_chosen_once(minion):
    job = (USER, "random", "5:20", "random", "*", "*", "/bin/r")
    assert minion("cron.set_job", *job) == "new"
    entry = minion("cron.list_tab", USER)["crons"][0]
    assert 0 <= int(entry["minute"]) < 60 and 5 <= int(entry["hour"]) <= 20 and 1 <= int(entry["daymonth"]) <= 28
    same = (USER, "random", entry["hour"], "random", "*", "*", "/bin/r")
    assert minion("cron.set_job", *same) == "present"


def test_variables_and_disabled_jobs(minion):
    assert minion("cron.set_env", USER, "MAILTO", "a@example.org") == "new"
    assert minion("cron.set_env", USER, "MAILTO", "b@example.org") == "updated"
    assert minion("cron.set_env", USER, "MAILTO", "b@example.org") == "present"
    assert minion("cron.set_job", USER, 1, 2, 3, 4, 5, cmd="x=1 /bin/off", commented=True) == "new"
    assert lines(minion) == [TAG, "MAILTO=b@example.org", "#DISABLED#1 2 3 4 5 x=1 /bin/off"]
    assert minion("cron.list_tab", USER)["crons"][0]["commented"] is True
    assert minion("cron.rm_env", USER, "MAILTO") == "removed"
    assert minion("cron.rm_env", USER, "MAILTO") == "absent"


def test_test_says_what_would_be_done(minion):
    before = minion("cron.raw_cron", USER)
    assert (
        minion("cron.set_job", USER, 1, 2, 3, 4, 5, "/bin/a", test=True) == "Would add an entry. Nothing was changed."
    )
    assert minion("cron.set_env", USER, "A", "1", test=True) == "Would add an entry. Nothing was changed."
    assert minion("cron.rm_job", USER, "/bin/a", test=True) == "absent"
    assert minion("cron.raw_cron", USER) == before


def test_what_would_be_another_line_is_refused(minion):
    job = [USER, "1", "2", "3", "4", "5"]
    assert "no line end" in minion.error("cron.set_job", *job, "/bin/a\n* * * * * /bin/b")
    assert "minute is not what cron knows" in minion.error("cron.set_job", USER, "1 2", *job[2:], "/bin/a")
    assert "is not what cron knows: @reboot" in minion.error("cron.set_special", USER, "daily", "/bin/a")
    assert "is no name of a variable" in minion.error("cron.set_env", USER, "A B", "1")
    assert "bad minute" in minion.error("cron.set_special", USER, "@midday", "/bin/a")
    assert "does not exist" in minion.error("cron.raw_cron", "nosuch")
    assert minion("cron.raw_cron", USER) == THEIRS


def test_a_file_can_be_the_crontab(minion, tmp_path):
    path = tmp_path / "new"
    path.write_text("@hourly /bin/x\n")
    assert minion("cron.write_cron_file", USER, str(path), test=True).startswith("Would let")
    assert minion("cron.write_cron_file", USER, str(path)) is True
    assert minion("cron.raw_cron", USER) == "@hourly /bin/x\n"
    path.write_text("nonsense\n")
    assert minion("cron.write_cron_file_verbose", USER, str(path))["retcode"] == 1
    assert minion("cron.ls", USER)["pre"] == ["@hourly /bin/x"]


def test_a_crontab_is_read_and_written_back_as_it_was():
    text = (
        f'0 1 * * * above\n{TAG}\nA=1\nB=""\n# why SALT_CRON_IDENTIFIER:id 1\n#DISABLED#1 2 3 4 5 x % y\n'
        "# just said\n*/5 * * * * z\n# SALT_CRON_IDENTIFIER:s\n@daily d\n"
    )
    assert cron._written(cron._parsed(text)) == text
