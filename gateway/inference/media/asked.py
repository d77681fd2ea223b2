"""What a client asked for, and by which of its provider's dialects a model can serve it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Generic, TypeVar

from gateway.inference.dialects.dialect import RequestFacts
from gateway.inference.models import Model
from gateway.inference.plan import Way
from kit.errors import Unsupported

What = TypeVar("What")


@dataclass(frozen=True, slots=True)
class Asked(Generic[What]):
    """A request that was understood (``plan.MediaRequest``), with the ``ways`` to serve it by dialect."""

    facts: RequestFacts
    what: What
    ways: Mapping[str, Callable[[What, Model, Decimal], Way]]

    def way(self, model: Model, markup: Decimal) -> Way:
        for dialect, way in self.ways.items():
            if dialect in model.provider.base_urls:
                return way(self.what, model, markup)
        spoken = " and ".join(model.provider.base_urls)
        raise Unsupported(
            f"model {model.slug} is served by {model.provider.name}, which speaks {spoken}: "
            "it has no such route",
            param="model",
        )
