"""The sample files etc/salt/master and etc/salt/minion say what the rows of the options say: `python tests/samples.py`
writes them anew, in the order and under the headings that they have."""

import re
import sys
import textwrap
from pathlib import Path

import yaml

sys.path.insert(0, str(Path(__file__).parent.parent))

import saltlite

SAMPLES = Path(saltlite.__file__).parent / "etc" / "salt"


def comment(option):
    when = "; at the next start" if option.restart else ""
    text = f"{option.help[0].upper()}{option.help[1:]} ({option.kind.wanted}{when})."
    return "".join(f"# {line}\n" for line in textwrap.wrap(text, 108))


def sample(role):
    """The text of a sample with every option's comment and default as its row has them."""

    def written(found):
        name = found[1]
        option = saltlite.options_of(role)[name]
        value = yaml.safe_dump({name: option.default}, default_flow_style=True, width=1000).strip()[1:-1]
        return f"{comment(option)}#{value}\n"

    text = (SAMPLES / role).read_text()
    return re.sub(r"(?:^# .*\n)+#(\w+): .*\n", written, text, flags=re.MULTILINE)


if __name__ == "__main__":
    for role in ("master", "minion"):
        (SAMPLES / role).write_text(sample(role))
