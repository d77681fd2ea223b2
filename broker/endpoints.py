"""What this process knows of the endpoints that accounts have their webhooks at: how many calls are under way
to each, and whether it is worth calling.

An endpoint is one account's: two accounts that name the same URL wait for, and suffer from, their own calls
only. It lives in memory, and is forgotten once it is idle and has nothing against it.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from kit.breaker import Breaker

MAX_KEPT = 10_000
"""Endpoints with failures that are remembered while idle; the longest unused go first."""


@dataclass(frozen=True)
class EndpointLimits:
    """How many calls may be under way at once; more wait for their turn."""

    per_endpoint: int = 32
    per_account: int = 256


class EndpointBusy(Exception):
    """So many calls were under way that there was no turn for this one in its time."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"{limit} calls are under way")
        self.limit = limit


class CircuitOpen(Exception):
    """The endpoint has failed so often in a row that it is not called for a while."""

    def __init__(self, retry_in_s: float) -> None:
        super().__init__(f"not called for another {retry_in_s:.1f} s")
        self.retry_in_s = retry_in_s


class _Slots:
    """Calls under way, and how many use or wait for them."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.free = asyncio.Semaphore(limit)
        self.users = 0


class Endpoint(_Slots):
    """One account's URL."""

    def __init__(self, limit: int, now_s: Callable[[], float]) -> None:
        super().__init__(limit)
        self.breaker = Breaker(now_s)


class Report:
    """What a call tells of its endpoint; one that ends without a report has learned nothing."""

    def __init__(self, breaker: Breaker) -> None:
        self._breaker = breaker
        self._made = False

    def made(self, *, works: bool) -> None:
        self._made = True
        (self._breaker.succeeded if works else self._breaker.failed)()

    def close(self) -> None:
        if not self._made:
            self._breaker.given_up()


class Endpoints:
    def __init__(
        self, limits: EndpointLimits | None = None, now_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._limits = limits or EndpointLimits()
        self._now_s = now_s
        self._endpoints: OrderedDict[tuple[str, str], Endpoint] = OrderedDict()
        self._accounts: dict[str, _Slots] = {}

    @asynccontextmanager
    async def turn(
        self, account_id: str, url: str, *, until: float, whatever_it_did: bool = False
    ) -> AsyncIterator[Report]:
        """A turn at an endpoint, waited for until the loop's time ``until``; the caller reports what became
        of it, if that tells anything. ``whatever_it_did``: it is called also while its circuit is open.

        Raises EndpointBusy, CircuitOpen: then nothing may be sent.
        """
        key = (account_id, url)
        endpoint, account = self._endpoint(key), self._account(account_id)
        endpoint.users += 1
        account.users += 1
        try:
            async with _slot(endpoint, until), _slot(account, until):
                wait_s = 0.0 if whatever_it_did else endpoint.breaker.admit()
                if wait_s > 0:
                    raise CircuitOpen(wait_s)
                report = Report(endpoint.breaker)
                try:
                    yield report
                finally:
                    report.close()
        finally:
            endpoint.users -= 1
            account.users -= 1
            self._forget_idle(key)

    def _endpoint(self, key: tuple[str, str]) -> Endpoint:
        endpoint = self._endpoints.get(key)
        if endpoint is None:
            return self._endpoints.setdefault(key, Endpoint(self._limits.per_endpoint, self._now_s))
        self._endpoints.move_to_end(key)
        return endpoint

    def _account(self, account_id: str) -> _Slots:
        account = self._accounts.get(account_id)
        return account or self._accounts.setdefault(account_id, _Slots(self._limits.per_account))

    def _forget_idle(self, key: tuple[str, str]) -> None:
        account_id, endpoint = key[0], self._endpoints[key]
        if not self._accounts[account_id].users:
            del self._accounts[account_id]
        if not endpoint.users and endpoint.breaker.is_untroubled:
            del self._endpoints[key]
        if len(self._endpoints) > MAX_KEPT:
            oldest = next((key for key, one in self._endpoints.items() if not one.users), None)
            if oldest is not None:
                del self._endpoints[oldest]

    def __len__(self) -> int:
        return len(self._endpoints)


@asynccontextmanager
async def _slot(slots: _Slots, until: float) -> AsyncIterator[None]:
    if slots.free.locked():
        try:
            async with asyncio.timeout_at(until):
                await slots.free.acquire()
        except TimeoutError:
            raise EndpointBusy(slots.limit) from None
    else:
        await slots.free.acquire()
    try:
        yield
    finally:
        slots.free.release()
