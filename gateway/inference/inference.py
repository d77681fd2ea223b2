"""A metered call to a model provider: plan, admit, send, tap, settle.

Invariants:
- nothing is sent before its hold is taken; every hold taken here is settled here, whatever happens;
- a call is charged once, with the provider's own numbers where it gave them.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import msgspec

from gateway.billing.billing import Billing
from gateway.billing.operations import Admitted, Budget, CallOutcome, Payer, Rider, Settled
from gateway.billing.prices import CostBound, TokenUsage, bound_of, cost_of
from gateway.inference.dialects.dialect import RequestFacts, StreamTap, WireDialect
from gateway.inference.dialects.frames import FrameOverflow
from gateway.inference.estimate import input_token_bound, input_token_guess
from gateway.inference.models import Model, ModelCatalog
from gateway.inference.upstream import StreamBroke, Upstream, UpstreamResponse
from kit.errors import HeddleError, InvalidRequest, PermissionDenied, Unsupported, UpstreamFailed
from kit.json import NOT_JSON

_decode_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


@dataclass(frozen=True, slots=True)
class CallPlan:
    """A request that has been understood and priced, not yet paid for."""

    dialect: WireDialect
    facts: RequestFacts
    model: Model
    body: Mapping[str, Any]
    raw: bytes
    bound: CostBound

    def outgoing(self, granted_output_tokens: int, *, lowered: bool) -> bytes:
        """The body to send: the caller's very bytes unless something must be changed."""
        limit = granted_output_tokens // self.facts.choices if lowered else None
        patched = self.dialect.patch(self.body, self.facts, model=self.model.upstream_name, max_tokens=limit)
        if patched is None:
            return self.raw
        changed = {name: value for name, value in patched.items() if value is not self.body.get(name)}
        return msgspec.json.encode({**_decode_fields(self.raw), **changed})


class OpenCall:
    """A call whose provider has answered 2xx. Exactly one of its settling methods ends it."""

    def __init__(
        self, inference: "Inference", plan: CallPlan, admitted: Admitted, response: UpstreamResponse
    ) -> None:
        self._inference = inference
        self._response = response
        self._started = time.monotonic()
        self.plan = plan
        self.admitted = admitted
        self.content_type = response.content_type
        self.tap: StreamTap = plan.dialect.tap(plan.facts)
        self._broke: str | None = None

    @property
    def lowered_max_tokens(self) -> int | None:
        """The output limit that the payer could afford, where it is below what was asked for."""
        if not self.admitted.lowered:
            return None
        return self.admitted.max_output_tokens // self.plan.facts.choices

    async def stream(self) -> AsyncIterator[bytes]:
        """The bytes to forward; ends with error frames if the provider broke off."""
        last = b""
        try:
            async for chunk in self._response.chunks():
                shown = self.tap.feed(chunk)
                if shown:
                    last = shown
                    yield shown
            rest = self.tap.end()
            if rest:
                yield rest
            if not self.tap.complete and not self.tap.failed:
                self._broke = "upstream_broke_off"
        except StreamBroke as broke:
            self._broke = broke.code
        except FrameOverflow:
            self._broke = "upstream_invalid"
        if self._broke is not None:
            message = f"{self.plan.model.provider.name} broke off its answer"
            cut_off = last and not last.endswith((b"\n\n", b"\r\n\r\n"))
            yield (b"\n\n" if cut_off else b"") + self.plan.dialect.stream_error(message, self._broke)

    @property
    def broke(self) -> bool:
        """Whether the provider ended its stream before it was complete."""
        return self._broke is not None or self.tap.failed

    def usage(self) -> TokenUsage:
        """What the stream has used so far, as its tap saw it."""
        return self.tap.usage(input_token_guess(self.plan.raw))

    async def settle_stream(self, *, client_gone: bool = False, rider: Rider | None = None) -> Settled:
        """End a streamed call with what its tap saw."""
        self._response.close()
        usage = self.usage()
        if client_gone:
            status, code = "cancelled", "client_disconnected"
        elif self.broke:
            status, code = "error", self._broke or "upstream_error_event"
        else:
            status, code = "ok", None
        return await self._settle(usage, status, code, rider)

    async def read(self) -> tuple[bytes, Settled]:
        """Read a whole answer and settle it. Raises UpstreamFailed (settled at nothing) if it is unusable."""
        provider = self.plan.model.provider.name
        try:
            body = await self._response.read()
            parsed = msgspec.json.decode(body)
            if not isinstance(parsed, dict):
                raise msgspec.DecodeError("not an object")
        except asyncio.CancelledError:
            await self._settle(TokenUsage(), "cancelled", "client_disconnected", None)
            raise
        except StreamBroke as broke:
            await self._settle(TokenUsage(), "error", broke.code, None)
            raise UpstreamFailed(
                f"{provider} broke off its answer", code=broke.code, details={"provider": provider}
            ) from None
        except NOT_JSON:
            await self._settle(TokenUsage(), "error", "upstream_invalid", None)
            raise UpstreamFailed(
                f"{provider} sent something that is not JSON",
                code="upstream_invalid",
                details={"provider": provider},
            ) from None
        finally:
            self._response.close()
        usage = self.plan.dialect.response_usage(parsed)
        if usage is None:
            usage = TokenUsage(
                input_tokens=input_token_guess(self.plan.raw),
                output_tokens=input_token_guess(body),
                estimated=True,
            )
        return body, await self._settle(usage, "ok", None, None)

    async def _settle(self, usage: TokenUsage, status: str, code: str | None, rider: Rider | None) -> Settled:
        plan = self.plan
        outcome = CallOutcome(
            provider=plan.model.provider.name,
            model=plan.model.slug,
            status=status,
            http_status=self._response.status,
            usage=usage,
            cost=cost_of(usage, plan.model.price, self._inference.markup),
            error_code=code,
            latency_ms=round((time.monotonic() - self._started) * 1000),
        )
        return await self._inference.billing.settle(
            self.admitted.request_id, self.admitted.payer, outcome, rider=rider
        )


class Inference:
    """Plans and opens metered calls."""

    def __init__(
        self, catalog: ModelCatalog, billing: Billing, upstream: Upstream, *, markup: Decimal
    ) -> None:
        self.catalog = catalog
        self.billing = billing
        self.markup = markup
        self._upstream = upstream

    def plan(self, dialect: WireDialect, raw: bytes, *, allowed_models: tuple[str, ...] | None) -> CallPlan:
        """Understand and price a request. Raises InvalidRequest, NotFound, PermissionDenied, Unsupported."""
        body = parse_object(raw)
        facts = dialect.facts(body)
        if allowed_models is not None and facts.model not in allowed_models:
            raise PermissionDenied(
                f"this key may not use model {facts.model}", code="model_not_allowed", param="model"
            )
        model = self.catalog.resolve(facts.model)
        if dialect.name not in model.provider.base_urls:
            spoken = " and ".join(model.provider.base_urls)
            raise Unsupported(
                f"model {facts.model} is served by {model.provider.name}, which speaks {spoken}; "
                f"calling it in the {dialect.name} dialect is not available yet",
                code="dialect_unsupported",
                param="model",
            )
        per_choice = facts.max_tokens or model.output_limit
        bound = bound_of(
            model.price,
            self.markup,
            input_tokens=input_token_bound(raw, model.context_window),
            max_output_tokens=per_choice * facts.choices,
            min_output_tokens=facts.choices,
            web_searches=facts.web_searches,
        )
        return CallPlan(dialect, facts, model, body, raw, bound)

    async def open(
        self,
        plan: CallPlan,
        request_id: str,
        payer: Payer,
        client_headers: Mapping[str, str],
        *,
        budget: Budget | None = None,
    ) -> OpenCall:
        """Take the hold and send the request. Raises PaymentRequired (nothing sent), ProviderRefused or
        UpstreamFailed (released, recorded)."""
        admitted = await self.billing.admit(request_id, payer, plan.bound, budget=budget)
        started = time.monotonic()
        provider = plan.model.provider
        try:
            response = await self._upstream.post(
                provider.name,
                provider.base_urls[plan.dialect.name] + plan.dialect.path,
                plan.dialect.request_headers(provider.api_key, client_headers),
                plan.outgoing(admitted.max_output_tokens, lowered=admitted.lowered),
            )
        except BaseException as error:
            outcome = CallOutcome(
                provider=provider.name,
                model=plan.model.slug,
                status="error" if isinstance(error, Exception) else "cancelled",
                http_status=error.status if isinstance(error, HeddleError) else 499,
                error_code=error.code if isinstance(error, HeddleError) else None,
                latency_ms=round((time.monotonic() - started) * 1000),
            )
            await self.billing.settle(request_id, payer, outcome)
            raise
        return OpenCall(self, plan, admitted, response)


def parse_object(raw: bytes) -> dict[str, Any]:
    """The JSON object in a request's body. Raises InvalidRequest."""
    try:
        body = msgspec.json.decode(raw)
    except NOT_JSON as error:
        raise InvalidRequest(f"the body is not valid JSON: {error}", code="invalid_json") from None
    if not isinstance(body, dict):
        raise InvalidRequest("the body must be a JSON object", code="invalid_json")
    return body
