"""Getting one answer out of several tries, keys and providers.

Invariants:
- a request never runs again, anywhere, once a 2xx head has arrived: what is streamed is streamed once;
- a try that may still be running at the provider (it was sent, and no answer came in time) is not repeated
  there;
- every slot that is taken of a provider's concurrency is given back when its answer is closed.
"""

import asyncio
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from gateway.inference.metrics import InferenceMetrics
from gateway.inference.plan import Candidate
from gateway.inference.providers import Provider
from gateway.inference.upstream import Body, ProviderRefused, Upstream, UpstreamResponse
from kit.breaker import Breaker
from kit.errors import HeddleError, UpstreamFailed, UpstreamTimeout, UpstreamUnavailable

FIRST_PAUSE_S = 0.25
LONGEST_PAUSE_S = 10.0
"""A provider that asks for a longer pause (``retry-after``) is left for the next candidate."""
QUEUE_TIMEOUT_S = 30.0
"""How long a call waits for a slot of a provider that has reached its concurrency limit."""

_NOT_THE_MODEL = {"upstream_rate_limit", "upstream_credentials", "provider_busy"}
"""Failures that say something about a key or about us, and nothing about the provider's health."""


@dataclass(slots=True)
class _Keys:
    """A provider's keys, taken in turn; one that was limited rests."""

    keys: tuple[str | None, ...]
    resting_until: dict[str | None, float] = field(default_factory=dict)
    turn: int = 0

    def next(self, now_s: float) -> str | None:
        for _ in self.keys:
            key = self.keys[self.turn % len(self.keys)]
            self.turn += 1
            if self.resting_until.get(key, 0.0) <= now_s:
                return key
        return min(self.keys, key=lambda key: self.resting_until.get(key, 0.0))

    def rested(self, now_s: float) -> bool:
        """Whether a key is left that need not rest."""
        return any(self.resting_until.get(key, 0.0) <= now_s for key in self.keys)


@dataclass(slots=True)
class _State:
    """What is known of a provider in this process."""

    keys: _Keys
    slots: asyncio.Semaphore | None
    breakers: dict[str, Breaker] = field(default_factory=dict)


class Router:
    """Sends a request to the first candidate that answers it."""

    def __init__(self, upstream: Upstream, metrics: InferenceMetrics, *, max_tries: int) -> None:
        """``max_tries`` at one candidate, the first included."""
        self._upstream = upstream
        self._metrics = metrics
        self._max_tries = max_tries
        self._random = random.Random()  # noqa: S311 - jitter, not a secret
        self._states: dict[str, _State] = {}

    async def send(
        self,
        candidates: Sequence[Candidate],
        body_for: Callable[[Candidate], Body],
        client_headers: Mapping[str, str],
    ) -> tuple[Candidate, UpstreamResponse]:
        """The candidate that answered, and its answer. Raises the last candidate's UpstreamFailed, or what
        the passage makes of a ProviderRefused (the request is at fault: no other candidate is asked)."""
        last: UpstreamFailed | None = None
        for candidate in candidates:
            if last is not None:
                self._metrics.fell_back(candidate.model)
            try:
                return candidate, await self._try(candidate, body_for(candidate), client_headers)
            except UpstreamFailed as failure:
                last = failure
        assert last is not None, "a plan has at least one candidate"
        raise last

    async def _try(
        self, candidate: Candidate, body: Body, client_headers: Mapping[str, str]
    ) -> UpstreamResponse:
        """All tries at one candidate, which its breaker counts as one call."""
        provider = candidate.model.provider
        state = self._state(provider)
        breaker = state.breakers.setdefault(candidate.model.upstream_name, Breaker())
        wait_s = breaker.admit()
        if wait_s > 0:
            raise _circuit_open(provider, wait_s)
        try:
            response = await self._try_again(candidate, state, body, client_headers)
        except UpstreamFailed as failure:
            breaker.given_up() if failure.code in _NOT_THE_MODEL else breaker.failed()
            raise
        except ProviderRefused as refused:
            breaker.succeeded()  # the provider is well: it found fault with the request
            raise candidate.passage.refusal(refused) from None
        except BaseException:
            breaker.given_up()
            raise
        breaker.succeeded()
        return response

    async def _try_again(
        self, candidate: Candidate, state: _State, body: Body, client_headers: Mapping[str, str]
    ) -> UpstreamResponse:
        for attempt in range(1, self._max_tries + 1):
            try:
                return await self._once(candidate, state, body, client_headers)
            except UpstreamFailed as failure:
                pause_s = self._pause_s(failure, attempt, state)
                if pause_s is None:
                    raise
            self._metrics.retried(candidate.model)
            await asyncio.sleep(pause_s)
        raise AssertionError("the last try either returns or raises")

    async def _once(
        self, candidate: Candidate, state: _State, body: Body, client_headers: Mapping[str, str]
    ) -> UpstreamResponse:
        provider, passage = candidate.model.provider, candidate.passage
        release = await self._slot(provider, state)
        key = state.keys.next(time.monotonic())
        started = time.monotonic()
        outcome = "cancelled"
        try:
            response = await self._upstream.post(
                provider.name,
                provider.base_urls[passage.provider_dialect] + passage.path(),
                passage.headers(key, client_headers),
                body,
                provider.limits,
            )
        except BaseException as error:
            if isinstance(error, HeddleError):
                outcome = error.code
                if isinstance(error, UpstreamFailed):
                    _rest(state.keys, key, error)
            release()
            raise
        else:
            outcome = "ok"
            response.on_close(release)
            return response
        finally:
            self._metrics.tried(candidate.model, outcome, time.monotonic() - started)

    def _pause_s(self, failure: UpstreamFailed, attempt: int, state: _State) -> float | None:
        """How long to wait before trying here again; None if that is of no use."""
        may_still_run = isinstance(failure, UpstreamTimeout) and "upstream_status" not in failure.details
        if attempt == self._max_tries or may_still_run:
            return None
        another_key = len(state.keys.keys) > 1 and state.keys.rested(time.monotonic())
        if failure.code in {"upstream_rate_limit", "upstream_credentials"} and another_key:
            return 0.0
        if failure.code == "upstream_credentials":
            return None
        asked_s = _retry_after_s(failure)
        if asked_s is not None:
            return asked_s if asked_s <= LONGEST_PAUSE_S else None
        return FIRST_PAUSE_S * float(2 ** (attempt - 1)) * self._random.uniform(0.5, 1.5)

    async def _slot(self, provider: Provider, state: _State) -> Callable[[], None]:
        """Wait for one of the provider's slots; returns what gives it back. Raises UpstreamUnavailable."""
        if state.slots is None:
            return _nothing
        try:
            async with asyncio.timeout(QUEUE_TIMEOUT_S):
                await state.slots.acquire()
        except TimeoutError:
            raise UpstreamUnavailable(
                f"{provider.name}'s limit of {provider.limits.max_concurrent} calls at once is reached",
                code="provider_busy",
                details={"provider": provider.name},
                headers={"retry-after": "1"},
            ) from None
        return state.slots.release

    def _state(self, provider: Provider) -> _State:
        state = self._states.get(provider.place)
        if state is None:
            limit = provider.limits.max_concurrent
            keys = _Keys(provider.api_keys or (None,))
            state = _State(keys, asyncio.Semaphore(limit) if limit is not None else None)
            self._states[provider.place] = state
        return state


def _rest(keys: _Keys, key: str | None, failure: UpstreamFailed) -> None:
    """Let a key rest that the provider limits or does not accept, so that the others are taken first."""
    if failure.code == "upstream_rate_limit":
        keys.resting_until[key] = time.monotonic() + (_retry_after_s(failure) or 1.0)
    elif failure.code == "upstream_credentials":
        keys.resting_until[key] = time.monotonic() + 60.0


def _retry_after_s(failure: UpstreamFailed) -> float | None:
    """The pause that the provider asked for (RFC 9110, 10.2.3, as seconds; dates are not used by any)."""
    try:
        return max(0.0, float(failure.headers["retry-after"]))
    except (KeyError, ValueError):
        return None


def _circuit_open(provider: Provider, wait_s: float) -> UpstreamUnavailable:
    return UpstreamUnavailable(
        f"{provider.name} has been failing; it is asked again in {wait_s:.0f} s",
        code="circuit_open",
        details={"provider": provider.name},
        headers={"retry-after": str(max(1, round(wait_s)))},
    )


def _nothing() -> None:
    """No slot was taken."""
