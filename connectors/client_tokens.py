"""Tokens of developers' own clients: asked for once, whoever needs them, and kept in memory only.

Invariants:
- at most one request for a token is under way for a client in this process; a token that is still good serves
  meanwhile;
- whoever refused is left alone for a while, which doubles; so is one whose new tokens are refused, too;
- at most ``MAX_ENTRIES`` are kept, none for longer than ``LONGEST_S``, and nothing here shows a token.
Other processes ask for tokens of their own: unlike refresh tokens, these do not replace each other.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from connectors.own_client import TokenRefused
from connectors.pauses import pause_ms
from connectors.token_answer import Tokens
from kit.clock import Clock
from kit.errors import HeddleError, UpstreamFailed, UpstreamUnavailable

MAX_ENTRIES = 1_000
LONGEST_S = 24 * 60 * 60
UNKNOWN_LIFETIME_S = 60 * 60
"""Of a token whose answer does not say; one that ends sooner is noticed by its 401."""
RENEW_EARLY_S = 120
"""Or a fifth of a shorter life."""
SETTLED_MS = 60_000
"""A token that was good for as long was not refused for what it is, but because it ended."""

Ask = Callable[[], Awaitable[Tokens]]


@dataclass(frozen=True, slots=True, eq=False)
class ClientToken:
    """Unix milliseconds."""

    headers: Mapping[str, str] = field(repr=False)
    given_at: int
    renew_at: int
    expires_at: int


@dataclass(slots=True)
class _Entry:
    """``refused``: tokens in a row that were refused soon after they were given."""

    token: ClientToken | None = None
    asking: "asyncio.Task[None] | None" = None
    failure: HeddleError | None = None
    failures: int = 0
    ask_after: int = 0
    refused: int = 0


class ClientTokens:
    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._entries: OrderedDict[str, _Entry] = OrderedDict()
        self._running: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, key: str) -> bool:
        return key in self._entries

    async def close(self) -> None:
        """Wait for the requests under way; each is bounded by its HTTP time limits."""
        if self._running:
            await asyncio.wait(self._running)

    def keep(self, key: str, tokens: Tokens) -> None:
        """A token that was just given."""
        self._entry(key).token = _token(tokens, self._clock.now_ms())

    def forget(self, key: str) -> None:
        self._entries.pop(key, None)

    async def lease(self, key: str, ask: Ask, *, rejected: ClientToken | None = None) -> ClientToken:
        """The token of a client, asked for if there is none that lasts for a while.

        ``rejected``: its server just answered 401 to it; if it is returned again, there is no better one now.
        Raises UpstreamFailed where there is none and it will not be given, or not be asked for yet; and what
        ``ask`` raises, if that is no HeddleError.
        """
        entry, now = self._entry(key), self._clock.now_ms()
        if rejected is not None and entry.token is rejected and not self._reject(entry, now):
            return rejected
        if entry.token is not None and now >= entry.token.expires_at:
            entry.token = None
        good = entry.token
        if good is not None and now < good.renew_at:
            return good
        if entry.asking is None and now >= entry.ask_after:
            self._begin(entry, ask)
        if good is not None:
            return good
        if entry.asking is not None:
            await asyncio.shield(entry.asking)
        if entry.token is not None:
            return entry.token
        if entry.failure is not None:
            raise self._refusal(entry, entry.failure)
        return await self.lease(key, ask)  # what was given was refused already

    def _begin(self, entry: _Entry, ask: Ask) -> None:
        task = entry.asking = asyncio.create_task(self._ask(entry, ask))
        self._running.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self._running.discard(task)
        if not task.cancelled():
            task.exception()  # nobody may be waiting for it any more

    def _reject(self, entry: _Entry, now: int) -> bool:
        """Whether another one may be better: not if those before it were refused at once, too."""
        token = entry.token
        assert token is not None
        age = now - token.given_at
        if age >= SETTLED_MS or now >= token.expires_at:
            entry.refused = 0
        if entry.refused and age < pause_ms(entry.refused):
            return False
        entry.refused += 1
        entry.token = None
        return True

    async def _ask(self, entry: _Entry, ask: Ask) -> None:
        now = self._clock.now_ms()
        try:
            tokens = await ask()
        except HeddleError as failure:
            entry.failure = failure
            entry.failures += 1
            asked = failure.retry_after if isinstance(failure, TokenRefused) else None
            entry.ask_after = self._clock.now_ms() + pause_ms(entry.failures, asked)
        else:
            entry.token = _token(tokens, now)
            entry.failure, entry.failures, entry.ask_after = None, 0, 0
        finally:
            entry.asking = None

    def _refusal(self, entry: _Entry, failure: HeddleError) -> UpstreamFailed:
        """What the last request came to, for everybody who asks meanwhile."""
        wait_s = max(1, -(-(entry.ask_after - self._clock.now_ms()) // 1000))
        final = isinstance(failure, TokenRefused) and failure.is_final
        return (UpstreamFailed if final else UpstreamUnavailable)(
            f"{failure.message}; it is asked again in {wait_s} s",
            code=failure.code,
            details={**failure.details, "retry_after_ms": wait_s * 1000},
            headers={"retry-after": str(wait_s)},
        )

    def _entry(self, key: str) -> _Entry:
        entry = self._entries.get(key)
        if entry is not None:
            self._entries.move_to_end(key)
            return entry
        while len(self._entries) >= MAX_ENTRIES:
            self._entries.popitem(last=False)
        return self._entries.setdefault(key, _Entry())


def _token(tokens: Tokens, now: int) -> ClientToken:
    lifetime_ms = min(tokens.expires_in or UNKNOWN_LIFETIME_S, LONGEST_S) * 1000
    early_ms = min(RENEW_EARLY_S * 1000, lifetime_ms // 5)
    headers = {"authorization": f"Bearer {tokens.access_token}"}
    return ClientToken(headers, now, now + lifetime_ms - early_ms, now + lifetime_ms)
