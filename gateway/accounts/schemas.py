"""JSON shapes of the key routes."""

import json
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, field_validator, model_validator

from gateway.accounts.models import ApiKey, EndUser
from kit.caller import Mode
from kit.money import Nanos, micros, nanos_from_usd, usd_text
from kit.request_body import RequestBody

CapPeriod = Literal["lifetime", "day", "week", "month"]
MAX_CAP_USD = Decimal(1_000_000_000)
MAX_METADATA_CHARS = 16_384
MAX_PER_MINUTE = 1_000_000_000
MAX_TIME_MS = 253_402_300_799_999
"""The last millisecond of the year 9999."""


def _not_blank(name: str) -> str:
    if not name.strip():
        raise ValueError("must not be blank")
    return name.strip()


KeyName = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_not_blank)]
ModelName = Annotated[str, Field(min_length=1, max_length=200)]


class KeyLimits(RequestBody):
    """The limits shared by minting and editing a key."""

    max_spend_usd: Decimal | None = Field(default=None, ge=0, le=MAX_CAP_USD, allow_inf_nan=False)
    cap_period: CapPeriod = "lifetime"
    models: list[ModelName] | None = Field(default=None, max_length=200)
    expires_at: int | None = Field(default=None, gt=0, le=MAX_TIME_MS)
    rpm: int | None = Field(default=None, ge=1, le=MAX_PER_MINUTE)
    tpm: int | None = Field(default=None, ge=1, le=MAX_PER_MINUTE)
    max_concurrent: int | None = Field(default=None, ge=1, le=100_000)
    on_disconnect: Literal["cancel", "drain"] = "cancel"

    @property
    def cap_nanos(self) -> Nanos | None:
        return None if self.max_spend_usd is None else nanos_from_usd(self.max_spend_usd)


class MintKey(KeyLimits):
    name: KeyName
    scope: Literal["admin", "standard"] = "standard"
    end_user_id: str | None = Field(default=None, min_length=1, max_length=200)
    mode: Mode | None = None

    @model_validator(mode="after")
    def _admins_are_not_end_users(self) -> "MintKey":
        if self.scope == "admin" and self.end_user_id is not None:
            raise ValueError("a key with scope admin cannot be bound to an end_user_id")
        return self


class EditKey(KeyLimits):
    name: KeyName | None = None

    def changes(self) -> dict[str, Any]:
        """The columns that the request names; a cap given as null removes it."""
        given = self.model_fields_set
        changes: dict[str, Any] = {name: getattr(self, name) for name in _EDITED_AS_THEY_ARE if name in given}
        if "max_spend_usd" in given:
            changes["cap_nanos"] = self.cap_nanos
        if self.name is not None:
            changes["name"] = self.name
        return changes


_EDITED_AS_THEY_ARE = (
    "models",
    "expires_at",
    "cap_period",
    "rpm",
    "tpm",
    "max_concurrent",
    "on_disconnect",
)


class PutEndUser(RequestBody):
    """What is to be kept of an end user: all of it, as with any PUT."""

    budget_usd: Decimal | None = Field(default=None, ge=0, le=MAX_CAP_USD, allow_inf_nan=False)
    budget_period: CapPeriod = "lifetime"
    markup: Decimal | None = Field(default=None, ge=0, le=10, allow_inf_nan=False, decimal_places=6)
    metadata: dict[str, Any] = Field(default_factory=dict)

    @field_validator("metadata")
    @classmethod
    def _is_small(cls, metadata: dict[str, Any]) -> dict[str, Any]:
        if len(json.dumps(metadata)) > MAX_METADATA_CHARS:
            raise ValueError(f"must not be larger than {MAX_METADATA_CHARS} characters as JSON")
        return metadata


def render_end_user(row: EndUser) -> dict[str, Any]:
    budget = row.budget_nanos
    return {
        "id": row.end_user_id,
        "object": "end_user",
        "budget_usd": None if budget is None else float(usd_text(budget)),
        "budget_micros": None if budget is None else micros(budget),
        "budget_period": row.budget_period,
        "markup": None if row.markup is None else float(row.markup),
        "metadata": row.meta,
        "created_at": row.created_at,
        "updated_at": row.updated_at,
    }


def render_key(row: ApiKey, mode: Mode) -> dict[str, Any]:
    """A key as the wire shows it; never its secret. ``mode``: its account's."""
    return {
        "id": row.id,
        "object": "api_key",
        "name": row.name,
        "prefix": row.prefix,
        "scope": row.scope,
        "mode": mode,
        "end_user_id": row.end_user_id,
        "max_spend_usd": None if row.cap_nanos is None else float(usd_text(row.cap_nanos)),
        "cap_micros": None if row.cap_nanos is None else micros(row.cap_nanos),
        "cap_period": row.cap_period,
        "rpm": row.rpm,
        "tpm": row.tpm,
        "max_concurrent": row.max_concurrent,
        "on_disconnect": row.on_disconnect,
        "models": row.models,
        "expires_at": row.expires_at,
        "created_at": row.created_at,
        "revoked_at": row.revoked_at,
    }
