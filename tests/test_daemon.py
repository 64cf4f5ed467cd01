"""What stands around the daemons' loops: going behind, log files, the journal, why a master does not answer."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import subprocess
import tempfile
import threading
from pathlib import Path

import pytest
import zmq
from live import (
    ENVIRONMENT,
    PROGRAM,
    WireMinion,
    command,
    free_port,
    public,
    running_master,
    running_minion,
    until,
    write_config,
)

import saltlite

masters = saltlite.packed_leaf("commands", "master")
log_to, around = saltlite.packed_leaf("terminal", "log"), saltlite.packed_leaf("terminal", "daemon")


@pytest.fixture
def conf(tmp_path) -> Path:
    ports = {"publish_port": free_port(), "ret_port": free_port(), "interface": "127.0.0.1"}
    write_config(tmp_path / "etc/salt/master", ports)
    return tmp_path / "etc/salt"


def test_a_master_goes_behind_when_it_works_and_logs_to_a_file(conf, tmp_path):
    done = command("master", "-c", conf, "-d")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    pid = int((tmp_path / "var/run/salt-master.pid").read_text())
    file = tmp_path / "var/log/salt/master"
    try:
        assert os.getsid(pid) == pid
        assert {os.readlink(f"/proc/{pid}/fd/{fd}") for fd in (0, 1, 2)} == {"/dev/null"}
        until(lambda: "ready: " in file.read_text())
        second = command("master", "-c", conf, "-d")
        assert second.returncode == 1 and f"another master (pid {pid}) runs on this tree" in second.stderr
        assert int((tmp_path / "var/run/salt-master.pid").read_text()) == pid, (
            "the pid file is that of the one that runs"
        )
        os.rename(file, tmp_path / "rotated")
        os.kill(pid, signal.SIGHUP)
        until(lambda: file.exists() and "read again" in file.read_text())
        os.kill(pid, signal.SIGUSR2)
        until(lambda: "ready: " in file.read_text(), what="it is run anew, behind as before")
        assert int((tmp_path / "var/run/salt-master.pid").read_text()) == pid
    finally:
        os.kill(pid, signal.SIGTERM)
        until(lambda: not Path(f"/proc/{pid}").exists() or "Z" in Path(f"/proc/{pid}/stat").read_text().split()[2])
    assert "the master ends" in file.read_text() and not (tmp_path / "var/run/salt-master.pid").exists()


def test_what_keeps_a_daemon_from_working_is_said_before_it_goes_behind(conf, tmp_path):
    (conf / "master").write_text("ret_port: many\n")
    for words in (["-d"], ["--check"]):
        done = command("master", "-c", conf, *words)
        assert done.returncode == 1 and "ret_port must be" in done.stderr
    (conf / "master").write_text(f"interface: 192.0.2.77\npublish_port: {free_port()}\nret_port: {free_port()}\n")
    done = command("master", "-c", conf, "-d")
    assert done.returncode == 1 and "192.0.2.77" in done.stderr, done.stderr
    assert command("master", "-c", conf, "--check").returncode == 0
    for text, sentence in (
        ("id: x\nstartup_states: sls\n", "sls_list says, which is empty"),
        ("id_function: {x.y: {}}\n", "id_function is not supported"),
        ("id: a/b\n", "which cannot be a minion's id"),
    ):
        (conf / "minion").write_text(text)
        done = command("minion", "-c", conf, "--check")
        assert done.returncode == 1 and sentence in done.stderr, done.stderr


def test_two_ports_are_wanted(conf):
    (conf / "master").write_text("publish_port: 4999\nret_port: 4999\n")
    done = command("master", "-c", conf, "--check")
    assert done.returncode == 1 and "publish_port and ret_port are both 4999: two ports are wanted." in done.stderr


@pytest.mark.parametrize("mode, told", [(0o600, False), (0o640, False), (0o644, True)])
def test_a_private_key_that_all_can_read_is_told(conf, mode, told):
    pem = conf / "pki/master/master.pem"
    pem.parent.mkdir(parents=True)
    pem.touch()
    pem.chmod(mode)
    done = command("master", "-c", conf, "--check")
    assert done.returncode == 0 and (f"`chmod 600 {pem}`" in done.stderr) is told


def test_a_master_that_has_lost_its_key_says_what_follows(tmp_path):
    with running_master(tmp_path) as master:
        assert "a new key is made" not in master.log.read_text()
        master.stop()
        (master.pki / "master.pem").unlink()
        master.start()
        assert "a new key is made" not in master.log.read_text(), "nobody knows the old one"
        master.stop()
        (master.pki / "master.pem").unlink()
        (master.pki / "minions/web1").write_text(public())
        master.start()
        master.says("there is no", "master.pem, so a new key is made")


def test_a_public_key_that_is_not_that_of_a_copied_private_one_is_written_anew(tmp_path):
    with running_master(tmp_path) as master, running_minion(master, "web1") as minion:
        for daemon, path in ((master, master.pki / "master.pub"), (minion, minion.conf / "pki/minion/minion.pub")):
            right = path.read_text()
            assert "is written anew" not in daemon.text()
            daemon.stop()
            path.write_text(public(3))
            daemon.start()
            daemon.says(path.name, "is written anew")
            assert path.read_text() == right
        assert master.returns("*", "test.ping") == {"web1": True}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes another user")
@pytest.mark.parametrize("closed", ["os", "saltlite"])
def test_an_interpreter_that_is_closed_to_the_daemons_user_is_told_before_it_is_needed(monkeypatch, closed):
    with tempfile.TemporaryDirectory(prefix="saltlite-closed-") as home:
        Path(home).chmod(0o755)
        for name, module in (("os", os), ("saltlite", saltlite)):
            (path := Path(home, name)).touch(0o600 if name == closed else 0o644)
            monkeypatch.setattr(module, "__file__", str(path))
        opts = {"user": "nobody", "__role": "master"}
        with pytest.raises(saltlite.Failure, match=f"{home}/{closed} is closed to nobody"):
            masters.check_user(opts)
        assert os.geteuid() == 0
        Path(home, closed).chmod(0o644)
        for user in ("nobody", "root", ""):
            masters.check_user(opts | {"user": user})
    with pytest.raises(saltlite.Failure, match="the option user names 'no such user', who does not exist here"):
        masters.check_user(opts | {"user": "no such user"})


def test_returns_that_a_master_has_no_room_for_are_not_laid_to_the_minions(tmp_path):
    with running_master(tmp_path, {"keep_free": 1 << 60}) as master, running_minion(master, "web1"):
        done = master.salt("*", "test.ping", "-t", "0.5", "--gather-job-timeout", "0.5")
        said = (
            f"The master takes no returns: less than keep_free ({1 << 60} bytes) is free on {master.cache}; make room"
        )
        assert done.returncode == 1 and said in done.stderr, done
        assert f"{said}.\n" in command("status", "-c", master.conf).stdout


@pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes another user")
def test_root_opens_the_log_of_another_user_nowhere_where_that_user_could_not():
    """A master that was taken over, and is no root, could put a link where root opens its log at the next start."""
    with tempfile.TemporaryDirectory(prefix="saltlite-log-") as home:  # through which others can pass
        Path(home).chmod(0o755)
        as_that_user(Path(home))


def as_that_user(home: Path) -> None:
    secret = home / "secret"
    secret.write_text("root's\n")
    secret.chmod(0o600)
    logs = home / "logs"
    (logs / "deep").mkdir(parents=True)
    (logs / "master").symlink_to(secret)
    (logs / "away").symlink_to(home)
    (home / "mine").symlink_to(logs / "made")

    def opened(path):
        handler = log_to.to_file(path, "info", "nobody")
        handler.stream.close()
        return path.stat().st_uid

    assert opened(logs / "deep/root") == opened(home / "mine") == 65534, "root alone could put a link there"
    os.chown(logs, 65534, 65534)
    for path in (logs / "master", logs / "away/secret"):
        with pytest.raises(saltlite.Failure, match="cannot be opened by nobody: Permission denied"):
            opened(path)
    assert (secret.stat().st_uid, secret.read_text()) == (0, "root's\n")
    assert opened(logs / "own") == 65534 and opened(logs / "own") == 65534
    assert os.geteuid() == 0 and os.getegid() == 0


def test_options_of_the_command_line_are_those_of_the_files(conf, tmp_path):
    given = [
        "--log-file",
        tmp_path / "own.log",
        "--log-file-level",
        "debug",
        "-l",
        "quiet",
        "--pid-file",
        tmp_path / "own.pid",
    ]
    argv = [*PROGRAM, "master", "-c", str(conf), *map(str, given)]
    with subprocess.Popen(argv, env=ENVIRONMENT, stderr=subprocess.PIPE, text=True) as process:
        try:
            until(lambda: (tmp_path / "own.log").exists() and "ready: " in (tmp_path / "own.log").read_text())
            assert int((tmp_path / "own.pid").read_text()) == process.pid
        finally:
            process.terminate()
            assert process.communicate(timeout=30)[1] == ""
    for words, said in [
        (["--log-file-level", "loud"], "--log-file-level loud"),
        (["--log-file", "/dev/null/x"], "log_file: /dev/null/x cannot be"),
        (["--pid-file", conf], "pidfile: "),
        (["-u", "nobody-of-this-name"], "does not exist here"),
    ]:
        done = command("master", "-c", conf, *words)
        assert done.returncode in (1, 64) and said in done.stderr, done.stderr
    (conf / "master").write_text("log_file: udp://loghost:514\n")
    assert "for syslog" in command("master", "-c", conf).stderr


# the log


@pytest.fixture
def logger(tmp_path):
    """The program's logger, which is as it was afterwards."""
    found, root = logging.getLogger("saltlite"), logging.getLogger()
    before = found.handlers[:], found.filters[:], found.level, found.propagate, root.handlers[:], root.level
    yield found
    found.handlers[:], found.filters[:], found.level, found.propagate, root.handlers[:], root.level = before


def test_each_goal_has_its_level_and_a_flood_is_counted_once(logger, tmp_path, capsys):
    file = tmp_path / "new/log"
    log_to.set_up({"log_level": "warning", "log_level_logfile": "debug", "log_file": str(file), "user": ""})
    logger.debug("for the file")
    logger.warning("for both\x1b[31m\n")
    for _ in range(log_to.FloodGate.MOST + 5):
        logger.warning("again")
    said = file.read_text()
    assert "[DEBUG   ] for the file\n" in said and "for both\\x1b[31m\\n\n" in said
    assert said.count("again") <= 2 * log_to.FloodGate.MOST, "at most two seconds of them"
    assert "for the file" not in capsys.readouterr().err
    os.rename(file, tmp_path / "rotated")
    log_to.set_up({"log_level": "warning", "log_file": str(file), "user": ""})
    logger.error("in the new one")
    assert "in the new one" in file.read_text() and "in the new one" not in (tmp_path / "rotated").read_text()


@pytest.mark.parametrize("level, priority", [("debug", 7), ("info", 6), ("warning", 4), ("error", 3), ("critical", 2)])
def test_the_journal_gets_priorities_and_no_times(level, priority):
    record = logging.LogRecord("saltlite", logging.getLevelName(level.upper()), "", 0, "one\ntwo", (), None)
    assert log_to.ForJournal("%(message)s").format(record) == f"<{priority}>one\\ntwo"


def test_each_line_of_a_traceback_is_an_entry_of_its_priority():
    try:
        raise ValueError("odd")
    except ValueError as error:
        record = logging.LogRecord(
            "saltlite", logging.ERROR, "", 0, "it failed", (), (ValueError, error, error.__traceback__)
        )
    lines = log_to.ForJournal("%(message)s").format(record).splitlines()
    assert len(lines) > 3 and all(line.startswith("<3>") for line in lines)


def test_a_daemon_knows_the_journal_by_its_stream(conf, tmp_path):
    with open(tmp_path / "stderr", "wb") as stream:
        info = os.fstat(stream.fileno())
        for number, first in ((info.st_ino, "<6>ready: "), (info.st_ino + 1, "2")):
            environment = ENVIRONMENT | {"JOURNAL_STREAM": f"{info.st_dev}:{number}"}
            stream.truncate(0)
            stream.seek(0)
            with subprocess.Popen([*PROGRAM, "master", "-c", str(conf)], env=environment, stderr=stream) as process:
                try:
                    until(lambda: "ready: " in (tmp_path / "stderr").read_text())
                    assert (tmp_path / "stderr").read_text().startswith(first)
                finally:
                    process.terminate()


# why a master does not answer, and who is not waited for


@pytest.mark.parametrize(
    "host, said",
    [("saltlite.invalid", "its name cannot be resolved"), ("127.0.0.1", "connection refused")],
)
def test_a_minion_says_why_its_master_does_not_answer(tmp_path, host, said):
    with running_master(tmp_path) as master:
        options = {"master": host, "master_port": free_port(), "auth_timeout": 0.2}
        with running_minion(master, "lost", options, ready=False) as minion:
            line = minion.says("no answer from the master", host)
            assert said in line and "pending" not in line
            done = command("call", "-c", minion.conf, "-t", "1", "test.ping")
            assert done.returncode == 1 and said in done.stderr


PEERS = {  # what listens where a master is looked for -> what it answers to a connection; None: nothing
    "hangs": (None, "whoever listens there says nothing: a master that hangs, or none"),
    "web": (
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        "does not speak as a Salt master does: a minion is given the master's",
    ),
    "ssh": (b"SSH-2.0-OpenSSH_9.2\r\n", "does not speak as a Salt master does"),
    "closes": (b"", "whoever listens there says nothing"),
}


@pytest.mark.parametrize("name", PEERS)
def test_who_listens_and_is_no_master_is_told_from_a_pending_key(name):
    answer, said = PEERS[name]
    held = []

    def serve(listener):
        with contextlib.suppress(OSError):
            while True:
                peer, _ = listener.accept()
                held.append(peer)
                if answer is not None:
                    peer.recv(64)
                    peer.sendall(answer)
                    peer.close()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=serve, args=[listener], daemon=True).start()
        assert said in around.why_silent("127.0.0.1", listener.getsockname()[1], 1)
        listener.shutdown(socket.SHUT_RDWR)
    for peer in held:
        peer.close()


@pytest.mark.parametrize(
    "kind, said", [(zmq.ROUTER, ""), (zmq.PUB, "that is a port of publications"), (zmq.XPUB, "publications")]
)
def test_of_a_masters_two_ports_the_wrong_one_is_named(kind, said):
    with zmq.Context() as context, context.socket(kind) as peer:
        found = around.why_silent("127.0.0.1", peer.bind_to_random_port("tcp://127.0.0.1"), 2)
        assert said in found and bool(said) is bool(found)


def test_of_our_own_two_ports_the_wrong_one_is_named(tmp_path):
    with running_master(tmp_path) as master:
        opts = saltlite.load_opts("master", str(master.conf))
        ports = [opts[name] for name in ("publish_port", "ret_port")]
        assert "that is a port of publications" in around.why_silent("127.0.0.1", ports[0], 2)
        assert around.why_silent("127.0.0.1", ports[1], 2) == ""


def test_a_minion_whose_key_is_held_is_told_that_it_may_be_pending(tmp_path):
    with (
        running_master(tmp_path) as master,
        running_minion(master, "new", {"auth_timeout": 0.2}, ready=False) as minion,
    ):
        said = minion.says("the key of new is pending there")
        assert "accepts it with `mv minions_pre/new minions/` or salt-key -a new; its fingerprint here is" in said


@pytest.mark.parametrize("how", ["rejected", "removed"])
def test_nobody_waits_for_a_minion_whose_key_was_taken_away(tmp_path, how):
    with running_master(tmp_path, {"timeout": 60}) as master, running_minion(master, "web1") as web1:
        jid = master.submit("*", "test.sleep", "60")
        until(lambda: web1.job_pid(jid), what="the job runs")
        if how == "rejected":
            master.mv("web1", "minions", "minions_rejected")
        else:
            (master.pki / "minions/web1").unlink()
        silent = next(line for line in master.job(jid) if line["event"] == "silent")
        assert (silent["id"], silent["revoked"], silent["answered"]) == ("web1", True, False)


def test_a_request_of_any_name_is_tied_to_its_jid_in_the_log(tmp_path):
    groups = {"nodegroups": {"web": "web*"}}
    with running_master(tmp_path, groups) as master, WireMinion(master, "web1") as minion:
        minion.pend()
        master.accept("web1")
        minion.told()
        master.request("of-a-group", tgt="web", tgt_type="nodegroup", fun="test.ping")
        assert "test.ping for N@web (" in master.says("jobs/new/of-a-group"), "as it was typed"
        master.request("deploy-of-today", tgt="*", fun="test.ping")
        line = master.says("jobs/new/deploy-of-today", "test.ping")
        assert "test.ping for * (minions: 1), by " in line and "job 2" in line
        assert "web1: its key is pending (" in master.text()


def test_what_a_jobs_process_has_to_say_is_in_the_daemons_log(tmp_path):
    with running_master(tmp_path) as master:
        options = {"mine_functions": {"no.such": []}}
        with running_minion(master, "web1", options) as minion:
            modules, grains = Path(minion.conf, "modules"), Path(minion.conf, "_grains")
            for directory in (modules, grains):
                directory.mkdir(mode=0o755)
            text = "import logging\nlog = logging.getLogger(__name__)\ndef x():\n    log.warning('odd: %s', 7)\n"
            (modules / "speaking.py").write_text(text)
            (grains / "failing.py").write_text("def f():\n    return {'x': 1 / 0}\n")
            master.returns("*", "speaking.x")
            minion.says("odd: 7")
            master.returns("*", "saltutil.refresh_grains")
            minion.says("the grains of", "failing.py", "ZeroDivisionError")
            master.returns("*", "mine.update")
            minion.says("no.such does not go into the mine")


def test_versions_report_and_help_name_what_there_is(conf):
    report = command("key", "--versions-report").stdout
    assert f"saltlite: {saltlite.VERSION}" in report and "PyYAML: " in report and "Not Installed" not in report
    for words in (["--return", "redis"], ["--proxyid", "p"]):
        done = command("call", *words, "test.ping")
        assert done.returncode == 64 and f"{words[0]} is not supported: " in done.stderr


def test_functions_that_are_not_there_are_named(conf):
    write_config(conf / "minion", {"id": "m"})
    done = command("call", "-c", conf, "--local", "-d", "test.pong")
    assert done.returncode == 1 and "is called test.pong. Did you mean 'test.ping'?" in done.stdout
    write_config(conf / "minion", {"id": "m", "shell": "/bin/echo"})
    assert (
        command("call", "-c", conf, "--local", "--out=text", "cmd.run", "it is used").stdout == "local: -c it is used\n"
    )
