"""Registering built-in tools and changing them: what a request asks for becomes a row and a secret."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from broker.builtins.builtin import PER_USER, TENANT, Builtin
from broker.builtins.catalog import find
from broker.builtins.config import ToolConfig, edited, read_config
from broker.builtins.store import BuiltinStore
from broker.models import Tool
from connectors.credentials import Credentials
from kit.errors import InvalidRequest, NotFound
from kit.outbound import OutboundPolicy
from vault.store import SecretNotFound


@dataclass(frozen=True)
class BuiltinRegistration:
    """Invariant: what is registered can be called as it is, or by an end user who connects."""

    store: BuiltinStore
    credentials: Credentials
    policy: OutboundPolicy

    async def create(
        self,
        account_id: str,
        provider: str,
        columns: Mapping[str, Any],
        *,
        auth_mode: str | None = None,
        config: Mapping[str, Any] | None = None,
    ) -> Tool:
        """Raises InvalidRequest naming the field, NotFound for an unknown provider, Conflict for a taken
        name. ``columns``: what the request said of ``name``, ``description``, ``input_schema``,
        ``timeout_ms``, ``idempotent``."""
        builtin = find(provider)
        mode = await self._mode(account_id, builtin, auth_mode)
        checked = read_config(builtin, mode, config or {}, self.policy)
        row = {
            "description": builtin.description,
            "input_schema": {},
            "timeout_ms": builtin.timeout_ms,
            **columns,
            "provider": builtin.provider,
            "auth_mode": mode,
            **_columns(checked),
        }
        return await self.store.create(account_id, row, checked)

    async def edit(self, row: Tool, changes: dict[str, Any], config: Mapping[str, Any] | None) -> Tool:
        """``config``: what changes of it. Raises as ``create``."""
        if config is None:
            return await self.store.edit(row, changes, None)
        builtin = find(row.provider or "")
        try:
            merged = edited(await self.store.open(row), config)
        except SecretNotFound:
            raise NotFound(f"tool {row.id} not found") from None
        checked = read_config(builtin, row.auth_mode or TENANT, merged, self.policy)
        return await self.store.edit(row, {**changes, **_columns(checked)}, checked)

    async def _mode(self, account_id: str, builtin: Builtin, wanted: str | None) -> str:
        mode = wanted or TENANT
        if mode not in builtin.auth_modes:
            raise InvalidRequest(
                f"auth_mode: {builtin.provider} knows no users; expected tenant", param="auth_mode"
            )
        if mode == PER_USER and not await self._connects(account_id, builtin):
            raise InvalidRequest(
                f"auth_mode: end users cannot connect {builtin.connector} for this tool here; expected "
                "tenant, or a catalogue entry of that name with pasted keys or plain OAuth 2",
                param="auth_mode",
            )
        return mode

    async def _connects(self, account_id: str, builtin: Builtin) -> bool:
        """Whether there is such a vendor, and what end users give it is for its API: tokens that were issued
        for an MCP server are for that server alone (RFC 8707)."""
        try:
            target = await self.credentials.target(account_id, builtin.connector or "")
        except (NotFound, InvalidRequest):
            return False
        return target.entry is not None and target.auth != "oauth"


def _columns(config: ToolConfig) -> dict[str, Any]:
    """What of a configuration every tool has a column for."""
    return {"timeout_ms": config.public["timeout_ms"]} if "timeout_ms" in config.public else {}
