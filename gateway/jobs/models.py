"""Jobs: requests that are run in the background."""

from typing import Any

from sqlalchemy import Index, text
from sqlmodel import Field, SQLModel

from kit.columns import big_int, json_column

QUEUED, RUNNING = "queued", "running"
COMPLETED, FAILED, CANCELLED = "completed", "failed", "cancelled"
STATUSES = (QUEUED, RUNNING, COMPLETED, FAILED, CANCELLED)
_UNDER_WAY = text("status IN ('queued', 'running')")
_ENDED = text("finished_at IS NOT NULL")


class Job(SQLModel, table=True):
    """A request to an inference route. What it says and what came of it are in the vault.

    ``attempt`` numbers the runs, each of which is billed under an id of its own; ``interruptions`` counts
    those that ended with their process.
    """

    __tablename__ = "job"
    __table_args__ = (
        Index("job_by_account", "account_id", "created_at", "id"),
        Index(
            "job_under_way",
            "status",
            "account_id",
            "created_at",
            sqlite_where=_UNDER_WAY,
            postgresql_where=_UNDER_WAY,
        ),
        Index("job_ended", "finished_at", sqlite_where=_ENDED, postgresql_where=_ENDED),
    )

    id: str = Field(primary_key=True)
    account_id: str
    key_id: str
    end_user_id: str | None = None
    endpoint: str
    model: str | None = None
    meta: dict[str, Any] = Field(default_factory=dict, sa_column=json_column())
    status: str = QUEUED
    request_id: str | None = None
    """The secret that is the request; none once the job has ended."""
    answer_id: str | None = None
    """The secret that is the answer's body."""
    http_status: int | None = None
    content_type: str | None = None
    answer_bytes: int | None = Field(default=None, sa_column=big_int(nullable=True))
    error: dict[str, Any] | None = Field(default=None, sa_column=json_column(nullable=True))
    attempt: int = 0
    interruptions: int = 0
    max_attempts: int
    not_before: int = Field(default=0, sa_column=big_int())
    cancel_requested: bool = False
    lease_owner: str | None = None
    lease_until: int = Field(default=0, sa_column=big_int())
    created_at: int = Field(sa_column=big_int())
    started_at: int | None = Field(default=None, sa_column=big_int(nullable=True))
    finished_at: int | None = Field(default=None, sa_column=big_int(nullable=True))


def run_id_of(job_id: str, attempt: int) -> str:
    """Under which a run is billed."""
    return f"{job_id}:{attempt}"
