"""A request for a stored response, read."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from kit.errors import InvalidRequest, NotFound, Unsupported
from kit.ids import new_id
from kit.request_body import check_storable

CONVERSATION_PREFIX = "conv_"
_OUTPUT = "function_call_output"
_NOT_OURS = ("prompt", "context_management")
"""Fields that stand for what only OpenAI keeps or does."""


@dataclass(frozen=True, slots=True)
class Asked:
    """``body`` has neither the input nor what says where it belongs. ``items`` is the input without the words
    of system and developer, which are ``system``; ``shown`` is all of it, with ids."""

    body: dict[str, Any]
    items: list[dict[str, Any]]
    system: list[str]
    shown: list[dict[str, Any]]
    conversation: str | None
    previous_id: str | None
    background: bool
    stream: bool

    @property
    def outputs(self) -> list[dict[str, Any]]:
        """The results of calls."""
        return [item for item in self.items if item.get("type") == _OUTPUT]

    @property
    def messages(self) -> list[dict[str, Any]]:
        return [item for item in self.items if item.get("type") != _OUTPUT]


def is_stored(body: Mapping[str, Any], *, by_default: bool) -> bool:
    """Whether a request is for a stored response. Raises InvalidRequest if it contradicts itself."""
    named = [name for name in ("background", "conversation", "previous_response_id") if body.get(name)]
    if body.get("store") is False and named:
        raise InvalidRequest(
            f"{named[0]}: needs a response that is stored, and store is false", param="store"
        )
    store = body.get("store")
    return bool(named) or store is True or (store is None and by_default)


def read_request(body: Mapping[str, Any]) -> Asked:
    """Raises InvalidRequest, Unsupported."""
    check_storable(body)
    for name in _NOT_OURS:
        if body.get(name):
            raise Unsupported(f"{name}: stored responses cannot have it", param=name)
    conversation = _conversation(body.get("conversation"))
    previous_id = _text(body, "previous_response_id")
    if conversation is not None and previous_id is not None:
        raise InvalidRequest(
            "previous_response_id: give either this or conversation", param="previous_response_id"
        )
    shown = read_items(body.get("input"))
    system = [_words(item) for item in shown if item.get("role") in ("system", "developer")]
    items = [item for item in shown if item.get("role") not in ("system", "developer")]
    if not items:
        raise InvalidRequest("input: expected a message of the user, or results of calls", param="input")
    return Asked(
        body={name: value for name, value in body.items() if name not in ("input", "conversation")},
        items=items,
        system=system,
        shown=shown,
        conversation=conversation,
        previous_id=previous_id,
        background=_flag(body, "background"),
        stream=_flag(body, "stream"),
    )


def read_items(given: Any, param: str = "input") -> list[dict[str, Any]]:
    """Items with ids and types. Raises InvalidRequest."""
    if isinstance(given, str):
        given = [{"role": "user", "content": given}]
    if not isinstance(given, list) or not given:
        raise InvalidRequest(f"{param}: expected a text or a list of items", param=param)
    items = []
    for number, item in enumerate(given):
        if not isinstance(item, dict):
            raise InvalidRequest(f"{param}[{number}]: expected an object", param=param)
        if item.get("type") is None and item.get("role") is not None:
            item = {"type": "message", **item}
        items.append({"id": new_id("msg" if item.get("type") == "message" else "item"), **item})
    return items


def thread_id_of(conversation: str) -> str:
    """The thread that a conversation is: its plain id, or ``conv_`` and its digits. Raises NotFound."""
    try:
        return str(UUID(conversation.removeprefix(CONVERSATION_PREFIX)))
    except ValueError:
        raise NotFound(f"conversation {conversation[:80]} not found", param="conversation") from None


def conversation_id_of(thread_id: str) -> str:
    return CONVERSATION_PREFIX + UUID(thread_id).hex


def _conversation(value: Any) -> str | None:
    if isinstance(value, dict):
        value = value.get("id")
        if value is None:
            raise InvalidRequest("conversation.id: expected the id of a conversation", param="conversation")
    if value is not None and not isinstance(value, str):
        raise InvalidRequest("conversation: expected an id, or an object with one", param="conversation")
    return value or None


def _words(item: Mapping[str, Any]) -> str:
    content = item.get("content")
    if isinstance(content, str):
        return content
    parts: Sequence[Any] = content if isinstance(content, list) else ()
    texts = [part.get("text") if isinstance(part, dict) else None for part in parts]
    if not texts or not all(isinstance(text, str) for text in texts):
        raise InvalidRequest("input: a system or developer message may hold texts only", param="input")
    return "\n".join(text for text in texts if text is not None)


def _text(body: Mapping[str, Any], name: str) -> str | None:
    value = body.get(name)
    if value is not None and not isinstance(value, str):
        raise InvalidRequest(f"{name}: expected a text", param=name)
    return value or None


def _flag(body: Mapping[str, Any], name: str) -> bool:
    value = body.get(name)
    if value is not None and not isinstance(value, bool):
        raise InvalidRequest(f"{name}: expected true or false", param=name)
    return bool(value)
