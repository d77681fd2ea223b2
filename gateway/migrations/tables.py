"""Imports every package's tables, so that the metadata is complete."""

from typing import Any

from sqlalchemy import MetaData
from sqlmodel import SQLModel

import broker.models
import connectors.models
import gateway.accounts.models
import gateway.billing.models
import gateway.billing.stripe.models
import gateway.idempotency.models
import gateway.jobs.models
import gateway.responses.models
import gateway.usage.models
import kit.outbox
import threads.models
import vault.models

__all__ = ["METADATA", "broker", "connectors", "gateway", "kit", "threads", "vault"]

METADATA: MetaData = SQLModel.metadata


def declared_here(name: str | None, kind: str, _parents: Any) -> bool:
    """Whether a table or index in a database is one that the metadata tells of (Alembic's ``include_name``):
    what finds search entries is made by SQL of each engine's own, in migration 0011 and
    ``threads/vector_schema.py``."""
    apart = ("search_index", "search_entry_", "message_vector")
    return not (kind in {"table", "index"} and name and name.startswith(apart))
