"""The picture of README: what `salt` shows on a terminal, from a run with a real master and simulated minions.

`./build.sh picture` writes tests/salt.svg anew; rich draws it from what was on the screen."""

from __future__ import annotations

import io
import sys
import tempfile
from pathlib import Path

from bench import Settings, SimProcess, public_pem
from cryptography.hazmat.primitives import serialization
from live import pem, running_master
from rich.console import Console
from rich.text import Text
from screen import on_terminal

COLUMNS = 100
COMMAND = "salt '*' cmd.run 'systemctl is-active nginx'"
IDS = [f"web{at:02}" for at in range(1, 41)] + [f"db{at}" for at in range(1, 5)]
SLOW, FAILED = ("web17", "web18", "web19", "db2"), ("db1", "db2", "db3", "db4", "web07")


def screens() -> list[str]:
    """The screen while the job runs, and when it is over."""
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        minions = root / "master/pki/master/minions"
        minions.mkdir(parents=True, mode=0o700)
        for directory in (minions.parent, minions):
            directory.chmod(0o700)
        public = public_pem(serialization.load_pem_private_key(pem(), None).public_key())  # type: ignore[arg-type]
        for name in IDS:
            (minions / name).write_text(public)
        with running_master(root) as master:
            sims = SimProcess(Settings(master.options["ret_port"], master.options["publish_port"], pem(), True))
            try:
                sims("add", ids=IDS)
                sims("authenticate", ids=IDS)
                words = ("salt", "-c", master.conf, "*", "cmd.run", "systemctl is-active nginx")
                with on_terminal(*words, columns=COLUMNS) as terminal:
                    terminal.shows(lambda screen: "missing" in screen.last)
                    jid = next((master.jobs / "active").glob("2*")).name[:20]

                    def come(ids: list[str]) -> None:
                        answers = {
                            name: ("inactive" if name in FAILED else "active", name not in FAILED) for name in ids
                        }
                        sims("return", jid=jid, returns=answers)

                    come([name for name in IDS if name not in SLOW])
                    terminal.shows(lambda screen: screen.last.startswith("40/44") and "inactive" in screen.text)
                    first = terminal.screen.colored
                    come(list(SLOW))
                    terminal.end()
                    return [first, terminal.screen.colored.replace(f"-c {master.conf} ", "")]
            finally:
                sims.close()


def main(path: Path) -> None:
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True, color_system="truecolor")
    for screen in screens():
        console.print(Text(f"# {COMMAND}", "bold"))
        console.print(Text.from_ansi(screen))
        console.print()
    path.write_text(console.export_svg(title="saltlite", unique_id="salt"))


if __name__ == "__main__":
    main(Path(sys.argv[1]) if sys.argv[1:] else Path(__file__).with_name("salt.svg"))
