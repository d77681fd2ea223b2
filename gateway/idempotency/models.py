"""What is remembered of requests that carry an idempotency key."""

from sqlmodel import Field, SQLModel

from kit.columns import big_int

RUNNING = "running"
KEPT = "kept"
"""It was answered with success. ``answer_id`` is the answer; None: it was too large to keep."""
OF_TURN = "of_turn"
"""It started the turn ``turn_id``, which has its answer."""


class IdempotencyRecord(SQLModel, table=True):
    """A request under its key. ``id`` names the API key and the idempotency key together."""

    __tablename__ = "idempotency_record"

    id: str = Field(primary_key=True)
    account_id: str
    key_id: str
    fingerprint: str
    state: str
    run_id: str
    """The request that carries it out; calls are billed under this id."""
    lease_until: int = Field(sa_column=big_int())
    """Until when the process that carries it out is known to live (Unix ms); while ``running``."""
    turn_id: str | None = None
    answer_id: str | None = None
    """The vault's secret that holds the sealed answer."""
    created_at: int = Field(sa_column=big_int())
    expires_at: int = Field(sa_column=big_int(index=True))
