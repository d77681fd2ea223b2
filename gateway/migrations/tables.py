"""Imports every package's tables, so that the metadata is complete."""

from sqlalchemy import MetaData
from sqlmodel import SQLModel

import broker.models
import connectors.models
import gateway.accounts.models
import gateway.billing.models
import gateway.billing.stripe.models
import gateway.idempotency.models
import gateway.outbox.models
import gateway.usage.models
import threads.models
import vault.models

__all__ = ["METADATA", "broker", "connectors", "gateway", "threads", "vault"]

METADATA: MetaData = SQLModel.metadata
