"""Which age of the protocol a server speaks, remembered so that it is found out once.

Since 2026-07-28 a client may call at once, without a handshake (Versioning, "Discovery"); before that each
connection begins with ``initialize``. What a server turned out to speak is kept for an hour, and forgotten
at once when it refuses a call that was made so.
"""

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

import mcp_types
from mcp import MCPError
from mcp.client import ClientSession
from mcp_types.version import HANDSHAKE_PROTOCOL_VERSIONS, MODERN_PROTOCOL_VERSIONS

MAX_SERVERS = 5_000
KEPT_S = 3600.0
MAX_CAPABILITIES_CHARS = 16_384
LEGACY = "legacy"


@dataclass(frozen=True)
class Era:
    """``mode``: how the SDK's client is opened: ``legacy``, or a stateless revision with what the server
    said of itself."""

    mode: str
    discovered: mcp_types.DiscoverResult | None = None


class Eras:
    """The eras of the servers that were met last, by server id."""

    def __init__(self, *, kept_s: float = KEPT_S) -> None:
        self._kept_s = kept_s
        self._eras: OrderedDict[str, tuple[float, Era]] = OrderedDict()

    def get(self, server_id: str, now: float) -> Era | None:
        seen_at, era = self._eras.get(server_id, (0.0, None))
        if era is None or now - seen_at > self._kept_s:
            return None
        self._eras.move_to_end(server_id)
        return era

    def learn(self, server_id: str, session: ClientSession, now: float) -> None:
        """Note what a session was opened with."""
        era = _era_of(session)
        if era is None:
            return
        self._eras[server_id] = (now, era)
        self._eras.move_to_end(server_id)
        if len(self._eras) > MAX_SERVERS:
            self._eras.popitem(last=False)

    def forget(self, server_id: str) -> None:
        self._eras.pop(server_id, None)


def _era_of(session: ClientSession) -> Era | None:
    """Without the server's instructions and metadata, which nobody here reads; None if it says too much."""
    version, capabilities = session.protocol_version, session.server_capabilities
    if version not in MODERN_PROTOCOL_VERSIONS:
        return Era(LEGACY)
    assert version is not None and capabilities is not None
    if len(capabilities.model_dump_json()) > MAX_CAPABILITIES_CHARS:
        return None
    said = mcp_types.DiscoverResult(
        supported_versions=[version],
        capabilities=capabilities,
        result_type="complete",
        ttl_ms=0,
        cache_scope="private",
    )
    return Era(version, said)


async def initialize_as_named(session: ClientSession) -> mcp_types.InitializeResult:
    """The handshake; once more at a revision that the server names when it refuses ours.

    A server should answer with a revision of its own instead (2025-11-25, Lifecycle, "Version Negotiation"),
    but the same chapter shows the refusal, with ``supported`` in its data. Raises MCPError.
    """
    try:
        return await ClientSession.initialize(session)
    except MCPError as refused:
        version = _named(refused.error.data)
        if version is None:
            raise
    result = await session.send_request(
        mcp_types.InitializeRequest(
            params=mcp_types.InitializeRequestParams(
                protocol_version=version,
                capabilities=session._build_capabilities(version),
                client_info=session._client_info,
            )
        ),
        mcp_types.InitializeResult,
    )
    if result.protocol_version not in HANDSHAKE_PROTOCOL_VERSIONS:
        raise MCPError(
            mcp_types.UNSUPPORTED_PROTOCOL_VERSION, "the server named another version, then refused it"
        )
    session.adopt(result)
    await session.send_notification(mcp_types.InitializedNotification())
    return result


def _named(data: Any) -> str | None:
    """The newest handshake revision among those that a refusal names, unless it is the one just refused."""
    named = data.get("supported") if isinstance(data, dict) else None
    if not isinstance(named, list):
        return None
    mutual = [version for version in HANDSHAKE_PROTOCOL_VERSIONS if version in named]
    if not mutual or mutual[-1] == HANDSHAKE_PROTOCOL_VERSIONS[-1]:
        return None
    return mutual[-1]
