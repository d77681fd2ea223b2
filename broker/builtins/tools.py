"""The built-in tools of an account, as the broker calls them."""

import asyncio
import hashlib
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import httpx
import msgspec

from broker.builtins.builtin import PER_USER, Builtin, Invocation, Made, Services
from broker.builtins.catalog import known
from broker.builtins.config import ToolConfig
from broker.builtins.failures import BuiltinFailed, Unauthorized
from broker.builtins.redaction import Redaction, texts_in
from broker.builtins.store import BuiltinStore
from broker.builtins.vendor_http import UNKNOWN_OUTCOME, VendorRequests
from broker.calls import ToolCall, ToolResult, ToolScope, error_result, json_result, text_block
from broker.end_user import end_user_of
from broker.models import Tool
from broker.policy import as_approval
from broker.schema import ArgumentValidator
from broker.tool import BoundTool, CallContext
from connectors.credentials import ConnectionRequired, Credential, Credentials
from kit.json import storable
from kit.outbound import guarded_client


class BuiltinTools:
    """Registered tools of the kind ``builtin``."""

    def __init__(self, store: BuiltinStore, credentials: Credentials, services: Services) -> None:
        self.store = store
        self.credentials = credentials
        self.services = services
        self.validator = ArgumentValidator()
        self.client: httpx.AsyncClient = guarded_client(services.policy)

    async def close(self) -> None:
        await self.client.aclose()

    def bind(self, row: Tool) -> BoundTool:
        """A row whose built-in this version does not have is there, and withheld."""
        provider = row.provider or ""
        builtin = known(provider)
        if builtin is None:
            gone = f"Heddle has no built-in {provider} any more"
            return BoundTool(row.name, row.description, {}, retry_safe=False, callee=None, withheld=gone)
        config = row.config or {}
        schema = row.input_schema or builtin.input_schema
        if builtin.shown is not None:
            schema = builtin.shown(schema, config)
        return BoundTool(
            row.name,
            row.description,
            schema,
            row.idempotent or builtin.is_retry_safe(config),
            _Builtin(self, builtin, row),
            aliases=frozenset({row.id}),
            approval=as_approval(row.approval),
            trusted=row.trusted,
        )


@dataclass(frozen=True)
class _Builtin:
    tools: BuiltinTools
    builtin: Builtin
    row: Tool

    async def call(self, call: ToolCall, context: CallContext) -> ToolResult:
        """Raises ConnectionRequired if this end user has to connect (again), InvalidRequest without an end
        user."""
        scope = context.scope
        wrong = self._own_problems(call)
        if wrong is not None:
            return wrong
        if self.row.auth_mode != PER_USER:
            return await self._run(call, context, await self.tools.store.open(self.row), None)
        end_user_id = end_user_of(scope, f"the tool {self.row.name} acts")
        connector = self.builtin.connector or ""
        lease = partial(self.tools.credentials.lease, label=scope.label_at(connector))
        config = await self.tools.store.open(self.row)
        credential = await lease(scope.account_id, connector, end_user_id)
        try:
            return await self._run(call, context, config, credential)
        except Unauthorized:  # it was not carried out: a second time does no harm
            credential = await lease(scope.account_id, connector, end_user_id, rejected=credential)
        try:
            return await self._run(call, context, config, credential)
        except Unauthorized:
            raise ConnectionRequired(connector, end_user_id, "expired") from None

    def _own_problems(self, call: ToolCall) -> ToolResult | None:
        """What is wrong for the tool itself, where the developer has given it a schema of their own."""
        if not self.row.input_schema or self.builtin.free_input:
            return None
        problems = self.tools.validator.problems(self.builtin.input_schema, call.input)
        if not problems:
            return None
        return error_result(
            f"The arguments do not fit: {'; '.join(problems)}.",
            {"kind": "validation", "target": self.row.name, "status": "invalid_arguments"},
        )

    async def _run(
        self, call: ToolCall, context: CallContext, config: ToolConfig, credential: Credential | None
    ) -> ToolResult:
        """One attempt. Raises Unauthorized if an end user's credential is refused, and HeddleErrors of the
        house."""
        own = None if credential is None else credential.headers
        redaction = Redaction([*texts_in(config.secret), *(own or {}).values()])
        record: dict[str, Any] = {"kind": "builtin", "provider": self.builtin.provider}
        http = VendorRequests(
            self.tools.client, self.builtin.brand or "The server", redaction, record, self._timeout_s
        )
        invocation = Invocation(
            input=storable(call.input),
            config=config.values,
            own=own,
            scope=context.scope,
            payment=context.payment,
            idempotency_key=_key(context.scope, self.row, call),
            http=http,
            services=self.tools.services,
        )
        started = time.monotonic()
        try:
            async with asyncio.timeout(self._timeout_s):
                output = await self.builtin.run(invocation)
        except BuiltinFailed as failure:
            if isinstance(failure, Unauthorized) and credential is not None:
                raise
            record["latency_ms"] = _ms(started)
            message = redaction.of(failure.message)
            return self._failed(BuiltinFailed(message, status=failure.status), record)
        except TimeoutError:
            record["latency_ms"] = _ms(started)
            outcome = "" if self.builtin.is_retry_safe(config.public) else f" {UNKNOWN_OUTCOME}"
            late = f"It did not answer within {self._timeout_s:g} seconds.{outcome}"
            return self._failed(BuiltinFailed(late, status="timeout"), record)
        record["latency_ms"] = _ms(started)
        record.setdefault("status", "ok")
        return _result(output, redaction, record)

    @property
    def _timeout_s(self) -> float:
        return self.row.timeout_ms / 1000

    def _failed(self, failure: BuiltinFailed, record: Mapping[str, Any]) -> ToolResult:
        told = {**record, "status": failure.status}
        result = error_result(f"The tool {self.row.name} failed: {failure.message}", told)
        return replace(result, answered="bytes" in record)  # it may quote what the vendor said


def _result(output: Any, redaction: Redaction, record: dict[str, Any]) -> ToolResult:
    if not isinstance(output, Made):
        return json_result(redaction.of_json(output), is_error=False, record=record)
    shown = json_result(output.output, is_error=False, record=record)
    return ToolResult(shown.output, [text_block(output.text)], record=record, answered=True)


def _key(scope: ToolScope, row: Tool, call: ToolCall) -> str:
    """Tool-use ids are unique in a thread only, so what surrounds the call goes into it."""
    parts = [scope.account_id, scope.thread_id, scope.turn_id, row.id, call.tool_use_id]
    return hashlib.sha256(msgspec.json.encode(parts)).hexdigest()


def _ms(started: float) -> int:
    return round((time.monotonic() - started) * 1000)
