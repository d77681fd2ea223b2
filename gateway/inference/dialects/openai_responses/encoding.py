"""What the encoding of one request needs everywhere."""

from dataclasses import dataclass, field
from typing import Any

from gateway.inference.dialects.codec import Target, left_out
from gateway.inference.dialects.neutral import Cache, Extra
from gateway.inference.dialects.openai_responses.reading import NAME, own


@dataclass(slots=True)
class Encoding:
    """``own``: the request was made in this dialect, so what it did not say stays unsaid."""

    target: Target
    own: bool
    dropped: list[str] = field(default_factory=list)
    custom_calls: set[str] = field(default_factory=set)
    """The ids of calls whose arguments are text."""

    def drop(self, place: str) -> None:
        self.dropped.append(place)

    def kept(self, kept: Extra | None, place: str) -> dict[str, Any]:
        """This dialect's fields among those kept; another's are dropped. Raises Unsupported."""
        self.dropped += [f"{place}.{name}" for name in left_out(kept, NAME)]
        return own(kept)

    def cache(self, cache: Cache | None, kept: dict[str, Any], place: str) -> dict[str, Any]:
        """The field for a breakpoint that was this dialect's. OpenAI caches by itself and takes breakpoints
        only for its newest models, so another dialect's are dropped."""
        noted = kept.pop("_cache", None)
        if noted is not None:
            return {"prompt_cache_breakpoint": noted}
        if cache is not None:
            self.drop(f"{place}.cache")
        return {}
