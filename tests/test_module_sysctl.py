"""sysctl: this machine's kernel is read; files are scratch ones, and what is set is what holds already."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from one_minion import Minion


@pytest.fixture
def minion(tmp_path):
    return Minion(tmp_path / "m", None)


def test_parameters_are_those_below_proc_sys(minion):
    found = minion("sysctl.show")
    assert found["kernel.ostype"] == "Linux" == minion("sysctl.get", "kernel.ostype")
    assert minion("sysctl.get", "kernel/ostype") == "Linux" and len(found) > 100
    for wrong in ("no.such.name", "kernel", "../../../etc/passwd", "kernel.ostype/../../../etc/passwd", "a\0b", "",
                  "/etc/passwd", ".etc.passwd", "//etc/passwd", "..etc.passwd"):  # fmt: skip
        assert minion.error("sysctl.get", wrong) == f"sysctl {wrong} does not exist"
        assert minion.error("sysctl.assign", wrong, 1) == f"sysctl {wrong} does not exist"


def test_an_interface_with_a_dot_is_written_with_a_slash(minion, tmp_path):
    (tmp_path / "net/ipv4/conf/eth0.7").mkdir(parents=True)
    (tmp_path / "net/ipv4/conf/eth0.7/forwarding").write_text("1\n")
    minion.execution.functions["sysctl.get"].__globals__["ROOT"] = str(tmp_path)
    assert minion("sysctl.get", "net.ipv4.conf.eth0/7.forwarding") == "1"
    assert minion("sysctl.get", "net/ipv4/conf/eth0.7/forwarding") == "1"
    assert minion("sysctl.show")["net.ipv4.conf.eth0/7.forwarding"] == "1"
    assert minion("sysctl.assign", "net.ipv4.conf.eth0/7.forwarding", 0, test=True) == (
        "net.ipv4.conf.eth0/7.forwarding would be 0; it is 1."
    )
    assert minion("sysctl.assign", "net.ipv4.conf.eth0/7.forwarding", 0) == {"net.ipv4.conf.eth0/7.forwarding": "0"}
    assert minion("sysctl.get", "net.ipv4.conf.eth0/7.forwarding") == "0"


def test_what_the_kernel_refuses_is_in_no_file(minion, tmp_path):
    path = tmp_path / "some.conf"
    path.write_text("a = b\n")
    assert "cannot be set to" in minion.error("sysctl.persist", "kernel.ostype", "Minix", str(path))
    assert path.read_text() == "a = b\n"


def test_a_file_is_changed_in_one_line_and_whole(minion, tmp_path):
    path = tmp_path / "conf.d/99.conf"
    assert minion("sysctl.persist", "kernel.ostype", "Linux", str(path), test=True) == (
        f"{path} would say kernel.ostype = Linux."
    )
    assert not path.parent.exists()
    assert minion("sysctl.persist", "kernel.ostype", "Linux", str(path)) == "Updated"
    assert path.read_text() == "#\n# Kernel sysctl configuration\n#\nkernel.ostype = Linux\n"
    assert minion("sysctl.persist", "kernel.ostype", "Linux", str(path)) == "Already set"
    assert minion("sysctl.persist", "kernel.ostype", "Linux", str(path), test=True) == "Already set"
    path.write_bytes(b"# kernel.ostype = x\r\n\xff\x0c\xc2\x85\nkernel.ostype=Minix\nvm.x  =  1   2")
    path.chmod(0o640)
    assert minion("sysctl.persist", "kernel.ostype", "Linux", str(path)) == "Updated"
    assert path.read_bytes() == b"# kernel.ostype = x\r\n\xff\x0c\xc2\x85\nkernel.ostype = Linux\nvm.x  =  1   2\n"
    assert path.stat().st_mode & 0o777 == 0o640 and os.listdir(path.parent) == ["99.conf"]
    assert minion("sysctl.show", str(path)) == {"kernel.ostype": "Linux", "vm.x": "1   2"}
    assert minion("sysctl.show", str(tmp_path / "none")) == []


@pytest.mark.parametrize(("name", "value"), [("kernel.ostype", "a\nb = c"), ("a\nb", 1), ("kernel.ostype = x #", "y")])
def test_nobody_smuggles_a_line_in(minion, tmp_path, name, value):
    path = tmp_path / "some.conf"
    assert "must be of one line" in minion.error("sysctl.persist", name, value, str(path)) and not path.exists()


def test_the_default_file_is_one_that_is_read(minion):
    found = minion("sysctl.default_config")
    booted = Path("/run/systemd/system").is_dir()
    assert found == ("/etc/sysctl.d/99-salt.conf" if booted else "/etc/sysctl.conf")
