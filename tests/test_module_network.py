"""network: against this machine's own sockets and addresses."""

from __future__ import annotations

import os
import socket
import threading

import pytest
from one_minion import Minion


@pytest.fixture
def minion(tmp_path):
    return Minion(tmp_path / "m", None)


def test_addresses_are_those_of_the_interfaces(minion):
    found = minion("network.interfaces")
    assert found["lo"]["inet"][0] | {"label": "lo"} == {
        "address": "127.0.0.1", "netmask": "255.0.0.0", "broadcast": None, "label": "lo",
    }  # fmt: skip
    every = minion("network.ip_addrs", include_loopback=True)
    assert "127.0.0.1" in every and "127.0.0.1" not in minion("network.ip_addrs")
    assert minion("network.ip_addrs", "lo", True) == ["127.0.0.1"] == minion("network.ip_addrs", ["l?"], True)
    assert minion("network.ip_addrs", "x,lo", True, cidr="127.0.0.0/8") == ["127.0.0.1"]
    assert minion("network.ip_addrs", include_loopback=True, type="public") == [
        each for each in every if not minion("network.is_private", each)
    ]
    assert minion("network.interface_ip", "lo") == "127.0.0.1" and minion("network.hw_addr", "lo").startswith("00:")
    said = minion("network.interface", "none")
    assert said.startswith('Interface "none" not in available interfaces: "') and '"lo"' in said


def test_without_ip_psutil_is_asked(minion, tmp_path):
    names = {"network.ip_addrs": {"include_loopback": True}, "network.ip_addrs6": {"include_loopback": True}}
    by_ip = [minion(fun, **kwargs) for fun, kwargs in names.items()]
    subnets = minion("network.subnets"), minion("network.subnets6")
    minion.execution.functions["network.interfaces"].__globals__["SEARCHED"] = str(tmp_path)
    assert [minion(fun, **kwargs) for fun, kwargs in names.items()] == by_ip
    assert (minion("network.subnets"), minion("network.subnets6")) == subnets
    assert minion("network.interfaces")["lo"]["up"] is True


def test_what_ip_says_in_json(minion):
    of = minion.execution.functions["network.interfaces"].__globals__["_interface_of"]
    two = [
        {"family": "inet", "local": "10.0.0.1", "prefixlen": 24, "broadcast": "10.0.0.255", "label": "e:1"},
        {"family": "inet", "local": "10.0.0.2", "prefixlen": 32, "secondary": True},
        {"family": "inet6", "local": "fe80::1", "prefixlen": 64, "scope": "link"},
    ]
    assert of({"ifname": "e", "flags": ["UP"], "address": "02:00", "link": None, "addr_info": two}) == {
        "up": True,
        "hwaddr": "02:00",
        "parent": "NONE",
        "inet": [{"address": "10.0.0.1", "netmask": "255.255.255.0", "broadcast": "10.0.0.255", "label": "e:1"}],
        "secondary": [
            {"type": "inet", "address": "10.0.0.2", "netmask": "255.255.255.255", "broadcast": None, "label": "e"}
        ],
        "inet6": [{"address": "fe80::1", "prefixlen": "64", "scope": "link"}],
    }
    assert of({"ifname": "e", "link_index": 5}) == {"up": False, "parent": "if5"}


@pytest.mark.parametrize(("fun", "args", "value"), [
    ("calc_net", ["172.17.0.5", "255.255.255.240"], "172.17.0.0/28"), ("calc_net", ["10.0.0.1/8"], "10.0.0.0/8"),
    ("in_subnet", ["10.0.0.0/8", "10.1.1.1"], True), ("in_subnet", ["10.0.0.0/8", ["8.8.8.8", "10.0.0.1"]], True),
    ("in_subnet", ["nonsense", "10.1.1.1"], False), ("ip_in_subnet", ["8.8.8.8", "10.0.0.0/8"], False),
    ("convert_cidr", ["10.1.2.3/16"], {"network": "10.1.0.0", "netmask": "255.255.0.0", "broadcast": "10.1.255.255"}),
    ("reverse_ip", ["10.0.0.1"], "1.0.0.10.in-addr.arpa"), ("iphexval", ["10.0.0.1"], "0A000001"),
    ("is_loopback", ["::1"], True), ("is_private", ["8.8.8.8"], False),
])  # fmt: skip
def test_addresses_are_reckoned_with(minion, fun, args, value):
    assert minion(f"network.{fun}", *args) == value


@pytest.mark.parametrize("fun", ["calc_net", "is_private", "iphexval", "reverse_ip", "get_route"])
def test_what_is_no_address_is_said_to_be_none(minion, fun):
    assert "does not appear to be an IP" in minion.error(f"network.{fun}", "ten; reboot")


def test_connections_are_seen_and_tried(minion):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        assert minion("network.connect", "127.0.0.1", port) == {
            "result": True, "comment": f"Successfully connected to 127.0.0.1 (127.0.0.1) on tcp port {port}",
        }  # fmt: skip
        with socket.create_connection(("127.0.0.1", port)) as one:
            mine = one.getsockname()[1]
            rows = minion("network.active_tcp").values()
            assert {
                "local_addr": "127.0.0.1",
                "local_port": mine,
                "remote_addr": "127.0.0.1",
                "remote_port": port,
            } in rows
            found = [row for row in minion("network.netstat") if row["local-address"] == f"127.0.0.1:{port}"]
        states = {row["state"]: row for row in found}
        assert states["LISTEN"]["remote-address"] == "0.0.0.0:*" and states["LISTEN"]["proto"] == "tcp"
        assert states["LISTEN"]["program"].startswith(f"{os.getpid()}/")
        assert states["LISTEN"]["user"] == str(os.geteuid()) and "ESTABLISHED" in states
    refused = minion("network.connect", "127.0.0.1", port, timeout=1)
    assert refused == {"result": False, "comment": f"Unable to connect to 127.0.0.1 (127.0.0.1) on tcp port {port}"}
    assert minion("network.connect", "127.0.0.1")["comment"] == "Required argument, port, is missing."
    assert "Unable to resolve" in minion("network.connect", "::1", 80, family="ipv4")["comment"]


def test_udp_needs_an_answer(minion):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as answerer:
        answerer.bind(("127.0.0.1", 0))
        port = answerer.getsockname()[1]
        assert minion("network.connect", "127.0.0.1", port, proto="udp", timeout=0.2)["result"] is False
        answerer.recvfrom(255)
        thread = threading.Thread(target=lambda: answerer.sendto(b"yes", answerer.recvfrom(255)[1]))
        thread.start()
        assert minion("network.connect", "127.0.0.1", port, proto="udp", timeout=5)["result"] is True
        thread.join()
        assert f"127.0.0.1:{port}" in [
            row["local-address"] for row in minion("network.netstat") if "udp" in row["proto"]
        ]


def test_routes_have_the_letters_of_netstat(minion):
    module = minion.execution.functions["network.routes"].__globals__
    letters, four, six = module["_letters"], module["ROUTE_FLAGS"], module["ROUTE_FLAGS_6"]
    assert [letters(flags, four) for flags in (1, 3, 7, 5, 0x201)] == ["U", "UG", "UGH", "UH", "!"]
    assert [letters(flags, six) for flags in (0x80200001, 0x00200200, 0x40003)] == ["Un", "!n", "UGA"]
    for row in minion("network.routes"):
        assert row.keys() == {"addr_family", "destination", "gateway", "netmask", "flags", "interface"}
    assert all("!" not in row["flags"] for row in minion("network.default_route"))
    assert minion.error("network.routes", "inet5") == "Invalid address family inet5"
    assert minion("network.get_route", "127.0.0.1")["interface"] == "lo"


@pytest.mark.parametrize(("given", "asked"), [
    ("example.org", "example.org"), ("-f;example.org", "fexample.org"), ("::1", "::1"), ("a b$(x)", "abx"),
])  # fmt: skip
def test_a_host_is_one_word_of_a_command_and_no_option(minion, tmp_path, given, asked):
    for name in ("ping", "dig"):
        (tmp_path / name).write_text('#!/bin/sh\necho "$@"\necho no >&2\nexit 1\n')
        (tmp_path / name).chmod(0o755)
    minion.execution.functions["network.ping"].__globals__["SEARCHED"] = f"{tmp_path}:/bin"
    assert minion("network.ping", given, timeout=3) == f"-W 3 -c 4 {asked}\nno"
    assert (
        minion("network.dig", given) == f"{asked}\nno" and minion("network.ping", given, return_boolean=True) is False
    )
    assert "neither a name nor an address" in minion.error("network.ping", "$-;")
    for length in (254, 255):
        assert minion("network.dig", "x" * length) == "x" * length + "\nno"
    assert "neither a name nor an address" in minion.error("network.dig", "x" * 256)


def test_a_program_that_is_not_there_is_named(minion, tmp_path):
    minion.execution.functions["network.ping"].__globals__["SEARCHED"] = str(tmp_path)
    assert minion.error("network.ping", "127.0.0.1") == "ping is not installed on this machine."


# what changes something, or speaks to others


def test_the_machines_name_is_changed_where_it_stands(minion, tmp_path, monkeypatch):
    """With a program `hostname` that takes its argument down: the machine keeps its name."""
    own, old = minion.execution.functions["network.mod_hostname"].__globals__, socket.gethostname()
    hosts = tmp_path / "hosts"
    text = f"127.0.0.1\tlocalhost\n127.0.1.1  {old}.example.org {old} # {old}x\n# {old}\n"
    hosts.write_text(text)
    (tmp_path / "hostname").write_text(
        f'#!/bin/sh\n[ "$1" != no.way ] || {{ echo no >&2; exit 1; }}; echo "$@" > {tmp_path}/said\n'
    )
    (tmp_path / "hostname").chmod(0o755)
    own |= {"HOSTS_FILE": str(hosts), "HOSTNAME_FILE": str(tmp_path / "name"), "SEARCHED": str(tmp_path)}
    monkeypatch.setattr(own["os"].path, "isdir", lambda path: False)  # no systemd
    said = minion("network.mod_hostname", "web9.example.org", test=True)
    assert said == f"Would run hostname web9.example.org and write 1 lines of {hosts}. Nothing was changed."
    assert hosts.read_text() == text and not (tmp_path / "said").exists()
    assert minion.error("network.mod_hostname", "no.way") == "hostname no.way: no"
    assert hosts.read_text() == text and not (tmp_path / "name").exists()
    assert minion("system.set_computer_name", "web9.example.org") is True
    assert (tmp_path / "said").read_text() == (tmp_path / "name").read_text() == "web9.example.org\n"
    assert hosts.read_text() == text.replace(f" {old} ", " web9.example.org ")


@pytest.mark.parametrize(("name", "good"), [
    ("a", True), ("a" * 64, True), ("a" * 65, False), ("", False), ("-a", False), ("a b", False), ("a\n", False),
    ("$(id)", False), (None, False), (7, True), ("a.", False), ("a..b", False),
])  # fmt: skip
def test_names_of_machines_are_checked(minion, name, good):
    ret, _, success = minion.run("network.mod_hostname", name, test=True)
    assert success is good and ("Would run" in ret if good else "is no name of a machine" in ret)


def test_a_packet_that_wakes_is_sent(minion):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.settimeout(10)
        assert minion("network.wol", "02-00-27-13-69-7f", "127.0.0.1", listener.getsockname()[1]) is True
        assert listener.recv(200) == b"\xff" * 6 + bytes.fromhex("02002713697f") * 16
    for wrong in (("02",), ("02002713697f", "no such host.invalid"), ("02002713697f", "127.0.0.1", 70000)):
        assert "hardware address" in (said := minion.error("network.wol", *wrong)) or "Nothing was sent" in said
