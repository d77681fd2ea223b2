"""The model of the turn engine: the metered inference behind the protocol that ``threads`` defines."""

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import replace
from typing import Any, TypeVar

import msgspec
from sqlmodel import Session

from gateway.billing.operations import Budget, CallOutcome, Payer
from gateway.billing.prices import TokenUsage, cost_of
from gateway.inference.dialects.frames import FrameSplitter, data_lines
from gateway.inference.dialects.registry import ANTHROPIC
from gateway.inference.estimate import Family, family_of, tokens_in_window
from gateway.inference.inference import Inference
from gateway.inference.models import Model
from gateway.inference.open_call import OpenCall
from gateway.inference.passage import in_clients_form
from gateway.inference.plan import CallPlan
from gateway.inference.tool_schemas.fitting import SchemaFitter, rules_of
from gateway.inference.tool_schemas.offering import ToolOffer
from gateway.inference.tool_schemas.restored_stream import RestoredStream
from gateway.inference.upstream import ProviderRefused
from kit.errors import HeddleError
from kit.json import NOT_JSON
from kit.money import Nanos
from threads.model_client import (
    CostRecorder,
    LeaseLost,
    ModelFacts,
    ModelStep,
    ModelStream,
    ModelStreamBroke,
    StepCost,
)

T = TypeVar("T")

DEFAULT_MAX_TOKENS = 4_096


class TurnModel:
    """Implements ``threads.model_client.ModelClient``: threads speak Anthropic's dialect, whatever the
    provider speaks.

    The schemas of their tools are fitted to whom they are sent to, and the arguments of calls come back as
    the tools declared them: threads and tools never see an adapted schema.
    """

    def __init__(self, inference: Inference) -> None:
        self._inference = inference
        self._offer = ToolOffer(SchemaFitter())

    async def facts(self, account_id: str, model: str) -> ModelFacts:
        catalog, _ = await self._inference.models_of(account_id)
        found = catalog.candidates(model)
        families = {_family(one) for one in found}
        limits = [one.max_output_tokens or DEFAULT_MAX_TOKENS for one in found]
        window = min((one.context_window for one in found if one.context_window), default=None)
        if window is not None:
            limits.append(window // 4)
        return ModelFacts(
            models=frozenset(one.slug for one in found),
            providers=frozenset(_provider(one) for one in found),
            context_window=window,
            default_max_tokens=max(1, min(*limits, DEFAULT_MAX_TOKENS)),
            native=any(ANTHROPIC.name in one.provider.base_urls for one in found),
            prompt_caching=any(_heeds_breakpoints(one) for one in found),
            vision=all(one.sees for one in found),
            tokens_of=lambda body: max(
                tokens_in_window({**body, "messages": []}, family) for family in families
            ),
            message_tokens=lambda message: max(_message_tokens(message, family) for family in families),
        )

    async def open(self, step: ModelStep, record: CostRecorder) -> ModelStream:
        plan = await self._plan(step)
        payer = Payer(step.account_id, step.key_id, step.end_user_id, step.thread_id, step.turn_id)
        budget = None
        if step.budget_nanos is not None:
            budget = Budget(Nanos(step.budget_nanos), Nanos(step.spent_nanos))
        try:
            call = await self._inference.open(
                plan, step.request_id, payer, {}, budget=budget, record_cut_off=record
            )
        except ProviderRefused as refusal:
            raise in_clients_form(refusal) from None
        rules = rules_of(call.passage.provider_dialect, call.model.provider.quirks)
        return _Stream(call, RestoredStream(self._offer.restorations(step.body, rules)))

    async def settle_lost(self, step: ModelStep, delivered: bytes, record: CostRecorder) -> int:
        billing = self._inference.billing
        lost = await self._lost(step, delivered) if delivered else None
        if lost is None:
            await billing.release(step.request_id)
            return 0
        payer = Payer(step.account_id, step.key_id, step.end_user_id, step.thread_id, step.turn_id)
        nanos = lost.cost.nanos
        settled = await billing.settle(
            step.request_id, payer, lost, rider=lambda session: record(session, nanos)
        )
        return 0 if settled.replayed else nanos

    async def _lost(self, step: ModelStep, delivered: bytes) -> CallOutcome | None:
        """What is billed for the frames; None if the model cannot be called any more, or has no price."""
        try:
            plan = await self._plan(step)
        except HeddleError:
            return None
        tap = ANTHROPIC.wire.tap(plan.facts)
        tap.feed(delivered)
        usage = tap.usage(plan.input_guess)
        if not usage.total_input_tokens:  # where the provider counts at the end
            usage = replace(usage, input_tokens=plan.input_guess)
        costs = [
            (cost_of(one.passage.billed(usage), one.model.price, plan.markup), one.model)
            for one in plan.candidates
        ]
        cost, model = min(costs, key=lambda found: found[0].nanos)  # nothing says which one answered
        return CallOutcome(
            provider=model.provider.name,
            model=model.slug,
            status="error",
            http_status=200,
            usage=usage,
            cost=cost,
            error_code="process_died",
        )

    async def _plan(self, step: ModelStep) -> CallPlan:
        # Keys in one order: databases have their own, and a provider's cache knows a prefix by its text.
        messages = msgspec.Raw(msgspec.json.encode(step.body["messages"], order="deterministic"))
        raw = msgspec.json.encode({**step.body, "messages": messages, "stream": True})
        return await self._inference.plan(
            ANTHROPIC, raw, step.account_id, allowed_models=step.allowed_models, offer=self._offer
        )


class _Stream:
    def __init__(self, call: OpenCall, restored: RestoredStream) -> None:
        self._call = call
        self._restored = restored

    async def events(self) -> AsyncIterator[dict[str, Any]]:
        splitter = FrameSplitter()
        async for chunk in self._call.stream():
            for frame in splitter.feed(chunk):
                for data in data_lines(frame):
                    event = _decode(data)
                    if event.get("type") == "error":
                        error = event.get("error") or {}
                        raise ModelStreamBroke(
                            str(error.get("message") or "the provider broke off its answer"),
                            code=str(error.get("code") or "upstream_error_event"),
                        )
                    for shown in self._restored.feed(event):
                        yield shown

    async def commit(self, record: Callable[[Session, StepCost], T]) -> T:
        usage = self._call.usage()
        price = self._call.model.price
        nanos = cost_of(usage, price, self._call.plan.markup).nanos
        cost = StepCost(nanos, _anthropic_usage(usage), _provider(self._call.model))
        settled = await self._call.settle_stream(rider=lambda session: record(session, cost))
        if settled.replayed:
            raise LeaseLost(self._call.admitted.request_id)
        result: T = settled.result
        return result

    async def abandon(self, record: CostRecorder) -> int:
        call = self._call
        nanos = cost_of(call.usage(), call.model.price, call.plan.markup).nanos
        settled = await call.settle_stream(
            client_gone=not call.broke, rider=lambda session: record(session, nanos)
        )
        return 0 if settled.replayed else nanos


def _provider(model: Model) -> str:
    return model.provider.stands_in_for or model.provider.name


def _heeds_breakpoints(model: Model) -> bool:
    return ANTHROPIC.name in model.provider.base_urls or model.provider.quirks.cache_control


def _family(model: Model) -> Family:
    spoken = list(model.provider.base_urls)
    dialect = ANTHROPIC.name if ANTHROPIC.name in spoken else spoken[0]
    return family_of(dialect, _provider(model), model.upstream_name)


def _message_tokens(message: Mapping[str, Any], family: Family) -> int:
    return tokens_in_window({"messages": [message]}, family) - tokens_in_window({"messages": []}, family)


def _decode(data: bytes) -> dict[str, Any]:
    try:
        event = msgspec.json.decode(data)
    except NOT_JSON:
        raise ModelStreamBroke(
            "the provider sent an event that is not JSON", code="upstream_invalid"
        ) from None
    if not isinstance(event, dict):
        raise ModelStreamBroke("the provider sent an event that is not an object", code="upstream_invalid")
    return event


def _anthropic_usage(usage: TokenUsage) -> dict[str, int]:
    return {
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "cache_read_input_tokens": usage.cache_read_tokens,
        "cache_creation_input_tokens": usage.cache_write_tokens + usage.cache_write_1h_tokens,
    }
