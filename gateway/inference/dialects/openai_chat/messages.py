"""A client's conversation, decoded: ``messages``."""

from typing import Any

from gateway.inference.dialects.carried import split_signature
from gateway.inference.dialects.neutral import (
    Block,
    Message,
    Refusal,
    ServerBlock,
    Text,
    ToolResult,
    ToolUse,
)
from gateway.inference.dialects.openai_chat.calls import decode_call
from gateway.inference.dialects.openai_chat.extras import DIALECT, extra, own_fields
from gateway.inference.dialects.openai_chat.parts import decode_cache, decode_part
from gateway.inference.dialects.openai_chat.reading import Fields, wrong
from gateway.inference.dialects.openai_chat.thoughts import decode_thoughts

_SYSTEM_ROLES = {"system", "developer"}
_ROLES = "system, developer, user, assistant, tool or function"


def decode_messages(body: Fields) -> tuple[list[Text], list[Message]]:
    """The instructions at the start, and the conversation after them. Results of tools that follow each
    other become one message, as they answer one."""
    values = body.items("messages")
    if not values:
        raise wrong("messages", "a list with at least one message")
    system: list[Text] = []
    conversation = Conversation()
    for path, value in values:
        message = Fields(value, path)
        role = message.required_text("role")
        if role in _SYSTEM_ROLES and not conversation.messages:
            system += _system(message, role)
        else:
            conversation.add(message, role)
    return system, conversation.messages


def _system(message: Fields, role: str) -> list[Text]:
    """Instructions; the first text of each message notes how its message was written."""
    content = message.peek("content")
    texts: list[Text] = []
    for part in _content(message):
        if not isinstance(part, Text):
            raise wrong(message.at("content"), "a text or a list of text parts")
        texts.append(part)
    spelling = {"role": role, "parts": isinstance(content, list), "rest": message.rest()}
    if texts:
        texts[0].extra = extra(own_fields(texts[0].extra), message=spelling)
    return texts


class Conversation:
    """Messages in the order in which they come, and the calls that await results."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self._calls = 0
        self._custom_calls: set[str] = set()
        self._legacy_calls: list[ToolUse] = []
        self._in_results = False

    def add(self, message: Fields, role: str) -> None:
        """Raises InvalidRequest naming what is wrong in it."""
        if role in {"tool", "function"}:
            self._add_result(message, legacy=role == "function")
            return
        self._in_results = False
        if role == "assistant":
            self.messages.append(self._assistant(message))
        elif role == "user":
            self.messages.append(_plain(message, _content(message)))
        elif role in _SYSTEM_ROLES:
            added = _plain(message, _content(message), developer=role == "developer")
            added.role = "system"
            self.messages.append(added)
        else:
            raise wrong(message.at("role"), _ROLES)

    def _add_result(self, message: Fields, *, legacy: bool) -> None:
        name = message.text("name")
        tool_id = self._legacy_id(message, name) if legacy else message.required_text("tool_call_id")
        content = message.peek("content")
        parts = _content(message)
        result = ToolResult(
            tool_use_id=split_signature(tool_id)[0],
            content=parts,
            name=name,
            cache=decode_cache(message),
            extra=extra(message.rest(), parts=_is_unusual_list(content, parts), legacy=legacy),
        )
        result.custom = result.tool_use_id in self._custom_calls
        if self._in_results:
            self.messages[-1].content.append(result)
        else:
            self.messages.append(Message(role="user", content=[result]))
            self._in_results = True

    def _legacy_id(self, message: Fields, name: str | None) -> str:
        for index, call in enumerate(self._legacy_calls):
            if call.name == name:
                return self._legacy_calls.pop(index).id
        raise wrong(message.at("name"), "the name of a function that was called before")

    def _assistant(self, message: Fields) -> Message:
        content = message.peek("content")
        raw = {name: message.peek(name) for name in ("reasoning_content", "reasoning", "reasoning_details")}
        thoughts, spelling, explained = decode_thoughts(raw, DIALECT)
        for field in explained:
            message.take(field)
        blocks: list[Block] = [*thoughts]
        if content == "":
            message.take("content")
        else:
            blocks += _content(message, optional=True)
        refusal = message.text("refusal")
        if refusal:
            blocks.append(Refusal(text=refusal))
        if message.peek("audio") is not None:
            audio = message.required_object("audio")
            audio.required_text("id")
            blocks.append(ServerBlock(dialect=DIALECT, data={"audio": dict(message.peek("audio"))}))
        blocks += self._tool_calls(message)
        return _plain(
            message,
            blocks,
            empty=content == "",
            parts=isinstance(content, list),
            **spelling,
        )

    def _tool_calls(self, message: Fields) -> list[ToolUse]:
        calls = []
        for path, value in message.items("tool_calls") or ():
            calls.append(decode_call(Fields(value, path), self._calls))
            self._calls += 1
        self._custom_calls |= {call.id for call in calls if call.custom}
        legacy = message.object("function_call")
        if legacy is not None:
            name, arguments = legacy.required_text("name"), legacy.text("arguments") or ""
            kept = extra({}, legacy=True)
            calls.append(ToolUse(id=f"call_{self._calls}", name=name, arguments=arguments, extra=kept))
            self._calls += 1
            self._legacy_calls.append(calls[-1])
        return calls


def _content(message: Fields, *, optional: bool = False) -> list[Block]:
    content = message.take("content")
    path = message.at("content")
    if isinstance(content, str):
        return [Text(text=content)]
    if content is None and optional:
        return []
    if not isinstance(content, list):
        raise wrong(path, "a text or a list of parts")
    return [decode_part(part, f"{path}[{index}]") for index, part in enumerate(content)]


def _is_unusual_list(content: Any, blocks: list[Block]) -> bool:
    """Whether a list stood where one would write a text: it is empty, or one bare text."""
    if not isinstance(content, list):
        return False
    return all(isinstance(block, Text) and block.extra is None for block in blocks)


def _plain(message: Fields, blocks: list[Block], **spelling: Any) -> Message:
    if message.peek("role") == "user":
        spelling["parts"] = _is_unusual_list(message.peek("content"), blocks)
    name = message.text("name")
    return Message(role=_role(message), content=blocks, name=name, extra=extra(message.rest(), **spelling))


def _role(message: Fields) -> Any:
    return "assistant" if message.peek("role") == "assistant" else "user"
