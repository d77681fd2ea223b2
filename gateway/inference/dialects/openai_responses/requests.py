"""Requests of OpenAI Responses (developers.openai.com, API reference: Responses, Create)."""

from collections.abc import Mapping
from typing import Any

from gateway.inference.dialects.codec import Encoded, Target
from gateway.inference.dialects.fields import MAX_TOKENS_LIMIT
from gateway.inference.dialects.neutral import (
    Extra,
    HiddenThinking,
    Message,
    Request,
    Text,
    Thinking,
)
from gateway.inference.dialects.openai_responses.encoding import Encoding
from gateway.inference.dialects.openai_responses.input_decoding import Conversation
from gateway.inference.dialects.openai_responses.input_encoding import encode_messages, encode_system
from gateway.inference.dialects.openai_responses.reading import NAME, Reader, extra, own, refuse
from gateway.inference.dialects.openai_responses.settings import (
    ENCRYPTED_REASONING,
    LOGPROBS,
    decode_reasoning_options,
    decode_text_options,
    encode_include,
    encode_output,
    encode_reasoning_options,
)
from gateway.inference.dialects.openai_responses.terms import TERMS
from gateway.inference.dialects.openai_responses.tools import (
    decode_choice,
    decode_tool,
    encode_choice,
    encode_tools,
)
from kit.errors import Unsupported

_STATE = ("previous_response_id", "conversation", "prompt", "background")
"""Fields that stand for content or ways of working which only OpenAI has."""

_SHARED_WITH_CHAT = ("metadata", "store", "prompt_cache_key", "prompt_cache_retention", "safety_identifier")
"""Fields that OpenAI Chat has in the same form."""

_TIERS = {"auto", "default", "flex", "scale", "priority", "fast", "ultrafast"}


def decode_request(body: Mapping[str, Any]) -> Request:
    """Raises InvalidRequest naming the field."""
    reader = Reader(body)
    request = Request(model=reader.text("model"), messages=[])
    essential = [name for name in _STATE if reader.peek(name)]
    _decode_input(reader, request, essential)
    _decode_tools(reader, request)
    _decode_numbers(reader, request)
    if reader.peek("reasoning") is not None:
        request.reasoning = decode_reasoning_options(reader.take("reasoning"))
    if reader.peek("text") is not None:
        request.output, kept = decode_text_options(reader.take("text"))
        if kept or request.output is None:
            reader.keep("text" if kept.keys() - {"format"} else "_text", kept)
    request.logprobs = _decode_include(reader)
    stream = reader.flag("stream")
    if stream is False:
        reader.keep("_stream", False)
    request.stream = request.stream_usage = bool(stream)
    request.user = reader.maybe_text("safety_identifier")
    if request.user is None and reader.peek("user") is not None:
        request.user = reader.text("user")
        reader.keep("_user", "user")
    request.service_tier = reader.maybe_text("service_tier")
    request.extra = Extra(dialect=NAME, fields=reader.fields(), essential=essential)
    return request


def _decode_input(reader: Reader, request: Request, essential: list[str]) -> None:
    instructions = reader.maybe_text("instructions")
    conversation = Conversation()
    value = reader.take("input")
    if isinstance(value, str):
        note = extra({"_input": "text"})
        conversation.messages = [Message(role="user", content=[Text(text=value)], extra=note)]
    elif isinstance(value, list):
        for number, item in enumerate(value):
            conversation.add(item, f"input[{number}]")
        if not value:
            reader.keep("_input", [])
    elif value is not None or not set(essential) & {"previous_response_id", "conversation", "prompt"}:
        refuse("input", "a text or a list of items")
    request.system = [Text(text=instructions)] if instructions is not None else []
    request.system += conversation.system
    request.messages = conversation.messages
    essential += conversation.essential


def _decode_tools(reader: Reader, request: Request) -> None:
    tools = reader.maybe_list("tools")
    if tools == []:
        reader.keep("_tools", [])
    request.tools = [decode_tool(tool, f"tools[{number}]") for number, tool in enumerate(tools or ())]
    choice = reader.take("tool_choice")
    request.tool_choice = None if choice is None else decode_choice(choice)
    request.parallel_tools = reader.flag("parallel_tool_calls")


def _decode_numbers(reader: Reader, request: Request) -> None:
    request.max_tokens = reader.integer("max_output_tokens", 1, MAX_TOKENS_LIMIT)
    request.temperature = reader.number("temperature", 0, 2)
    request.top_p = reader.number("top_p", 0, 1)
    request.top_logprobs = reader.integer("top_logprobs", 0, 20)


def _decode_include(reader: Reader) -> bool:
    """Whether logprobs are wanted. The list stays in the rest, as a note if others miss nothing of it."""
    include = reader.maybe_list("include")
    if include is None:
        return False
    known = all(name in (LOGPROBS, ENCRYPTED_REASONING) for name in include)
    reader.keep("_include" if known else "include", include)
    return LOGPROBS in include


def encode_request(request: Request, target: Target) -> Encoded:
    """Raises Unsupported naming what this dialect cannot carry and may not leave out."""
    made_here = request.extra is not None and request.extra.dialect == NAME
    encoding = Encoding(target, own=made_here)
    _refuse_impossible(request)
    body: dict[str, Any] = {"model": target.model}
    kept = _kept(request, encoding)
    text = kept.pop("text", None)
    body |= _without_notes(kept)
    text = kept.get("_text") if text is None else text
    _encode_input(request, body, encoding)
    _encode_tools(request, body, encoding)
    _encode_settings(request, body, kept, encoding)
    if request.output is not None:
        text = (text or {}) | {"format": encode_output(request.output, encoding)}
    if text is not None:
        body["text"] = text
    _honour_quirks(body, encoding)
    return Encoded(body, tuple(encoding.dropped))


def _refuse_impossible(request: Request) -> None:
    if request.choices > 1:
        raise Unsupported("choices: this model API gives one answer per request", param="choices")
    if request.stop:
        raise Unsupported("stop: this model API has no stop sequences", param="stop")


def _kept(request: Request, encoding: Encoding) -> dict[str, Any]:
    """The fields to write as they were; those that OpenAI Chat shares are taken over from its requests."""
    foreign = request.extra
    if foreign is not None and foreign.dialect == "openai-chat" and not foreign.essential:
        kept = {name: value for name, value in foreign.fields.items() if name in _SHARED_WITH_CHAT}
        rest = {name: value for name, value in foreign.fields.items() if name not in _SHARED_WITH_CHAT}
        verbosity = rest.pop("verbosity", None)
        if verbosity is not None:
            kept["text"] = {"verbosity": verbosity}
        foreign = Extra(dialect=foreign.dialect, fields=rest)
    else:
        kept = {}
    kept |= encoding.kept(foreign, "extra")
    if not encoding.own:
        kept.setdefault("store", False)  # no other dialect keeps answers unless asked to
    return kept


def _without_notes(kept: dict[str, Any]) -> dict[str, Any]:
    """The fields, with those that a note says were empty or false."""
    fields = {name: value for name, value in kept.items() if not name.startswith("_")}
    for name in ("stream", "tools", "input", "include"):
        if f"_{name}" in kept:
            fields[name] = kept[f"_{name}"]
    return fields


def _encode_input(request: Request, body: dict[str, Any], encoding: Encoding) -> None:
    instructions, before = encode_system(request.system, encoding)
    if instructions is not None:
        body["instructions"] = instructions
    only = request.messages[0] if len(request.messages) == 1 and not before else None
    if only is not None and "_input" in own(only.extra) and isinstance(only.content[0], Text):
        body["input"] = only.content[0].text
        return
    items = before + encode_messages(request.messages, encoding)
    if items or not encoding.own:
        body["input"] = items


def _encode_tools(request: Request, body: dict[str, Any], encoding: Encoding) -> None:
    tools, choice = encode_tools(request.tools, encoding), request.tool_choice
    if tools:
        body["tools"] = tools
    if choice is None:
        return
    encoded = encode_choice(choice, request.tools, encoding)
    if tools or encoding.own:
        body["tool_choice"] = encoded
    elif choice.mode in ("any", "tool"):
        raise Unsupported("tool_choice: this model has none of the tools", param="tool_choice")


def _encode_settings(
    request: Request, body: dict[str, Any], kept: dict[str, Any], encoding: Encoding
) -> None:
    if request.reasoning is not None:
        options = encode_reasoning_options(request.reasoning, encoding)
        if options is not None:
            body["reasoning"] = options
    include = encode_include(request, body.get("include"), encoding, thinks=_thinks(request, encoding))
    if include:
        body["include"] = include
    for name, value in (
        ("parallel_tool_calls", request.parallel_tools),
        ("max_output_tokens", request.max_tokens),
        ("temperature", request.temperature),
        ("top_p", request.top_p),
        ("top_logprobs", request.top_logprobs),
    ):
        if value is not None:
            body[name] = value
    if request.stream:
        body["stream"] = True
    if request.user is not None:
        body[kept.get("_user", "safety_identifier")] = request.user
    _encode_tier(request.service_tier, body, encoding)
    for name in ("top_k", "seed", "presence_penalty", "frequency_penalty"):
        if getattr(request, name) is not None:
            encoding.drop(name)


def _encode_tier(tier: str | None, body: dict[str, Any], encoding: Encoding) -> None:
    if tier is None:
        return
    if tier == "standard_only":  # Anthropic's word
        tier = "default"
    if tier in _TIERS or encoding.own:
        body["service_tier"] = tier
    else:
        encoding.drop("service_tier")


def _thinks(request: Request, encoding: Encoding) -> bool:
    """Whether the model is asked to think, or has thought before."""
    reasoning = request.reasoning
    if reasoning is not None and reasoning.enabled is not False:
        return True
    return any(
        isinstance(block, Thinking | HiddenThinking) and block.origin in (NAME, encoding.target.origin)
        for message in request.messages
        for block in message.content
    )


def _honour_quirks(body: dict[str, Any], encoding: Encoding) -> None:
    quirks = encoding.target.quirks
    for name in sorted(quirks.refused & body.keys()):
        field = TERMS.neutral(name)
        raise Unsupported(f"{field}: this model does not take it", param=field)
    for name in sorted(quirks.unsupported & body.keys()):
        del body[name]
        encoding.drop(TERMS.neutral(name))
