"""Pillar files in a tree of a master, and what a minion gets of them."""

from leaves import PILLAR

import saltlite

GRAINS = {"os": "Debian", "role": ["web", "db"], "ipv4": ["127.0.0.1", "10.1.2.3"], "n": 5, "deep": {"a": {"b": "c"}}}
TOP = "base:\n  '*': [a]\n"


def write(root, files):
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


class Roots:
    """Pillar files in a tree of a master, and the pillar that a minion gets of them."""

    def __init__(self, path, files, **opts):
        self.path = path / "srv/pillar"
        write(self.path, files)
        self.opts = saltlite.load_opts("master", str(path), opts)
        self.files = PILLAR.PillarFiles()

    def pillar(self, minion="web1", grains=GRAINS, **load):
        return PILLAR.Pillar(self.files, self.opts, minion, grains, load).compile()
