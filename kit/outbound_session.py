"""The guarded aiohttp session: for tenant-chosen URLs that are called often, as webhooks are.

The same promises as ``kit/outbound.py``, kept at aiohttp's two seams: names are resolved by the policy, and
every socket is made here, for the very address that it is about to be connected to (an address in a URL is
never resolved, so the first alone would not do).
"""

import ipaddress
import socket
from collections.abc import Sequence
from typing import Any

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from kit.outbound import BlockedAddress, OutboundPolicy, tls_context

KEEP_ALIVE_S = 15.0
MAX_HEADERS = 100
MAX_HEADER_BYTES = 8190
"""Of one header, and of the status line."""


class BlockedConnection(OSError):
    """The target is not a public address and the operator has not allowed it."""


class _GuardedResolver(AbstractResolver):
    def __init__(self, policy: OutboundPolicy) -> None:
        self._policy = policy

    async def resolve(
        self,
        host: str,
        port: int = 0,
        family: socket.AddressFamily = socket.AF_UNSPEC,  # noqa: ARG002
    ) -> list[ResolveResult]:
        try:
            addresses = await self._policy.resolve(host, port)
        except BlockedAddress as refusal:
            raise BlockedConnection(refusal.message) from None
        except UnicodeError:
            raise OSError(f"{host} cannot be the name of a host") from None
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=0,
                flags=socket.AI_NUMERICHOST,
            )
            for address in addresses
        ]

    async def close(self) -> None:
        """It holds nothing."""


def guarded_session(
    policy: OutboundPolicy,
    *,
    traces: Sequence[aiohttp.TraceConfig] = (),
    max_sockets: int = 0,
    max_header_bytes: int = MAX_HEADER_BYTES,
) -> aiohttp.ClientSession:
    """A session for tenant-chosen URLs: guarded sockets, no environment proxies, no cookies, bounded headers,
    bodies as they come (compressed ones are not unpacked). The caller turns redirects off with each request,
    and bounds times, bodies and the number of calls: the pool does not unless ``max_sockets`` is given, for
    all tenants share it."""

    def guarded_socket(info: Any) -> socket.socket:
        family, kind, protocol, _, where = info
        if not policy.allows(ipaddress.ip_address(where[0])):
            raise BlockedConnection(f"{where[0]} is not a public address and is not allowed by the operator")
        return socket.socket(family, kind, protocol)

    connector = aiohttp.TCPConnector(
        limit=max_sockets,
        ssl=tls_context(),
        keepalive_timeout=KEEP_ALIVE_S,
        use_dns_cache=False,
        resolver=_GuardedResolver(policy),
        socket_factory=guarded_socket,
    )
    return aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        trust_env=False,
        max_line_size=max_header_bytes,
        max_field_size=max_header_bytes,
        max_headers=MAX_HEADERS,
        trace_configs=list(traces),
    )
