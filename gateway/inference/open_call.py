"""A call that a provider has answered: its bytes on their way to the client, and its settlement.

Invariants:
- every call is settled exactly once, whatever happens;
- it is charged with the provider's own numbers where it gave them.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from functools import cached_property, partial

from gateway.billing.billing import Billing
from gateway.billing.operations import Admitted, CallOutcome, Rider, Settled
from gateway.billing.prices import TokenUsage, cost_of
from gateway.inference.dialects.dialect import StreamTap
from gateway.inference.dialects.frames import UnreadableStream
from gateway.inference.estimate import input_token_guess
from gateway.inference.keeping import Keeper
from gateway.inference.plan import CallPlan, Candidate
from gateway.inference.upstream import StreamBroke, UpstreamResponse
from kit.crash_points import reach
from kit.errors import UpstreamFailed
from kit.json import NOT_JSON

logger = logging.getLogger("heddle.inference")


class OpenCall:
    """A call whose provider has answered 2xx. Exactly one of its settling methods ends it."""

    def __init__(
        self,
        plan: CallPlan,
        candidate: Candidate,
        admitted: Admitted,
        response: UpstreamResponse,
        *,
        billing: Billing,
        keeper: Keeper | None = None,
    ) -> None:
        self._billing = billing
        self._keeper = keeper
        self._response = response
        self._started = time.monotonic()
        self.plan = plan
        self.model = candidate.model
        self.passage = candidate.passage
        self.admitted = admitted
        self.content_type = candidate.passage.content_type(response.content_type)
        self._broke: str | None = None
        self.delivered = False
        """Whether any bytes of a streamed answer were handed on."""

    @cached_property
    def tap(self) -> StreamTap:
        """What watches the streamed answer."""
        return self.passage.tap(self._response.headers)

    @property
    def lowered_max_tokens(self) -> int | None:
        """The output limit that the payer could afford, where it is below what was asked for."""
        if not self.admitted.lowered:
            return None
        return self.plan.limit_per_choice(self.admitted.max_output_tokens)

    async def stream(self) -> AsyncIterator[bytes]:
        """The bytes to forward. If the provider broke off, they end with error frames where the stream has a
        place for them, else they just end (``cut_off``)."""
        last = b""
        try:
            async for chunk in self._response.chunks():
                shown = self.tap.feed(chunk)
                if shown:
                    last = shown
                    self._deliver(shown)
                    yield shown
            rest = self.tap.end()
            if rest:
                self._deliver(rest)
                yield rest
            if not self.tap.complete and not self.tap.failed:
                self._broke = "upstream_broke_off"
        except StreamBroke as broke:
            self._broke = broke.code
        except UnreadableStream:
            self._broke = "upstream_invalid"
        except Exception:
            logger.exception("call %s: its stream could not be read", self.admitted.request_id)
            self._broke = "internal_error"
        if self._broke is not None and self.passage.tells_errors:
            within_frame = last and not last.endswith((b"\n\n", b"\r\n\r\n"))
            frames = self.tap.error_frames(self._broke_off.message, self._broke)
            yield (b"\n\n" if within_frame else b"") + frames

    def _deliver(self, shown: bytes) -> None:
        self.delivered = True
        if self._keeper is not None:
            self._keeper.take(shown)

    @property
    def cut_off(self) -> UpstreamFailed | None:
        """Why a stream ended that could not tell its client so."""
        return None if self._broke is None or self.passage.tells_errors else self._broke_off

    @property
    def _broke_off(self) -> UpstreamFailed:
        provider = self.model.provider.name
        return UpstreamFailed(
            f"{provider} broke off its answer",
            code=self._broke or "upstream_broke_off",
            details={"provider": provider},
        )

    @property
    def broke(self) -> bool:
        """Whether the provider ended its stream before it was complete."""
        return self._broke is not None or self.tap.failed

    def usage(self) -> TokenUsage:
        """What the stream has used so far, as its tap saw it. One that broke before it had delivered
        anything, or told what it used, has used nothing."""
        if self.broke and (not self.delivered or self.tap.usage(0) == TokenUsage(estimated=True)):
            return TokenUsage()
        return self.passage.billed(self.tap.usage(self.plan.input_guess))

    async def settle_stream(self, *, client_gone: bool = False, rider: Rider | None = None) -> Settled:
        """End a streamed call with what its tap saw."""
        self._response.close()
        usage = self.usage()
        if client_gone:
            status, code = "cancelled", "client_disconnected"
            usage = self._cut_off(usage)
        elif self.broke:
            status, code = "error", self._broke or "upstream_error_event"
        else:
            status, code = "ok", None
        return await self._settle(usage, status, code, rider)

    async def read(self, *, rider_of: Callable[[bytes], Rider] | None = None) -> tuple[bytes, Settled]:
        """Read a whole answer and settle it; ``rider_of`` makes of it what is written in the same
        transaction, or raises ValueError. Raises UpstreamFailed (settled at nothing) if the answer is
        unusable."""
        provider = self.model.provider.name
        try:
            body = await self._response.read()
            reach("call.whole.read")
            shown, usage = self.passage.answer(body)
            rider = None if rider_of is None else rider_of(shown)
        except asyncio.CancelledError:
            usage = self._cut_off(self.passage.abandoned(self.plan.input_guess))
            await self._settle(usage, "cancelled", "client_disconnected", None)
            raise
        except StreamBroke as broke:
            self._broke = broke.code
            await self._settle(TokenUsage(), "error", broke.code, None)
            raise self._broke_off from None
        except (*NOT_JSON, ValueError):
            await self._settle(TokenUsage(), "error", "upstream_invalid", None)
            raise UpstreamFailed(
                f"{provider} sent something that cannot be read",
                code="upstream_invalid",
                details={"provider": provider},
            ) from None
        except Exception:
            await self._settle(TokenUsage(), "error", "internal_error", None)
            raise
        finally:
            self._response.close()
        if usage is None:
            usage = TokenUsage(
                input_tokens=self.plan.input_guess,
                output_tokens=input_token_guess(body) if self.plan.facts.generates else 0,
                estimated=True,
            )
        if self._keeper is not None:
            self._keeper.take(shown)
        return shown, await self._settle(self.passage.billed(usage), "ok", None, rider)

    def _cut_off(self, usage: TokenUsage) -> TokenUsage:
        """What is billed of a call that is cut off."""
        return TokenUsage() if self._keeper is not None and self._keeper.forgives else usage

    async def _settle(self, usage: TokenUsage, status: str, code: str | None, rider: Rider | None) -> Settled:
        """Raises AnswerUnwanted: the call has cost nothing then."""
        if status != "ok" or self._keeper is None:
            return await self._end(usage, status, code, rider)
        try:
            return await self._end(
                usage, status, code, partial(self._keeper.keep, content_type=self.content_type)
            )
        except Exception:  # it could not be kept, or need not: then nobody has had it
            await self._end(TokenUsage(), "cancelled", "answer_not_kept", None)
            raise

    async def _end(self, usage: TokenUsage, status: str, code: str | None, rider: Rider | None) -> Settled:
        outcome = CallOutcome(
            provider=self.model.provider.name,
            model=self.model.slug,
            status=status,
            http_status=self._response.status,
            usage=usage,
            cost=cost_of(usage, self.model.price, self.plan.markup),
            error_code=code,
            latency_ms=round((time.monotonic() - self._started) * 1000),
        )
        return await self._billing.settle(self.admitted.request_id, self.admitted.payer, outcome, rider=rider)
