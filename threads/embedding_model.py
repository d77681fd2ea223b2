"""What search by meaning needs of the gateway: metered embeddings, as a protocol."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from sqlmodel import Session

from kit.errors import HeddleError

Vector = Sequence[float]
VectorRecorder = Callable[[Session, Sequence[Vector]], None]
"""Writes vectors down in the transaction that settles what they cost."""
Purpose = Literal["search_index", "search_query"]
"""As it stands in the usage event."""


@dataclass(frozen=True, slots=True)
class EmbeddingPayer:
    """Who pays: an account, through a key, for an end user (empty: none)."""

    account_id: str
    key_id: str
    end_user_id: str

    @property
    def path(self) -> tuple[str, str, str]:
        """From the widest to the narrowest: all of an account's, of a key's, of an end user's."""
        return self.account_id, self.key_id, self.end_user_id


class TextsRefused(HeddleError):
    """The provider found fault with the texts themselves: with one of them at least."""

    status, type, code = 422, "invalid_request_error", "provider_refused"


class EmbeddingModel(Protocol):
    @property
    def space(self) -> str:
        """Names the model and its dimensions: only vectors of one space can be compared."""
        ...

    async def embed(
        self,
        payer: EmbeddingPayer,
        purpose: Purpose,
        texts: Sequence[str],
        record: VectorRecorder | None = None,
    ) -> Sequence[Vector]:
        """One vector for each text, all of one length. ``record`` runs in the transaction that settles the
        call: both or neither.

        Raises PaymentRequired (nothing sent), TextsRefused, or another HeddleError.
        """
        ...
