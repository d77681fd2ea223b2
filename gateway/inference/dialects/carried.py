"""Opaque data of one dialect that travels inside another dialect's fields.

A provider's signature must come back with the thought or the call that it signs, and only clients remember
the conversation. So it is wrapped into a field that the client's dialect replays unread (a thinking block's
``signature``, a ``redacted_thinking``'s ``data``, a reasoning item's ``encrypted_content``, a tool id) and
unwrapped when it comes back. What is not wrapped is the client dialect's own.

Which field carries what:

===================  ==========================================  ============================================
client dialect       thoughts of another maker                   a Google signature of a tool call
===================  ==========================================  ============================================
anthropic            ``thinking.signature``, or the ``data`` of   a ``redacted_thinking`` right before the
                     a ``redacted_thinking``                     ``tool_use``, its ``item_id`` the tool id
openai-chat          ``reasoning_details[]`` beside              the tool id
                     ``reasoning_content``
openai-responses     ``reasoning`` item's ``encrypted_content``  the ``call_id``
===================  ==========================================  ============================================

The form is ``hdl1.<origin>.<payload>`` in unpadded base64url parts; in tool ids ``<id>__hdl1_<payload>``,
because they may hold only letters, digits, ``_`` and ``-``.
"""

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass

import msgspec

_PREFIX = "hdl1."
_ID_MARK = "__hdl1_"


@dataclass(frozen=True, slots=True)
class Carried:
    """What was wrapped: ``origin`` as in ``neutral.Thinking``, and the maker's own string."""

    origin: str
    data: str
    item_id: str | None = None


def wrap(carried: Carried) -> str:
    """Printable ASCII without quotes, spaces or backslashes."""
    payload = msgspec.json.encode([carried.data, carried.item_id])
    return f"{_PREFIX}{_encoded(carried.origin.encode())}.{_encoded(payload)}"


def unwrap(text: str) -> Carried | None:
    """None for anything that ``wrap`` did not make."""
    if not text.startswith(_PREFIX):
        return None
    origin, dot, payload = text.removeprefix(_PREFIX).partition(".")
    if not dot:
        return None
    try:
        data, item_id = msgspec.json.decode(_decoded(payload), type=tuple[str, str | None])
        return Carried(_decoded(origin).decode(), data, item_id)
    except (ValueError, msgspec.MsgspecError):
        return None


def carries_foreign(raw: bytes) -> bool:
    """Whether a request's body may hold something that was wrapped here."""
    return _PREFIX.encode() in raw or _ID_MARK.encode() in raw


def with_signature(tool_id: str, signature: str | None) -> str:
    """A tool id that carries a Google thought signature."""
    return tool_id if signature is None else f"{tool_id}{_ID_MARK}{_encoded(signature.encode())}"


def split_signature(tool_id: str) -> tuple[str, str | None]:
    """The tool id as it was, and the signature that it carries."""
    bare, mark, payload = tool_id.rpartition(_ID_MARK)
    if not mark:
        return tool_id, None
    try:
        return bare, _decoded(payload).decode()
    except ValueError:
        return tool_id, None


def fitting_id(tool_id: str, *, pattern: str, max_length: int) -> str:
    """The id if a provider takes it (``pattern`` for all of it), else one made of it, the same every time."""
    if len(tool_id) <= max_length and re.fullmatch(pattern, tool_id):
        return tool_id
    digest = base64.b32encode(hashlib.sha256(tool_id.encode("utf-8", "replace")).digest()).decode()
    return digest[: min(max_length, 24)]


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _decoded(text: str) -> bytes:
    """Raises ValueError."""
    if not text.isascii():
        raise ValueError("not base64url")
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except binascii.Error as error:
        raise ValueError(str(error)) from None
