"""One request on its way to a provider: for whom, and what was left out."""

from dataclasses import dataclass, field
from typing import Any

from gateway.inference.dialects.codec import Quirks, Target, left_out
from gateway.inference.dialects.neutral import Extra
from gateway.inference.dialects.openai_chat.extras import DIALECT, own_fields
from kit.errors import Unsupported


@dataclass(slots=True)
class Encoding:
    target: Target
    dropped: list[str] = field(default_factory=list)

    @property
    def quirks(self) -> Quirks:
        return self.target.quirks

    @property
    def takes_custom_tools(self) -> bool:
        """Whether the provider knows free-form tools; ``custom_tools`` in ``unsupported`` denies it."""
        return "custom_tools" not in self.quirks.unsupported

    def drop(self, place: str) -> None:
        """Note what is left out harmlessly, in the neutral form's terms."""
        self.dropped.append(place)

    def keep(self, kept: Extra | None, place: str) -> dict[str, Any]:
        """The unknown fields, as they were; another dialect's are dropped, or refused if essential."""
        self.dropped += [f"{place}.{name}" for name in left_out(kept, DIALECT)]
        return own_fields(kept)

    def refuse(self, place: str, reason: str) -> Unsupported:
        return Unsupported(f"{place}: {self.target.provider} {reason}", param=place)
