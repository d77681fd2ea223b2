"""Understanding and pricing a request before anything is paid or sent."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Protocol

import msgspec

from gateway.billing.prices import CostBound, Counts, bound_of
from gateway.inference.dialects.carried import carries_foreign
from gateway.inference.dialects.codec import Target
from gateway.inference.dialects.dialect import RequestFacts
from gateway.inference.dialects.neutral import Request
from gateway.inference.dialects.registry import PROVIDER_DIALECTS, ClientDialect, Dialect
from gateway.inference.estimate import InputEstimate, estimate_input, family_of, middling
from gateway.inference.models import Model, ModelCatalog
from gateway.inference.passage import Crossing, Passage, SameDialect
from gateway.inference.tool_schemas.fitting import rules_of
from gateway.inference.tool_schemas.offering import ToolOffer
from kit.errors import InvalidRequest, PermissionDenied, Unsupported
from kit.json import NOT_JSON

DEFAULT_MAX_TOKENS = 8_192
"""Sent where the provider demands a limit, the caller set none and the model's own is not known."""


_DEARER_TIERS = frozenset({"priority", "fast"})
_MEDIA_MARKS = {"audio": b"audio", "image": b"image", "video": b"video"}
"""What is found in a body that holds such input, which is dearer than text with some models."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """One model that could answer, and the way to it."""

    model: Model
    passage: Passage


@dataclass(frozen=True, slots=True)
class CallPlan:
    """A request that has been understood and priced, not yet paid for. The candidates are tried in order;
    ``bound`` covers the dearest of them."""

    facts: RequestFacts
    candidates: tuple[Candidate, ...]
    raw: bytes
    bound: CostBound
    markup: Decimal
    input_tokens: int = 0
    """As estimated from the request itself, a little above what the provider will count."""

    @property
    def input_guess(self) -> int:
        """A middling value, where the provider never counted."""
        return middling(self.input_tokens)

    def limit_per_choice(self, granted_output_tokens: int) -> int:
        return granted_output_tokens // self.facts.choices


@dataclass(frozen=True, slots=True)
class Way:
    """How a request reaches a model's provider, the most that it can cost there, and the input tokens told
    from the request itself."""

    passage: Passage
    bound: CostBound
    input_tokens: int = 0


class MediaRequest(Protocol):
    """A request for images, speech or a transcription, as its client made it."""

    @property
    def facts(self) -> RequestFacts: ...

    def way(self, model: Model, markup: Decimal) -> Way:
        """Raises Unsupported if the model cannot serve it, or has no price for it."""
        ...


class Planner:
    """Makes plans from clients' requests."""

    def __init__(self, catalog: ModelCatalog) -> None:
        self._catalog = catalog

    def plan(
        self,
        dialect: ClientDialect,
        raw: bytes,
        markup: Decimal,
        *,
        allowed_models: tuple[str, ...] | None,
        offer: ToolOffer | None = None,
    ) -> CallPlan:
        """With an ``offer`` the schemas of the request's tools are fitted to each provider. Raises
        InvalidRequest, NotFound, PermissionDenied, Unsupported."""
        body = parse_object(raw)
        facts = dialect.wire.facts(body)

        def way(model: Model) -> Way:
            passage = _passage(dialect, model, facts, body, raw, offer)
            _check_prices(model, facts, passage.tools)
            estimate = _input_estimate(passage, model)
            bound = bound_of(
                model.price,
                markup,
                input_tokens=estimate.bound(model.context_window),
                max_output_tokens=_most_output(facts, model),
                min_output_tokens=facts.choices,
                extras=passage.tools,
                media=[medium for medium, mark in _MEDIA_MARKS.items() if mark in raw],
                tier=facts.tier,
            )
            return Way(passage, bound, estimate.counted)

        return self._reachable(facts, raw, markup, way, allowed_models)

    def plan_media(
        self, request: MediaRequest, markup: Decimal, *, allowed_models: tuple[str, ...] | None
    ) -> CallPlan:
        """Raises NotFound, PermissionDenied, Unsupported."""
        return self._reachable(
            request.facts, b"", markup, lambda model: request.way(model, markup), allowed_models
        )

    def _reachable(
        self,
        facts: RequestFacts,
        raw: bytes,
        markup: Decimal,
        way: Callable[[Model], Way],
        allowed_models: tuple[str, ...] | None,
    ) -> CallPlan:
        """A plan with the models that can carry the request. Raises the first one's Unsupported if none
        can."""
        if allowed_models is not None and facts.model not in allowed_models:
            raise PermissionDenied(
                f"this key may not use model {facts.model}", code="model_not_allowed", param="model"
            )
        found: list[tuple[Model, Way]] = []
        refusal: Unsupported | None = None
        for model in self._catalog.candidates(facts.model):
            try:
                found.append((model, way(model)))
            except Unsupported as unsupported:
                refusal = refusal or unsupported
        if not found:
            assert refusal is not None
            raise refusal
        first = found[0][1]
        bound = first.bound if len(found) == 1 else CostBound.covering([one.bound for _, one in found])
        candidates = tuple(Candidate(model, one.passage) for model, one in found)
        return CallPlan(facts, candidates, raw, bound, markup, first.input_tokens)


def _input_estimate(passage: SameDialect | Crossing, model: Model) -> InputEstimate:
    """Of what is really sent, which is the caller's body unless it is translated."""
    family = family_of(passage.provider_dialect, model.provider.name, model.upstream_name)
    return estimate_input(passage.body, family)


def _most_output(facts: RequestFacts, model: Model) -> int:
    """The most output tokens, of all choices together."""
    return (facts.max_tokens or model.output_limit) * facts.choices if facts.generates else 0


def _passage(
    dialect: ClientDialect,
    model: Model,
    facts: RequestFacts,
    body: Mapping[str, Any],
    raw: bytes,
    offer: ToolOffer | None,
) -> SameDialect | Crossing:
    """Bytes through where the provider speaks the client's dialect, else the first of its dialects that can
    carry the request. A conversation that carries another maker's signatures is translated always: this
    provider must not see them."""
    if dialect.name in model.provider.base_urls and not carries_foreign(raw):
        if offer is not None:
            body, raw = offer.anthropic(body, raw)
        return SameDialect(dialect.wire, facts, model.upstream_name, body, raw, model.provider.quirks)
    if dialect.codec is None:
        spoken_here = " and ".join(model.provider.base_urls)
        raise Unsupported(
            f"model {facts.model} is served by {model.provider.name}, which speaks {spoken_here}: "
            "it has no such route",
            param="model",
        )
    request = dialect.codec.decode_request(body)
    refusal: Unsupported | None = None
    spoken = [name for name in model.provider.base_urls if name in PROVIDER_DIALECTS]
    spoken.sort(key=lambda name: name != dialect.name)
    if not spoken:
        raise Unsupported(
            f"model {facts.model} is served by {model.provider.name}, which holds no conversations: "
            "it has no such route",
            param="model",
        )
    for name in spoken:  # the client's own first, then the provider's preferred
        try:
            fitted = (
                request if offer is None else offer.request(request, rules_of(name, model.provider.quirks))
            )
            return _crossing(dialect, PROVIDER_DIALECTS[name], fitted, model)
        except Unsupported as unsupported:
            refusal = refusal or unsupported
    assert refusal is not None, "each dialect either carries a request or refuses it"
    raise refusal


def _check_prices(model: Model, facts: RequestFacts, tools: Counts) -> None:
    """Raises Unsupported (``model_not_priced``) if the request can use what has no price."""
    lacking = model.price.lacks(("input", "output") if facts.generates else ("input",))
    if lacking is not None:
        raise _not_priced(f"model {facts.model} has no price for {lacking}: set one under [models]", "model")
    name = model.provider.stands_in_for or model.provider.name
    tool = model.price.lacks(tool for tool, _ in tools)
    if tool is not None:
        raise _not_priced(
            f"{tool} runs at {name} and has no price for model {facts.model}: set one in "
            f"tool_usd under [providers.{name}], or in unit_usd under [models]",
            "tools",
        )
    if facts.tier in _DEARER_TIERS and facts.tier not in model.price.tiers:
        raise _not_priced(
            f"model {facts.model} has no price for tier {facts.tier}: set one in tiers under [models]",
            "service_tier",
        )


def _not_priced(message: str, param: str) -> Unsupported:
    return Unsupported(message, code="model_not_priced", param=param)


def _crossing(client: ClientDialect, provider: Dialect, request: Request, model: Model) -> Crossing:
    if request.max_tokens is None and provider.requires_max_tokens:
        limit = model.max_output_tokens or DEFAULT_MAX_TOKENS
        request = msgspec.structs.replace(request, max_tokens=limit)
    target = Target(
        provider=model.provider.name,
        model=model.upstream_name,
        origin=provider.origin_of(model.provider.name),
        quirks=model.provider.quirks,
    )
    return Crossing.plan(client, provider, request, target)


def parse_object(raw: bytes) -> dict[str, Any]:
    """The JSON object in a request's body. Raises InvalidRequest."""
    try:
        body = msgspec.json.decode(raw)
    except NOT_JSON as error:
        raise InvalidRequest(f"the body is not valid JSON: {error}", code="invalid_json") from None
    if not isinstance(body, dict):
        raise InvalidRequest("the body must be a JSON object", code="invalid_json")
    return body
