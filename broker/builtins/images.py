"""What the image tool needs of whoever can draw and bill it, as a protocol."""

from dataclasses import dataclass, field
from typing import Protocol

from broker.calls import ToolScope
from broker.metering import Payment


@dataclass(frozen=True)
class ImageRequest:
    model: str
    prompt: str
    count: int = 1
    size: str | None = None
    quality: str | None = None


@dataclass(frozen=True)
class MadeImage:
    """A picture: base64 of the file, or where it can be fetched."""

    base64: str | None = field(default=None, repr=False)
    url: str | None = None


class ImageMaker(Protocol):
    async def make(self, scope: ToolScope, payment: Payment, wanted: ImageRequest) -> list[MadeImage]:
        """Draw, and bill it to the key of the payment within its budget; ``payment.charge`` tells then what
        it cost. Raises HeddleError: PaymentRequired and RateLimited before anything was drawn."""
        ...
