"""What is shown of a job, from the lines of its file: batches, progress, streams, the absent, an honest end."""

import json
import shlex

import pytest
import yaml

import saltlite
from saltlite import packed_leaf, parse_words, parser_of, to_json

salt = packed_leaf("commands", "salt")
report = packed_leaf("terminal", "report")
JID = "20261126190000000000"


def ret(minion_id, value=True, retcode=0, time=2.0, **more):
    line = {"event": "ret", "id": minion_id, "fun": "cmd.run", "return": value, "retcode": retcode, "success": True}
    return line | {"time": time} | more


def silent(minion_id, since=None, answered=False):
    return {"event": "silent", "id": minion_id, "since": since, "answered": answered, "time": 9.0}


END = {"event": "end", "returned": 0, "failed": 0, "silent": 0, "seconds": 8.0, "time": 9.0}


@pytest.fixture
def show(tmp_path, capsys):
    """Shows a finished job of these minions and lines, as `salt` does with these words: code, stdout, stderr."""
    (tmp_path / "master").touch()

    def run(words, minions, *lines, fun="cmd.run", **header):
        new = {"event": "new", "jid": JID, "fun": fun, "arg": [], "tgt": "*", "tgt_type": "glob", "minions": minions}
        path = tmp_path / f"var/cache/salt/master/jobs/done/{JID[:8]}/{JID}.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        whole = [new | {"time": 1.0, "user": "me"} | header, *lines, END]
        path.write_text("".join(f"{to_json(line)}\n" for line in whole))
        argv = ["-c", str(tmp_path), *shlex.split(words), "*", fun, "exit 3"]
        args = parse_words(parser_of(salt.COMMAND, "salt"), argv)
        client = saltlite.client("LocalClient")(args.config_dir)
        salt.state_style(args, client.opts)
        code = salt.show_job(args, client, JID)
        said = capsys.readouterr()
        return code, said.out, said.err.replace(str(tmp_path), "CONF")

    return run


@pytest.mark.parametrize("out", ["docs", "quiet", "no_return", "newline_values_only", "key", "docs ", "../docs", ""])
@pytest.mark.parametrize("words", ["", "--static", "--group"])
def test_no_minion_chooses_a_form_in_which_it_speaks_for_another_or_hides_one(show, words, out):
    evil = ret("evil", {"a": "doc\nweb9:\n    True"}, out=out)
    said = show(words, ["evil", "web1"], evil, ret("web1", "here"))[1]
    assert "evil:\n" in said and "web1:\n    here" in said and "\nweb9:" not in f"\n{said}"


def test_a_failed_command_shows_its_retcode_in_every_outputter_for_people(show):
    for words in ("", "--out nested", "--static"):
        code, out, _ = show(words, ["a"], ret("a", "", 3))
        assert (code, out) == (1, "a (retcode 3):\n"), words
    assert show("--out txt", ["a"], ret("a", "no", 3))[1] == "a (retcode 3): no\n"
    assert show("--out json --out-indent -1", ["a"], ret("a", "no", 3))[1] == '{"a": "no"}\n'
    assert show("--out raw", ["a"], ret("a", "no", 3))[1] == "{'a': 'no'}\n"
    assert "a (retcode 4):\n" in show("", ["a"], ret("a", {}, {"x.y": 0, "z.z": 4}))[1]


def test_the_end_says_counts_times_who_failed_and_how_to_repeat(show):
    minions = [f"web{at}" for at in range(1, 9)]
    lines = [ret(name, "x", 7 if name in ("web2", "web3") else 0, 1 + at / 10) for at, name in enumerate(minions[:6])]
    code, out, err = show("", minions, *lines, silent("web7", 1e9), silent("web8"))
    assert code == 1 and "web2 (retcode 7):\n    x\n" in out
    assert out.endswith("web8:\n    Minion did not return. [No response; last heard: never]\n")
    first, failed, gone, again, too = err.splitlines()
    assert first == "6 of 8 returned, 2 failed, 2 silent in 8.0 s (p50 0.20 s, p95 0.50 s, last web6 0.50 s)."
    assert (failed, gone) == ("failed with retcode 7: web[2-3]", "silent: web[7-8]")
    assert again == f"again for the failed: saltlite salt -c CONF @{JID}.failed cmd.run 'exit 3'"
    assert too == f"again for the silent: saltlite salt -c CONF @{JID}.silent cmd.run 'exit 3'"


def test_nothing_is_said_in_a_pipe_when_all_went_well(show):
    assert show("", ["a", "b"], ret("a"), ret("b")) == (0, "a:\n    True\nb:\n    True\n", "")


def test_a_minion_that_ran_the_job_and_then_was_silent(show):
    _, out, _ = show("", ["a"], {"event": "running", "id": "a", "time": 3}, silent("a", 1e9))
    assert "a:\n    Minion did not return. [It ran the job; now: no response; last heard: 2001-09-" in out


@pytest.mark.parametrize("out", ["json", "yaml"])
def test_data_is_one_document_and_nothing_else(show, out):
    code, text, err = show(f"--static --out {out}", ["a", "b", "c"], ret("a"), ret("b", "no", 3), silent("c"))
    assert code == 1 and "1 failed, 1 silent" in err
    found = json.loads(text) if out == "json" else yaml.safe_load(text)
    assert found == {"a": True, "b": "no", "c": "Minion did not return. [No response; last heard: never]"}


def test_a_full_return_tells_failed_and_silent_apart_for_programs(show):
    lines = ret("a", "no", 3), silent("b", 5.0, True)
    _, text, _ = show("--static --out json --full-return", ["a", "b"], *lines)
    assert json.loads(text) == {
        "a": {"ret": "no", "retcode": 3, "success": True, "jid": JID},
        "b": {
            "ret": None,
            "retcode": None,
            "success": False,
            "jid": JID,
            "silent": True,
            "since": 5.0,
            "answered": True,
        },
    }


def test_silence_can_be_hidden_but_not_from_the_exit_code(show):
    code, out, _ = show("--hide-timeout", ["a", "b"], ret("a"), silent("b"))
    assert (code, out) == (1, "a:\n    True\n")


def test_a_summary_is_as_salts(show):
    _, out, _ = show("--summary -v", ["a", "b", "c"], ret("a"), ret("b", "", 1), silent("c"))
    rule = "-------------------------------------------"
    counts = "# of minions targeted: 3\n# of minions returned: 2\n# of minions that did not return: 1\n"
    names = "Minions not responding: c\nMinions with failures: b\n"
    assert out.endswith(f"\n\n{rule}\nSummary\n{rule}\n{counts}# of minions with errors: 1\n{names}{rule}\n")
    assert "Summary" not in show("--summary --out json", ["a"], ret("a"))[1]


def test_jids_are_shown_when_they_are_asked_for(show):
    assert show("--show-jid", ["a"], ret("a"))[1] == f"jid: {JID}\na:\n    True\n"
    assert show("-v", ["a"], ret("a"))[1].startswith(f"Executing job with jid {JID}\n{'-' * 43}\n\na:")
    code, out, err = show("--show-jid --out json", ["a"], ret("a"))
    assert json.loads(out) == {"a": True} and err == f"jid: {JID}\n" and code == 0


def test_groups_have_folded_names_and_the_majority_stands_first(show):
    minions = [f"web{at:02}" for at in range(1, 41)]
    lines = [ret(name, "old" if name == "web07" else "new") for name in minions]
    lines[3] = ret("web04", "new", 2)
    _, out, _ = show("--group", minions, *lines)
    assert out == "web[01-03,05-06,08-40] (38):\n    new\nweb04 (retcode 2):\n    new\nweb07:\n    old\n"


def test_states_are_alike_when_they_differ_in_their_times_alone(show):
    def states(duration, result=True):
        state = {"result": result, "comment": "", "changes": {}, "__run_num__": 0, "name": "n"}
        return {"test_|-i_|-n_|-nop": state | {"duration": duration, "start_time": f"12:00:{duration}"}}

    lines = [ret("a", states(1), out="highstate"), ret("b", states(2), out="highstate")]
    _, out, _ = show("--group --state-output terse", ["a", "b", "c"], *lines, ret("c", states(3, False), 2))
    assert "a,b (2):\n" in out and "Summary for a,b (2)\n" in out and "c (retcode 2):\n" in out


def test_differences_are_from_the_majority(show):
    lines = [ret("a", "x\ny"), ret("b", "x\ny"), ret("c", "x\nz")]
    _, out, _ = show("--diff", ["a", "b", "c"], *lines)
    assert out == "a,b (2):\n    x\n    y\nc:\n@@ -2,2 +2,2 @@\n     x\n-    y\n+    z\n"


def test_a_batch_says_who_is_begun_and_ends_with_the_highest_retcode(show):
    begun = {"event": "batch", "minions": ["b", "a"], "time": 1.5}
    code, out, err = show("-b 2", ["a", "b"], begun, ret("a", "", 3), ret("b", "", 42, 1.6), batch=2)
    assert out.startswith("\nExecuting run on ['a', 'b']\n\na (retcode 3):\n") and code == 42
    assert "(p50 0.10 s, p95 0.50 s, last a 0.50 s)" in err  # from when each was begun
    code, _, _ = show("-b 2", ["a", "b"], begun, ret("a"), silent("b"), batch=2)
    assert code == 1
    _, out, _ = show("-b 2 --out json --static", ["a", "b"], begun, ret("a"), ret("b"), batch=2)
    assert json.loads(out) == {"a": True, "b": True}


def test_who_was_not_begun_is_named(show):
    stopped = {"event": "stopped", "why": "1 failed", "time": 3}
    code, _, err = show("-b 1", ["a", "b", "c"], ret("a", "", 1), stopped, batch=1)
    assert code == 1 and f"job {JID} is stopped: 1 failed\n" in err and "not run: b,c\n" in err


def test_who_is_queued_is_no_failure(show):
    queued = {"event": "queued", "id": "b", "until": 1e9, "time": 3}
    code, out, err = show("--queue 24h", ["a", "b"], ret("a"), silent("b"), queued)
    assert code == 0 and "queued until 2001-09-" in err and err.splitlines()[1].endswith(": b")
    assert "silent" not in err and "did not return" not in out


def test_a_stream_is_shown_line_by_line_and_not_twice(show):
    lines = [
        {"event": "progress", "id": "a", "lines": ["one", "two\x1b[2J"], "time": 2},
        ret("a", "one\ntwo\x1b[2J", 3),
    ]
    _, out, _ = show("--stream", ["a"], *lines, stream=True)
    assert out == "a: one\na: two?[2J\na (retcode 3):\n"
    _, out, _ = show("--stream", ["a"], lines[0], ret("a", "more than that"), stream=True)
    assert out.endswith("a:\n    more than that\n")
    _, out, _ = show("--stream --out json", ["a"], *lines, stream=True)
    assert json.loads(out) == {"a": "one\ntwo\x1b[2J"}


def test_lines_that_are_not_known_say_nothing(show):
    odd = [
        {"event": "audit", "id": "a"},
        {"event": "progress", "id": "a", "done": "x", "total": None},
        {"event": "take"},
    ]
    assert show("", ["a"], *odd, ret("a")) == (0, "a:\n    True\n", "")


def test_a_cancelled_job_says_so(show):
    code, _, err = show("", ["a"], {"event": "cancelled", "time": 2})
    assert code == 1 and "was cancelled" in err


def test_docs_of_nothing_say_so(show):
    code, out, err = show("", ["a"], ret("a", {}), fun="sys.doc")
    assert (code, out) == (1, "") and "no minion has documentation of exit 3." in err


def test_output_goes_to_a_file(show, tmp_path):
    path = tmp_path / "out"
    path.write_text("what was there\n")
    assert show(f"--out-file {path} --out-file-append", ["a"], ret("a"))[1] == ""
    assert path.read_text() == "what was there\na:\n    True\n"
