"""Fields of a request beside messages and tools: limits, sampling, reasoning, whose request it is."""

import hashlib
from typing import Any

from gateway.inference.dialects.neutral import Extra, Reasoning, Request
from gateway.inference.dialects.openai_chat.encoding import Encoding
from gateway.inference.dialects.openai_chat.extras import extra, form, own_fields
from gateway.inference.dialects.openai_chat.reading import Fields, wrong

_MAX_USER_LENGTH = 64
"""OpenAI refuses a longer ``user``; Anthropic's clients send longer ones."""
_SERVICE_TIERS = {"auto", "default", "flex", "scale", "priority", "fast", "on_demand", "performance"}
"""OpenAI's, and Groq's last two."""
_FOREIGN_TIERS = {"standard_only": "default"}
_REASONING_FIELDS = ("reasoning_effort", "reasoning", "thinking", "include_reasoning", "reasoning_format")
_EFFORT_BUDGETS = ((2_048, "low"), (12_288, "medium"))
"""Up to how many thinking tokens a budget is an effort; above, it is high."""
_SHARED = ("prompt_cache_key", "prompt_cache_retention", "safety_identifier", "metadata", "store")
"""Fields that OpenAI's two dialects have in common."""


def decode_reasoning(body: Fields) -> Reasoning | None:
    """``reasoning_effort``, OpenRouter's ``reasoning``, ``thinking`` of Z.ai, Moonshot and DeepSeek, and
    Groq's fields for what is shown. They are kept as they were, too."""
    raw = {name: value for name in _REASONING_FIELDS if (value := body.peek(name)) is not None}
    effort, found = body.text("reasoning_effort"), Reasoning()
    wanted = body.object("reasoning")
    if wanted is not None:
        effort = wanted.text("effort") or effort
        found.budget_tokens = wanted.whole("max_tokens", least=0)
        found.enabled = wanted.flag("enabled")
        exclude = wanted.flag("exclude")
        found.show = None if exclude is None else not exclude
    thinking = body.object("thinking")
    if thinking is not None:
        found.enabled = {"enabled": True, "disabled": False}.get(thinking.text("type") or "")
        found.budget_tokens = thinking.whole("budget_tokens", least=0)
    shown, layout = body.flag("include_reasoning"), body.text("reasoning_format")
    if shown is not None:
        found.show = shown
    elif layout is not None:
        found.show = layout != "hidden"
    found.effort = effort
    if not raw:
        return None
    found.extra = extra({} if set(raw) == {"reasoning_effort"} else raw)
    return found


def encode_reasoning(reasoning: Reasoning | None, encoding: Encoding) -> dict[str, Any]:
    if reasoning is None:
        return {}
    own = encoding.keep(reasoning.extra, "reasoning")
    if own:
        return own
    effort = reasoning.effort
    if effort is None and reasoning.budget_tokens is not None and reasoning.enabled is not False:
        effort = next((word for most, word in _EFFORT_BUDGETS if reasoning.budget_tokens <= most), "high")
    if reasoning.budget_tokens is not None:
        encoding.drop("reasoning.budget_tokens")
    if reasoning.enabled is False and effort is None:
        encoding.drop("reasoning.enabled")
    if reasoning.show is not None:
        encoding.drop("reasoning.show")
    return {} if effort is None else {"reasoning_effort": effort}


def decode_user(body: Fields) -> str | None:
    """``user``, or what took its place for abuse reports (it is kept in the rest too)."""
    user = body.text("user")
    fallback = body.peek("safety_identifier")
    return user if user is not None or not isinstance(fallback, str) else fallback


def encode_user(request: Request) -> dict[str, Any]:
    if request.user is None or own_fields(request.extra).get("safety_identifier") == request.user:
        return {}
    if len(request.user) > _MAX_USER_LENGTH:
        return {"user": hashlib.sha256(request.user.encode("utf-8", "replace")).hexdigest()}
    return {"user": request.user}


def decode_stop(body: Fields) -> list[str]:
    stop = body.peek("stop")
    if isinstance(stop, str):
        return [body.required_text("stop")]
    sequences = []
    for path, item in body.items("stop") or ():
        if not isinstance(item, str):
            raise wrong(path, "a text")
        sequences.append(item)
    return sequences


def encode_tier(tier: str | None, encoding: Encoding) -> dict[str, Any]:
    tier = _FOREIGN_TIERS.get(tier or "", tier)
    if tier is None:
        return {}
    if tier not in _SERVICE_TIERS:
        encoding.drop("service_tier")
        return {}
    return {"service_tier": tier}


def encode_sampling(request: Request, encoding: Encoding) -> dict[str, Any]:
    fields: dict[str, Any] = {
        name: value
        for name in ("temperature", "top_p", "seed", "presence_penalty", "frequency_penalty", "top_logprobs")
        if (value := getattr(request, name)) is not None
    }
    if request.stop:
        fields["stop"] = request.stop[0] if form(request.extra, "stop") == "text" else request.stop
    if request.choices != 1:
        fields["n"] = request.choices
    if request.logprobs:
        fields["logprobs"] = True
    if request.top_k is not None and "top_k" not in own_fields(request.extra):
        encoding.drop("top_k")
    return fields


def encode_limit(request: Request, encoding: Encoding) -> dict[str, Any]:
    """The limit under the name that the client used, unless the provider knows only ``max_tokens``."""
    if request.max_tokens is None:
        return {}
    name: str = encoding.quirks.max_tokens_field
    return {form(request.extra, "limit") or name: request.max_tokens}


def encode_extra(request: Request, encoding: Encoding) -> dict[str, Any]:
    """The unknown fields as they were; of a request in OpenAI's other dialect, those that mean the same."""
    kept = request.extra
    if kept is None or kept.dialect != "openai-responses" or kept.essential:
        return encoding.keep(kept, "extra")
    rest = dict(kept.fields)
    shared = {name: rest.pop(name) for name in _SHARED if rest.get(name) is not None}
    text = rest.pop("text", None)
    if isinstance(text, dict) and text.get("verbosity") is not None:
        shared["verbosity"] = text["verbosity"]
    encoding.keep(Extra(dialect=kept.dialect, fields=rest), "extra")
    return shared
