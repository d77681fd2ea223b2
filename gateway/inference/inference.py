"""A metered call to a model provider: plan, admit, send, tap, settle.

Invariants:
- nothing is sent before its hold is taken; every hold taken here is settled here, whatever happens;
- a call is charged once, with the provider's own numbers where it gave them.
"""

import time
from collections.abc import Callable, Mapping
from decimal import Decimal
from functools import partial

from sqlmodel import Session

from gateway.accounts.terms import AccountTerms
from gateway.billing.billing import Billing
from gateway.billing.operations import Admitted, Budget, CallOutcome, Payer
from gateway.billing.prices import TokenUsage, cost_of
from gateway.inference.dialects.registry import ClientDialect
from gateway.inference.keeping import Keeper
from gateway.inference.models import ModelCatalog
from gateway.inference.open_call import OpenCall
from gateway.inference.plan import CallPlan, Candidate, MediaRequest, Planner
from gateway.inference.routing import Router
from gateway.inference.stand_ins import Catalogs
from gateway.inference.tool_schemas.offering import ToolOffer
from gateway.inference.upstream import Body
from kit.crash_points import reach
from kit.errors import HeddleError


class Inference:
    """Plans and opens metered calls."""

    def __init__(self, catalogs: Catalogs, billing: Billing, router: Router, terms: AccountTerms) -> None:
        self.catalogs = catalogs
        self.billing = billing
        self.terms = terms
        self._router = router

    async def models_of(self, account_id: str) -> tuple[ModelCatalog, Decimal]:
        """What an account can call, and the markup that it pays. Raises TestModeOff."""
        terms = await self.terms.of(account_id)
        return self.catalogs.of(terms.mode), terms.markup

    async def plan(
        self,
        dialect: ClientDialect,
        raw: bytes,
        account_id: str,
        *,
        allowed_models: tuple[str, ...] | None,
        offer: ToolOffer | None = None,
    ) -> CallPlan:
        """Understand and price a request. Raises InvalidRequest, NotFound, PermissionDenied, Unsupported."""
        catalog, markup = await self.models_of(account_id)
        return Planner(catalog).plan(dialect, raw, markup, allowed_models=allowed_models, offer=offer)

    async def plan_media(
        self, request: MediaRequest, account_id: str, *, allowed_models: tuple[str, ...] | None
    ) -> CallPlan:
        """Price a request for images, speech or a transcription. Raises NotFound, PermissionDenied,
        Unsupported."""
        catalog, markup = await self.models_of(account_id)
        return Planner(catalog).plan_media(request, markup, allowed_models=allowed_models)

    async def open(
        self,
        plan: CallPlan,
        request_id: str,
        payer: Payer,
        client_headers: Mapping[str, str],
        *,
        budget: Budget | None = None,
        record_cut_off: Callable[[Session, int], None] | None = None,
        rated: bool = True,
        keeper: Keeper | None = None,
    ) -> OpenCall:
        """Take the hold and send the request. Raises PaymentRequired (nothing sent), UpstreamFailed,
        ProviderRefused or what stands for it in the client's dialect (released, recorded).

        ``record_cut_off`` writes what a call cost, in nano-USD, that was cancelled before its answer began.
        ``rated``: whether the key's rates apply; they bound what Heddle is asked, not what it asks by itself.
        ``keeper`` keeps its answer.
        """
        admitted = await self.billing.admit(
            request_id, payer, plan.bound, budget=budget, tokens=plan.input_tokens, rated=rated
        )
        reach("call.upstream.asked")
        started = time.monotonic()
        asked = plan.candidates[0]

        def body_for(candidate: Candidate) -> Body:
            nonlocal asked
            asked = candidate
            return candidate.passage.outgoing(_lowered_limit(plan, admitted))

        try:
            candidate, response = await self._router.send(plan.candidates, body_for, client_headers)
        except BaseException as error:
            forgiven = isinstance(error, Exception) or (keeper is not None and keeper.forgives)
            usage = TokenUsage() if forgiven else asked.passage.abandoned(plan.input_guess)
            outcome = CallOutcome(
                provider=asked.model.provider.name,
                model=asked.model.slug,
                status="error" if isinstance(error, Exception) else "cancelled",
                http_status=error.status if isinstance(error, HeddleError) else 499,
                usage=usage,
                cost=cost_of(usage, asked.model.price, plan.markup),
                error_code=error.code if isinstance(error, HeddleError) else _gone(error),
                latency_ms=round((time.monotonic() - started) * 1000),
            )
            rider, nanos = None, outcome.cost.nanos
            if record_cut_off is not None and nanos:
                rider = partial(_record, record_cut_off, nanos)
            await self.billing.settle(request_id, payer, outcome, rider=rider)
            raise
        reach("call.upstream.answered")
        return OpenCall(plan, candidate, admitted, response, billing=self.billing, keeper=keeper)


def _record(record: Callable[[Session, int], None], nanos: int, session: Session) -> None:
    record(session, nanos)


def _gone(error: BaseException) -> str | None:
    return None if isinstance(error, Exception) else "client_disconnected"


def _lowered_limit(plan: CallPlan, admitted: Admitted) -> int | None:
    """The output limit per choice that the payer can afford, where it is below what was asked for."""
    return plan.limit_per_choice(admitted.max_output_tokens) if admitted.lowered else None
