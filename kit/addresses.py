"""Which IP addresses are public, and which address a host of a URL stands for without being looked up."""

import ipaddress
import re
import socket
import unicodedata

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address

_LOOPBACK = ipaddress.IPv4Address("127.0.0.1")
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")
_V6_SPECIAL = tuple(
    ipaddress.IPv6Network(block)
    for block in (
        "2001::/23",  # IETF protocol assignments (RFC 2928), Teredo among them: nothing that serves HTTP
        "2001:db8::/32",  # documentation (RFC 3849)
        "2002::/16",  # 6to4 (RFC 7526): leads to an IPv4 address
        "3fff::/20",  # documentation (RFC 9637)
    )
)
_V4_SPECIAL = tuple(
    ipaddress.IPv4Network(block)
    for block in (
        "192.0.0.0/24",  # IETF protocol assignments (RFC 6890); Oracle's metadata is at 192.0.0.192
        "192.88.99.0/24",  # 6to4 relays (RFC 7526)
        "168.63.129.16/32",  # Azure's platform address, public in form (learn.microsoft.com, "What is IP
        # address 168.63.129.16?")
    )
)
_NUMERIC_END = re.compile(r"(^|\.)(\d+|0x[0-9a-f]*)$")


class NoSuchHost(ValueError):
    """A host that looks like a number, and is no address."""


def is_public(address: IPAddress) -> bool:
    """Whether an address is a unicast one of the internet's, for anybody: not of this host, a private or
    shared network, a link, a cloud's platform, a tunnel, or of a range that is reserved."""
    if isinstance(address, ipaddress.IPv6Address):
        return address in _GLOBAL_UNICAST and not any(address in block for block in _V6_SPECIAL)
    special = any(address in block for block in _V4_SPECIAL)
    return address.is_global and not (address.is_multicast or address.is_reserved or special)


def reached_by(address: IPAddress) -> IPAddress:
    """The IPv4 address that an IPv6 address leads to, if it is mapped (RFC 4291, 2.5.5.2) or behind NAT64
    (RFC 6052); else the address itself."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address


def literal_address(host: str) -> IPAddress | None:
    """The address that a URL's host is, in any form that some client takes for one: a decimal, hexadecimal,
    octal or shortened IPv4 address, wide digits, dots of other scripts; loopback for ``localhost`` and what
    is below it. None for a name.

    Raises NoSuchHost where the last label is a number (which no name has) but the whole is no address, and
    for an IPv6 address with a zone, which is of one link.
    Source: WHATWG URL, 3.5 "Host parsing" ("ends in a number").
    """
    plain = unicodedata.normalize("NFKC", host).replace("。", ".").strip("[]").rstrip(".").lower()
    if plain == "localhost" or plain.endswith(".localhost"):
        return _LOOPBACK
    if ":" in plain:
        try:
            address = ipaddress.ip_address(plain)
        except ValueError:
            raise NoSuchHost(host) from None
        if "%" in plain:
            raise NoSuchHost(host)
        return address
    if not _NUMERIC_END.search(plain):
        return None
    try:
        return ipaddress.IPv4Address(socket.inet_aton(plain))
    except OSError:
        raise NoSuchHost(host) from None
