"""Requests: ``POST /chat/completions`` (platform.openai.com, API reference: Chat)."""

from collections.abc import Mapping
from typing import Any

from gateway.inference.dialects.codec import Encoded, Target
from gateway.inference.dialects.fields import MAX_TOKENS_LIMIT, text_field
from gateway.inference.dialects.neutral import Request
from gateway.inference.dialects.openai_chat.encoding import Encoding
from gateway.inference.dialects.openai_chat.extras import extra, form
from gateway.inference.dialects.openai_chat.history import encode_messages, instruction
from gateway.inference.dialects.openai_chat.messages import decode_messages
from gateway.inference.dialects.openai_chat.parameters import (
    decode_reasoning,
    decode_stop,
    decode_user,
    encode_extra,
    encode_limit,
    encode_reasoning,
    encode_sampling,
    encode_tier,
    encode_user,
)
from gateway.inference.dialects.openai_chat.reading import Fields
from gateway.inference.dialects.openai_chat.schemas import decode_output, encode_output
from gateway.inference.dialects.openai_chat.terms import TERMS
from gateway.inference.dialects.openai_chat.tools import decode_choice, decode_tools, encode_tools
from gateway.inference.dialects.openai_chat.wire import MAX_CHOICES


def decode_request(body: Mapping[str, Any]) -> Request:
    """Raises InvalidRequest naming the field and what was expected."""
    fields = Fields(body)
    fields.take("model")
    system, messages = decode_messages(fields)
    limit, spelling = _decode_limit(fields)
    if isinstance(body.get("stop"), str):
        spelling["stop"] = "text"
    stream = fields.flag("stream") or False
    usage = _decode_stream_options(fields)
    request = Request(
        model=text_field(body, "model"),
        messages=messages,
        system=system,
        tools=decode_tools(fields),
        tool_choice=decode_choice(fields),
        parallel_tools=fields.flag("parallel_tool_calls"),
        max_tokens=limit,
        stream=stream,
        stream_usage=usage,
        stop=decode_stop(fields),
        temperature=fields.number("temperature"),
        top_p=fields.number("top_p"),
        top_k=_decode_top_k(fields),
        seed=fields.whole("seed"),
        presence_penalty=fields.number("presence_penalty"),
        frequency_penalty=fields.number("frequency_penalty"),
        choices=fields.whole("n", least=1, most=MAX_CHOICES) or 1,
        logprobs=fields.flag("logprobs") or False,
        top_logprobs=fields.whole("top_logprobs", least=0),
        reasoning=decode_reasoning(fields),
        output=decode_output(fields),
        user=decode_user(fields),
        service_tier=fields.text("service_tier"),
    )
    request.extra = extra(fields.rest(), no_usage=stream and not usage, **spelling)
    if request.extra is not None and "audio" in _modalities(fields):
        request.extra.essential.append("modalities")
    return request


def _modalities(fields: Fields) -> list[Any]:
    return [kind for _, kind in fields.items("modalities") or ()]


def _decode_limit(fields: Fields) -> tuple[int | None, dict[str, Any]]:
    """The newer name wins; the older one is kept beside it."""
    newer = fields.whole("max_completion_tokens", least=1, most=MAX_TOKENS_LIMIT)
    if newer is not None:
        return newer, {}
    return fields.whole("max_tokens", least=1, most=MAX_TOKENS_LIMIT), {"limit": "max_tokens"}


def _decode_top_k(fields: Fields) -> int | None:
    """Not OpenAI's, but vLLM's and OpenRouter's; it stays in the rest for them."""
    return None if fields.peek("top_k") is None else Fields({"top_k": fields.peek("top_k")}).whole("top_k")


def _decode_stream_options(fields: Fields) -> bool:
    """What else is in it stays in the rest."""
    given = fields.peek("stream_options")
    if given is None:
        return False
    options = Fields(given, "stream_options")
    usage = options.flag("include_usage") or False
    if not options.rest() and usage:
        fields.take("stream_options")
    return usage


def encode_request(request: Request, target: Target) -> Encoded:
    """Raises Unsupported naming the field that the target cannot honour and that may not be left out."""
    encoding = Encoding(target)
    messages = encode_messages(request.system, request.messages, encoding)
    output, told = encode_output(request, encoding)
    if told is not None:
        messages = _with_instruction(messages, told, encoding)
    body: dict[str, Any] = {
        "model": target.model,
        "messages": messages,
        **encode_tools(request, encoding),
        **encode_limit(request, encoding),
        **encode_sampling(request, encoding),
        **encode_reasoning(request.reasoning, encoding),
        **output,
        **encode_user(request),
        **encode_tier(request.service_tier, encoding),
        **_stream_fields(request),
        **encode_extra(request, encoding),
    }
    _adapt(body, encoding)
    return Encoded(body, tuple(encoding.dropped))


def _with_instruction(messages: list[dict[str, Any]], told: str, encoding: Encoding) -> list[dict[str, Any]]:
    """An instruction of ours, after the client's own if they are one text."""
    if (
        messages
        and messages[0]["role"] in {"system", "developer"}
        and isinstance(messages[0]["content"], str)
    ):
        first = {**messages[0], "content": f"{messages[0]['content']}\n\n{told}"}
        return [first, *messages[1:]]
    return [instruction(told, encoding), *messages]


def _stream_fields(request: Request) -> dict[str, Any]:
    """Usage is asked for whether or not the client wants it shown; only a client of this dialect that did not
    ask keeps its request as it was."""
    if not request.stream:
        return {}
    wanted = request.stream_usage or not form(request.extra, "no_usage")
    return {"stream": True, **({"stream_options": {"include_usage": True}} if wanted else {})}


def _adapt(body: dict[str, Any], encoding: Encoding) -> None:
    """Take out what the provider does not know, refuse what it cannot honour."""
    quirks = encoding.quirks
    if not quirks.stream_usage_option:
        body.pop("stream_options", None)
    if quirks.seed_field != "seed" and "seed" in body:
        body[quirks.seed_field] = body.pop("seed")
    if quirks.max_tokens_field == "max_tokens" and "max_completion_tokens" in body:
        body.setdefault("max_tokens", body["max_completion_tokens"])
        del body["max_completion_tokens"]
    for name in sorted(quirks.refused & body.keys()):
        raise encoding.refuse(TERMS.neutral(name), "cannot honour this field")
    for name in sorted(quirks.unsupported & body.keys()):
        del body[name]
        encoding.drop(TERMS.neutral(name))
