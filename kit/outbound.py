"""Safe outbound HTTP: requests to addresses that a tenant chose reach only public hosts.

The check is made on the very address that is connected to (the name is resolved here and the connection
goes to the resolved IP), so a DNS answer that changes between check and use gains nothing. Of an answer with
several addresses the private ones are never tried. Redirects are not followed, cookies not kept.
``OutboundPolicy`` lists the private networks that the operator allows.
"""

import asyncio
import ipaddress
import socket
import ssl
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any
from urllib.parse import urlsplit

import httpcore
import httpx

from kit.addresses import IPAddress, NoSuchHost, is_public, literal_address, reached_by
from kit.errors import InvalidRequest

IPNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network

LOOPBACK = ("127.0.0.0/8", "::1/128")


class BlockedAddress(InvalidRequest):
    """The target is not a public address and the operator has not allowed it."""

    code = "blocked_address"


def parse_networks(text: str) -> tuple[IPNetwork, ...]:
    """Comma-separated networks; ``loopback`` stands for 127.0.0.0/8 and ::1. Raises ValueError."""
    networks: list[IPNetwork] = []
    for part in filter(None, (piece.strip() for piece in text.split(","))):
        names: Iterable[str] = LOOPBACK if part == "loopback" else (part,)
        networks.extend(ipaddress.ip_network(name) for name in names)
    return tuple(networks)


@dataclass(frozen=True)
class OutboundPolicy:
    """Which addresses tenant-chosen targets may have, beyond the public ones."""

    private_networks: tuple[IPNetwork, ...] = field(default=())

    def allows(self, address: IPAddress) -> bool:
        reached = reached_by(address)
        return is_public(reached) or any(
            reached.version == network.version and reached in network for network in self.private_networks
        )

    def check_url(self, url: str, *, param: str) -> None:
        """Refuse at registration what could never be called. Raises InvalidRequest naming ``param``.

        https always; plain http only to a literal address, or ``localhost``, in an allowed private network.
        """
        try:
            parts = urlsplit(url)
            host, _ = parts.hostname, parts.port
            literal = literal_address(host) if host else None
        except ValueError:  # NoSuchHost too
            raise InvalidRequest(f"{param} has a host or a port that cannot be", param=param) from None
        if not url.isprintable() or " " in url or "\\" in url:
            raise InvalidRequest(f"{param} has spaces, backslashes or control characters", param=param)
        if parts.scheme not in {"http", "https"} or not host:
            raise InvalidRequest(f"{param} must be an https URL", param=param)
        if parts.username is not None or parts.password is not None:
            raise InvalidRequest(f"{param} must not hold credentials", param=param)
        if literal is not None and not self.allows(literal):
            raise BlockedAddress(f"{param} points at a private address that is not allowed", param=param)
        if parts.scheme == "http" and (literal is None or is_public(reached_by(literal))):
            raise InvalidRequest(
                f"{param} must be https (plain http only to private addresses that the operator allows)",
                param=param,
            )

    async def resolve(self, host: str, port: int) -> list[str]:
        """The allowed IP addresses of a host. Raises BlockedAddress if it has none, OSError if unknown."""
        try:
            literal = literal_address(host)
        except NoSuchHost:
            raise OSError(f"{host} is no address") from None
        if literal is not None:
            found: list[IPAddress] = [literal]
        else:
            infos = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
            found = list(dict.fromkeys(ipaddress.ip_address(info[4][0]) for info in infos))
        allowed = [str(address) for address in found if self.allows(address)]
        if not allowed:
            raise BlockedAddress(f"{host} is not a public address and is not allowed by the operator")
        return allowed


class GuardedBackend(httpcore.AsyncNetworkBackend):
    """Connects only to addresses that the policy allows."""

    def __init__(self, policy: OutboundPolicy) -> None:
        self._policy = policy
        self._inner = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Any = None,
    ) -> httpcore.AsyncNetworkStream:
        try:
            addresses = await self._policy.resolve(host, port)
        except (OSError, UnicodeError) as error:
            raise httpcore.ConnectError(f"cannot resolve {host}") from error
        except BlockedAddress as error:
            raise httpcore.ConnectError(error.message) from error
        last: Exception | None = None
        for address in addresses:
            try:
                return await self._inner.connect_tcp(address, port, timeout, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                last = error
        assert last is not None
        raise last

    async def connect_unix_socket(self, *_args: Any, **_kwargs: Any) -> httpcore.AsyncNetworkStream:
        raise httpcore.ConnectError("unix sockets are not reachable")

    async def sleep(self, seconds: float) -> None:
        await self._inner.sleep(seconds)


@cache
def tls_context() -> ssl.SSLContext:
    """The one client context of the process: reading the system's certificates takes 25 ms each time."""
    return ssl.create_default_context()


def guarded_client(policy: OutboundPolicy, *, timeout_s: float = 30.0) -> httpx.AsyncClient:
    """An httpx client for tenant-chosen URLs: guarded sockets, no redirects, no environment proxies, and no
    cookies: what one tenant's call is given is not for another's at the same host."""
    transport = httpx.AsyncHTTPTransport(verify=tls_context(), trust_env=False)
    transport._pool = httpcore.AsyncConnectionPool(
        ssl_context=tls_context(),
        max_connections=200,
        max_keepalive_connections=50,
        keepalive_expiry=30.0,
        http1=True,
        network_backend=GuardedBackend(policy),
    )
    return httpx.AsyncClient(
        transport=transport,
        timeout=timeout_s,
        follow_redirects=False,
        trust_env=False,
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),
    )
