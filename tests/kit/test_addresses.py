"""Which addresses are public, and which an URL's host stands for, in every disguise that some client sees
through."""

import ipaddress

import pytest

from kit.addresses import NoSuchHost, is_public, literal_address, reached_by
from kit.outbound import OutboundPolicy, parse_networks

NOTHING_PRIVATE = OutboundPolicy()
OWN_NETWORK = OutboundPolicy(parse_networks("10.0.0.0/8, fd00::/8"))


@pytest.mark.parametrize(
    "address",
    [
        # this host, private, shared, link-local
        "127.0.0.1", "127.255.255.254", "0.0.0.0", "0.1.2.3", "10.1.2.3", "172.16.0.1", "172.31.255.255",
        "192.168.1.1", "100.64.0.1", "100.127.255.255", "169.254.1.1",
        # cloud platforms: AWS and most others, Alibaba, Oracle, Azure
        "169.254.169.254", "169.254.170.2", "100.100.100.200", "192.0.0.192", "168.63.129.16",
        "fd00:ec2::254", "fe80::a9fe:a9fe",
        # reserved, documentation, benchmarks, multicast, broadcast, relays
        "192.0.0.8", "192.0.2.1", "198.51.100.1", "203.0.113.1", "198.18.0.1", "240.0.0.1", "224.0.0.1",
        "239.255.255.255", "255.255.255.255", "192.88.99.1",
        # the same of IPv6
        "::", "::1", "fe80::1", "febf::1", "fec0::1", "fc00::1", "fdff::1", "ff02::1", "ff0e::1", "100::1",
        "2001:db8::1", "3fff::1", "5f00::1", "64:ff9b:1::1", "4000::1",
        # IPv4 inside IPv6: mapped, compatible, NAT64, 6to4, Teredo, ISATAP
        "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "::127.0.0.1", "64:ff9b::7f00:1",
        "64:ff9b::a9fe:a9fe", "2002:7f00:1::", "2002:a9fe:a9fe::1", "2001:0:4136:e378:8000:63bf:80ff:fffe",
        "fe80::5efe:127.0.0.1",
    ],
)  # fmt: skip
def test_these_are_not_public(address: str) -> None:
    assert not NOTHING_PRIVATE.allows(ipaddress.ip_address(address))


@pytest.mark.parametrize(
    "address",
    ["1.1.1.1", "8.8.8.8", "100.63.255.255", "172.32.0.1", "2606:4700:4700::1111", "2a00:1450::1",
     "::ffff:8.8.8.8", "64:ff9b::808:808"],
)  # fmt: skip
def test_these_are(address: str) -> None:
    assert NOTHING_PRIVATE.allows(ipaddress.ip_address(address))


def test_every_public_ipv6_address_is_of_the_part_that_is_given_out() -> None:
    for first in range(0, 0x10000, 7):
        if is_public(ipaddress.IPv6Address(first << 112 | 0x1234)):
            assert 0x2000 <= first <= 0x3FFF


@pytest.mark.parametrize(
    ("address", "allowed"),
    [("10.9.9.9", True), ("::ffff:10.9.9.9", True), ("64:ff9b::a09:909", True), ("fd12::1", True),
     ("11.0.0.1", True), ("192.168.0.1", False), ("2002:a09:909::1", False), ("169.254.169.254", False)],
)  # fmt: skip
def test_what_the_operator_lists_is_allowed_and_nothing_beside_it(address: str, allowed: bool) -> None:
    assert OWN_NETWORK.allows(ipaddress.ip_address(address)) is allowed


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1", "2130706433", "0x7f000001", "0X7F000001", "017700000001", "0177.0.0.1", "0x7f.0.0.1",
        "127.1", "127.0.1", "0x7f.1", "127.0.0.1.", "127.0.0.1..", "１２７.0.0.1", "127。0。0。1",
        "①②⑦.⓪.⓪.①", "127．0．0．1", "localhost", "LocalHost", "localhost.", "ⓛocalhost", "a.b.localhost",
        "foo.localhost.",
    ],
)  # fmt: skip
def test_loopback_in_disguise_is_recognised(host: str) -> None:
    assert literal_address(host) == ipaddress.ip_address("127.0.0.1")


@pytest.mark.parametrize("host", ["[::ffff:7f00:1]", "::ffff:127.0.0.1", "0:0:0:0:0:ffff:7f00:0001"])
def test_a_mapped_address_is_what_it_leads_to(host: str) -> None:
    address = literal_address(host)
    assert address is not None and str(reached_by(address)) == "127.0.0.1"


@pytest.mark.parametrize(
    "host", ["example.com", "1.example.com", "127.0.0.1.nip.io", "0x7f.example", "xn--bcher-kva.example"]
)
def test_a_name_is_a_name(host: str) -> None:
    assert literal_address(host) is None


@pytest.mark.parametrize(
    "host", ["256.0.0.1", "1.2.3.4.5", "127.0.0.1.1", "09.0.0.1", "example.0x7f", "4294967296", "a.1",
             "fe80::1%eth0", "[::1%25lo]", "::1::", "1:2:3"],
)  # fmt: skip
def test_what_ends_in_a_number_and_is_no_address_is_no_host(host: str) -> None:
    with pytest.raises(NoSuchHost):
        literal_address(host)
