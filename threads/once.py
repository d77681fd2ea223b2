"""What a turn needs to know of a request that its client may send again under an idempotency key."""

from typing import Protocol

from sqlmodel import Session


class Once(Protocol):
    """Found as ``scope["once"]``. A repeated request joins the turn that the first one started."""

    @property
    def turn_id(self) -> str | None:
        """The turn that this request started when it came before; None if it did not."""
        ...

    def begins(self, session: Session, turn_id: str) -> None:
        """Remember the turn, in the transaction that makes it."""
        ...

    async def accepted(self) -> None:
        """The turn's first step was accepted: from now on repeats are answered from the turn."""
        ...
