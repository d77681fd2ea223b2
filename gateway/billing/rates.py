"""Rate limits per key: token buckets for requests and tokens per minute.

Invariant: within any span of ``s`` seconds a key gets at most ``limit + limit * s / 60`` requests (or tokens
admitted), whatever number of processes serve it: the levels are rows of the billing transaction.

A bucket holds what one minute allows and refills steadily. Levels are whole 60,000ths, so that a limit per
minute adds exactly ``limit`` of them each millisecond.
"""

from dataclasses import dataclass

UNITS = 60_000


@dataclass(slots=True)
class Bucket:
    """What is left of a limit per minute. It may go below nothing: what was used is used."""

    per_minute: int
    level: int
    """In 60,000ths."""

    @classmethod
    def full(cls, per_minute: int) -> "Bucket":
        return cls(per_minute, per_minute * UNITS)

    def refill(self, elapsed_ms: int) -> None:
        self.level = min(self.per_minute * UNITS, self.level + self.per_minute * max(0, elapsed_ms))

    def take(self, count: int) -> None:
        self.level -= count * UNITS

    def give_back(self, count: int) -> None:
        self.level = min(self.per_minute * UNITS, self.level + count * UNITS)

    def wait_ms(self, count: int) -> int:
        """How long until ``count`` can be taken; 0 if now. More than the bucket holds needs a full one."""
        missing = min(count, self.per_minute) * UNITS - self.level
        return 0 if missing <= 0 else -(-missing // self.per_minute)

    @property
    def left(self) -> int:
        return max(0, self.level // UNITS)

    @property
    def full_in_ms(self) -> int:
        return -(-(self.per_minute * UNITS - self.level) // self.per_minute)


@dataclass(slots=True)
class KeyRates:
    """The buckets of one key; None where it has no such limit."""

    requests: Bucket | None
    tokens: Bucket | None
    updated_at: int

    def refill(self, now_ms: int) -> None:
        for bucket in (self.requests, self.tokens):
            if bucket is not None:
                bucket.refill(now_ms - self.updated_at)
        self.updated_at = max(self.updated_at, now_ms)

    def status(self) -> "RateStatus":
        return RateStatus(*(_told(bucket) for bucket in (self.requests, self.tokens)))


@dataclass(frozen=True, slots=True)
class LimitStatus:
    """A limit per minute, what is left of it, and when all of it is there again."""

    limit: int
    left: int
    full_in_ms: int


@dataclass(frozen=True, slots=True)
class RateStatus:
    """For the ``x-ratelimit-*`` headers of an answer."""

    requests: LimitStatus | None
    tokens: LimitStatus | None

    def headers(self) -> dict[str, str]:
        """Named as OpenAI names them (platform.openai.com, guides: Rate limits)."""
        named: dict[str, str] = {}
        for name, told in (("requests", self.requests), ("tokens", self.tokens)):
            if told is not None:
                named[f"x-ratelimit-limit-{name}"] = str(told.limit)
                named[f"x-ratelimit-remaining-{name}"] = str(told.left)
                named[f"x-ratelimit-reset-{name}"] = f"{told.full_in_ms / 1000:g}s"
        return named


def _told(bucket: Bucket | None) -> LimitStatus | None:
    return None if bucket is None else LimitStatus(bucket.per_minute, bucket.left, bucket.full_in_ms)
