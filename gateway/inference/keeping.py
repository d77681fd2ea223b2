"""An answer that is kept with what it cost: both are written in one transaction, or neither."""

from typing import Protocol

from sqlmodel import Session


class AnswerUnwanted(Exception):
    """Nobody keeps the answer any more: its call costs nothing."""


class Keeper(Protocol):
    """Found as ``scope["keeper"]``: keeps the answer of one call."""

    @property
    def forgives(self) -> bool:
        """Whether a call that is cut off now costs nothing: it is this process that ends it."""
        ...

    def take(self, piece: bytes) -> None:
        """The next bytes of the answer, as the client would get them."""
        ...

    def keep(self, session: Session, content_type: str) -> None:
        """The answer is whole; runs in the transaction that settles it. Raises AnswerUnwanted."""
        ...
