"""Hooks: executables below master.d/hooks that run on events. Real processes, in a real loop."""

import json
import os
import select
import time
import types

import pytest

import saltlite

hooks = saltlite.packed_leaf("watchers", "hooks")


class Place:
    """A configuration directory with hooks, a loop and the watcher that runs them."""

    def __init__(self, path):
        self.path, self.loop = path, saltlite.Loop(select.poll())
        self.top = path / "master.d/hooks"
        self.top.mkdir(parents=True, mode=0o755)
        self.watcher = hooks.Watcher(types.SimpleNamespace(loop=self.loop, opts={"conf_dir": str(path)}))

    def hook(self, glob, name, body, mode=0o755):
        directory = self.top / glob
        directory.mkdir(parents=True, exist_ok=True)
        (directory / name).write_text(f"#!/bin/sh\n{body}\n")
        (directory / name).chmod(mode)
        return directory / name

    def tell(self, *tags, **data):
        self.watcher.told([(tag, data) for tag in tags])

    def run(self, done=None, seconds=10):
        """Turn the loop until all is done."""
        end = time.monotonic() + seconds

        def look():
            assert time.monotonic() < end, "it does not end"
            over = not self.watcher.running and not self.watcher.queue
            self.loop.stop() if over or done and done() else self.loop.at("test", 0.01, look)

        self.loop.running = True
        look()
        self.loop.run()

    def out(self):
        path = self.path / "out"
        return path.read_text().splitlines() if path.exists() else []


@pytest.fixture
def place(tmp_path):
    return Place(tmp_path)


@pytest.fixture
def logged(caplog, monkeypatch):
    """What the program logs."""
    monkeypatch.setattr(saltlite.logging.getLogger("saltlite"), "propagate", True)
    return lambda: [record.getMessage() for record in caplog.records]


GLOBS = [
    ("salt/minion/*/start", "salt/minion/web1/start", True),
    ("salt/minion/*/start", "salt/minion/web1/custom/start", True),  # as with Salt's reactor, * means slashes too
    ("salt/minion/*/start", "salt/minion/web1/starts", False),
    ("salt/key", "salt/key", True),
    ("salt/key", "salt/keys", False),
    ("salt/job/*/ret/*", "salt/job/1/ret/web1", True),
    ("salt/minion/web[12]/start", "salt/minion/web3/start", False),
    ("*", "anything/at/all", True),
]


@pytest.mark.parametrize("glob, tag, runs", GLOBS)
def test_the_path_of_a_directory_is_the_glob_of_tags(place, glob, tag, runs):
    place.hook(glob, "h", f'echo "$SALT_EVENT_TAG" >> {place.path}/out')
    place.tell(tag)
    place.run()
    assert place.out() == ([tag] if runs else [])


def test_hooks_of_an_event_run_in_order_and_get_it_on_stdin(place):
    for glob, name in (("salt/b", "10-x"), ("salt/*", "9-y"), ("salt/*", "10-y"), ("salt/b", "A")):
        place.hook(glob, name, f'echo "{glob[-1]} {name} $SALT_CONFIG_DIR $(cat)" >> {place.path}/out')
    place.tell("salt/b", id="web1")
    place.run()
    assert [line.split()[1] for line in place.out()] == ["10-y", "9-y", "10-x", "A"]
    _, _, conf, event = place.out()[0].split(" ", 3)
    assert conf == str(place.path)
    event = json.loads(event)
    assert (event["tag"], event["data"]) == ("salt/b", {"id": "web1"}) and abs(event["time"] - time.time()) < 60


@pytest.mark.parametrize(
    "name, mode", [("x.bak", 0o755), (".x.swp", 0o755), ("x~", 0o755), ("x.sh", 0o755), ("x", 0o644)]
)
def test_what_run_parts_would_not_run_does_not_run_and_is_named(place, logged, name, mode):
    place.hook("salt/key", name, f"echo ran >> {place.path}/out", mode)
    place.tell("salt/key")
    place.run()
    assert place.out() == []
    why = (
        ""
        if name[0] == "."
        else "is not executable"
        if name == "x"
        else "its name may hold letters, digits, - and _ only"
    )
    assert [why in text for text in logged()] == [True] * bool(why)


def test_what_others_could_change_does_not_run(place, logged):
    """The file, its directories, and what a link leads to."""
    body = f"echo ran >> {place.path}/out"
    place.hook("a", "h", body, 0o757)
    place.hook("b", "h", body)
    (place.top / "b").chmod(0o757)
    elsewhere = place.path / "elsewhere"
    elsewhere.write_text(f"#!/bin/sh\n{body}\n")
    elsewhere.chmod(0o757)
    (place.top / "c").mkdir()
    (place.top / "c/h").symlink_to(elsewhere)
    place.hook("", "on-nothing", body)
    if os.geteuid() == 0:
        os.chown(place.hook("d", "h", body), 1, 1)
    for tag in "abcd":
        place.tell(tag)
    place.run()
    assert place.out() == []
    said = " ".join(logged())
    assert said.count("can be written by everybody") == 3 and "on-nothing runs on no event" in said
    assert os.geteuid() != 0 or "belongs to daemon: chown it" in said
    elsewhere.chmod(0o755)
    place.watcher.reload()
    place.tell("c")
    place.run()
    assert place.out() == ["ran"]


def test_a_hook_that_fails_is_named_with_its_last_line_and_the_next_one_runs(place, logged):
    place.hook("t", "1", "echo first; echo 'last words' >&2; exit 3")
    place.hook("t", "2", "").write_text("#!/no/such/interpreter\n")
    place.hook("t", "3", f"echo ran >> {place.path}/out")
    place.tell("t")
    place.run()
    assert place.out() == ["ran"]
    assert any("t/1 ended with 3 on t: last words" in line for line in logged())
    assert any("t/2 cannot be started: No such file" in line for line in logged())


def test_a_hook_has_its_time_and_what_it_leaves_behind_goes_with_it(place, logged, monkeypatch):
    monkeypatch.setattr(hooks, "HOOK_SECONDS", 0.3)
    monkeypatch.setattr(hooks, "KILL_SECONDS", 0.2)
    place.hook("t", "1", f"trap '' TERM; sleep 60 & echo $! > {place.path}/pid; while :; do sleep 1; done")
    place.tell("t")
    place.run()
    assert any("t/1 took longer than" in line for line in logged())
    pid = int((place.path / "pid").read_text())
    end = time.monotonic() + 5
    while os.path.exists(f"/proc/{pid}") and open(f"/proc/{pid}/stat").read().split()[2] != "Z":
        assert time.monotonic() < end
        time.sleep(0.01)


def test_a_hook_that_prints_without_end_costs_nothing(place):
    place.hook("t", "1", "head -c 20000000 /dev/zero; echo end; exit 1")
    place.tell("t")
    place.run(lambda: len(place.watcher.running) and len(place.watcher.running[0].output) > hooks.LAST_LINE)
    assert not place.watcher.running


def test_few_run_at_once(place, monkeypatch):
    place.hook("t", "1", f"touch {place.path}/run-$$; while [ ! -e {place.path}/go ]; do sleep 0.05; done")
    place.tell(*["t"] * 6)
    place.run(lambda: len(list(place.path.glob("run-*"))) == hooks.AT_ONCE)
    assert (len(place.watcher.running), len(place.watcher.queue)) == (hooks.AT_ONCE, 2)
    (place.path / "go").touch()
    place.run()
    assert len(list(place.path.glob("run-*"))) == 6


@pytest.mark.parametrize("count, lost", [(2, 0), (3, 0), (4, 1)])
def test_events_wait_in_a_queue_with_an_end(place, logged, monkeypatch, count, lost):
    monkeypatch.setattr(hooks, "MAX_QUEUED", 3)
    place.hook("t", "1", "exit 0")
    place.tell(*["t"] * count)
    assert [line for line in logged() if "events have no hook run" in line] == (
        [f"{lost} events have no hook run: 3 are waiting, with {place.watcher.queued} bytes; the hooks are too slow"]
        if lost
        else []
    )
    place.run()
    assert place.watcher.queued == 0


@pytest.mark.parametrize("more, lost", [(-1, 0), (0, 0), (1, 1)])
def test_what_waits_has_a_size(place, monkeypatch, more, lost):
    place.hook("t", "1", "exit 0")
    monkeypatch.setattr(hooks.time, "time", lambda: 1.0)
    size = len(saltlite.to_json({"tag": "t", "time": 1.0, "data": {"x": ""}})) + 1
    monkeypatch.setattr(hooks, "MAX_QUEUED_BYTES", 2 * size)
    place.watcher.told([("t", {"x": ""}), ("t", {"x": "y" * max(0, more)})])
    assert len(place.watcher.queue) == 2 - (more > 0)
    monkeypatch.undo()
    place.run()


@pytest.mark.parametrize("size", [0, 100])
def test_one_minion_keeps_no_other_out_of_the_queue(place, monkeypatch, size):
    """Of its events an eighth of the queue waits, by number and by size; they may be many again when they have run."""
    place.hook("*", "1", f'case "$SALT_EVENT_TAG" in *evil*) ;; *) echo "$SALT_EVENT_TAG" >> {place.path}/out;; esac')
    monkeypatch.setattr(hooks, "MAX_QUEUED", 80)
    monkeypatch.setattr(hooks.time, "time", lambda: 1.0)
    tag, data = "salt/minion/evil/custom/x", {"id": "evil", "data": "y" * size}
    if size:
        length = len(saltlite.to_json({"tag": tag, "time": 1.0, "data": data})) + 1
        monkeypatch.setattr(hooks, "MAX_QUEUED_BYTES", 32 * length)
    evil = [(tag, data)] * 70
    for _ in range(2):
        place.watcher.told([*evil, ("salt/minion/web1/start", {"id": "web1"})])
        assert len(place.watcher.queue) == (5 if size else 11)
        monkeypatch.setattr(hooks.time, "time", time.time)
        place.run()
        assert place.watcher.shares == {}
        monkeypatch.setattr(hooks.time, "time", lambda: 1.0)
    assert place.out() == ["salt/minion/web1/start"] * 2


def test_files_that_are_looked_at_are_counted(place, monkeypatch):
    monkeypatch.setattr(hooks, "MAX_HOOKS", 3)
    for number in range(4):
        place.hook("t", f"h{number}", f"echo {number} >> {place.path}/out")
    place.tell("t")
    place.run()
    assert place.out() == ["0", "1", "2"]


def test_what_runs_ends_with_the_master(place, logged):
    place.hook("t", "1", "sleep 60")
    place.tell("t")
    place.run(lambda: place.watcher.running)
    process = place.watcher.running[0].process
    place.watcher.stop()
    assert process.wait(5) == -15
    assert any("1 hooks are ended with the master" in line for line in logged())
