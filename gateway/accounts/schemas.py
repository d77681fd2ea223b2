"""JSON shapes of the key routes."""

from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from gateway.accounts.models import ApiKey
from kit.errors import Unsupported
from kit.money import Nanos, micros, nanos_from_usd, usd_text
from kit.request_body import RequestBody

CapPeriod = Literal["lifetime", "day", "week", "month"]
MAX_CAP_USD = Decimal(1_000_000_000)
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

    @model_validator(mode="before")
    @classmethod
    def _rates_are_not_offered_yet(cls, body: Any) -> Any:
        for name in ("rpm", "tpm"):
            if isinstance(body, dict) and body.get(name) is not None:
                raise Unsupported(f"{name}: rate limits per key are not available yet", param=name)
        return body

    @property
    def cap_nanos(self) -> Nanos | None:
        return None if self.max_spend_usd is None else nanos_from_usd(self.max_spend_usd)


class MintKey(KeyLimits):
    name: KeyName
    scope: Literal["admin", "standard"] = "standard"
    end_user_id: str | None = Field(default=None, min_length=1, max_length=200)

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
        changes: dict[str, Any] = {
            name: getattr(self, name) for name in ("models", "expires_at", "cap_period") if name in given
        }
        if "max_spend_usd" in given:
            changes["cap_nanos"] = self.cap_nanos
        if self.name is not None:
            changes["name"] = self.name
        return changes


def render_key(row: ApiKey) -> dict[str, Any]:
    """A key as the wire shows it; never its secret."""
    return {
        "id": row.id,
        "object": "api_key",
        "name": row.name,
        "prefix": row.prefix,
        "scope": row.scope,
        "end_user_id": row.end_user_id,
        "max_spend_usd": None if row.cap_nanos is None else float(usd_text(row.cap_nanos)),
        "cap_micros": None if row.cap_nanos is None else micros(row.cap_nanos),
        "cap_period": row.cap_period,
        "models": row.models,
        "expires_at": row.expires_at,
        "created_at": row.created_at,
        "revoked_at": row.revoked_at,
    }
