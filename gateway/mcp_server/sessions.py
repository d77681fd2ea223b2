"""Sessions of the handshake revisions (2025-11-25 and before), which are kept by their clients.

A session's id is its state, sealed: key, end user, revision, and what its client said in the handshake. So
any process can go on with it, a restart ends none, and one that its client never ends costs nothing here.

Invariants: nobody but us can make an id or read it; it is good only for the API key and the end user that
it was opened with, and for ``LIFETIME_MS``.
"""

from typing import Any

import msgspec
from mcp.server.request_state import InvalidRequestState, RequestStateCodec
from mcp_types.version import HANDSHAKE_PROTOCOL_VERSIONS, LATEST_HANDSHAKE_VERSION

from kit.caller import Caller
from kit.clock import Clock
from kit.errors import NotFound

PURPOSE = "heddle mcp session"
LIFETIME_MS = 7 * 24 * 3600 * 1000
MAX_ID_LENGTH = 2048


class HandshakeSession(msgspec.Struct, frozen=True):
    """What a client and we agreed on. ``opens_urls``: it can ask its user to open one (URL elicitation)."""

    key_id: str
    end_user_id: str | None
    version: str
    opens_urls: bool
    opened_at: int


class Sessions:
    def __init__(self, codec: RequestStateCodec, clock: Clock) -> None:
        """``codec``: seals alike in all processes of an installation."""
        self._codec = codec
        self._clock = clock

    def open(self, caller: Caller, end_user_id: str | None, handshake: Any) -> str:
        """The id of a session that begins with this ``initialize``, given its ``params``."""
        session = HandshakeSession(
            caller.key_id, end_user_id, _version(handshake), _opens_urls(handshake), self._clock.now_ms()
        )
        return self._codec.seal(msgspec.json.encode(session))

    def resume(self, session_id: str, caller: Caller) -> HandshakeSession:
        """Raises NotFound for what is no session of this key (any more): its client then opens another."""
        try:
            if len(session_id) > MAX_ID_LENGTH:
                raise InvalidRequestState("too long")
            session = msgspec.json.decode(self._codec.unseal(session_id), type=HandshakeSession)
        except (InvalidRequestState, msgspec.MsgspecError):
            raise _unknown() from None
        expired = self._clock.now_ms() - session.opened_at >= LIFETIME_MS
        if expired or session.key_id != caller.key_id:
            raise _unknown()
        return session


def _version(handshake: Any) -> str:
    """The revision that the handshake ends with: the one asked for, or else the newest that has one."""
    asked = handshake.get("protocolVersion") if isinstance(handshake, dict) else None
    return asked if asked in HANDSHAKE_PROTOCOL_VERSIONS else LATEST_HANDSHAKE_VERSION


def _opens_urls(handshake: Any) -> bool:
    place = handshake
    for name in ("capabilities", "elicitation", "url"):
        place = place.get(name) if isinstance(place, dict) else None
    return isinstance(place, dict)


def _unknown() -> NotFound:
    return NotFound(
        "there is no such MCP session (any more); begin another with initialize", code="session_not_found"
    )
