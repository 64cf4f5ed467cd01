"""etc/salt/master and etc/salt/minion: every option, commented out, with the default of the tables."""

from pathlib import Path

import pytest
import yaml
from leaves import MASTER_OPTIONS, MINION_OPTIONS
from samples import sample

import saltlite

ROOT = Path(saltlite.__file__).parent
TABLES = {"master": MASTER_OPTIONS, "minion": MINION_OPTIONS}


def shown(role):
    lines = (ROOT / "etc" / "salt" / role).read_text().splitlines()
    found = [line[1:] for line in lines if line.startswith("#") and not line.startswith("# ")]
    options = [line.partition(":")[0] for line in found]
    assert len(options) == len(set(options)), "an option stands there twice"
    return yaml.safe_load("\n".join(found))


@pytest.mark.parametrize("role", TABLES)
def test_sample_shows_every_option_with_its_default(role):
    assert shown(role) == {name: option.default for name, option in TABLES[role].items()}


@pytest.mark.parametrize("role", TABLES)
def test_sample_as_it_is_changes_nothing(role):
    told = []
    documents = saltlite.packed_leaf("configuration", role).documents(ROOT / "etc" / "salt", told)
    opts, others = saltlite.merge_options(TABLES[role], documents)
    assert not told and not others
    assert opts == {name: option.default for name, option in TABLES[role].items()}


@pytest.mark.parametrize("role", TABLES)
def test_sample_says_of_every_option_what_its_row_says(role):
    assert (ROOT / "etc" / "salt" / role).read_text() == sample(role)
