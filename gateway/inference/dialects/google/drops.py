"""What an encoder leaves out harmlessly, and whom it encodes for."""

from dataclasses import dataclass, field

from gateway.inference.dialects.codec import Target, left_out
from gateway.inference.dialects.google import NAME
from gateway.inference.dialects.neutral import Cache, Extra


@dataclass(slots=True)
class Drops:
    """Collects the names of what has no place here, in the neutral form's terms."""

    target: Target
    names: list[str] = field(default_factory=list)

    def add(self, name: str) -> None:
        if name not in self.names:
            self.names.append(name)

    def cache(self, cache: Cache | None, place: str) -> None:
        """Gemini caches common prefixes by itself."""
        if cache is not None:
            self.add(f"{place}.cache_control")

    def foreign(self, kept: Extra | None, place: str = "") -> None:
        """Another dialect's fields. Raises Unsupported for one that may not be left out."""
        for name in left_out(kept, NAME):
            if not name.startswith("_"):
                self.add(f"{place}.{name}" if place else name)

    def is_own(self, origin: str) -> bool:
        """Whether the target understands the signatures of this maker."""
        return origin in (NAME, self.target.origin)
