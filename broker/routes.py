"""Tools and MCP servers over HTTP."""

import asyncio
from typing import Annotated, Any, Literal

import msgspec
from fastapi import APIRouter, Query, Request, Response

from broker.broker import Broker
from broker.calls import (
    AnswersLater,
    ToolCall,
    ToolScope,
    error_result,
)
from broker.direct_calls import ONLY_IN_TURNS, called, connection_required
from broker.exchange import Exchange
from broker.metering import Payment
from broker.models import McpServer, McpTool
from broker.new_server import changed_credentials, new_server
from broker.schemas import CallTool, CreateTool, EditTool, RotateSecret, TestTool, render_tool
from broker.server_schemas import (
    ApproveTools,
    CreateServer,
    ServerPolicy,
    render_operator_server,
    render_server,
)
from broker.servers import McpServers
from connectors.catalog import Catalog, CatalogEntry
from connectors.credentials import ConnectionRequired
from connectors.own_client import OwnClient
from kit.caller import Admin, Caller, Standard
from kit.errors import InvalidRequest
from kit.ids import new_id
from kit.money import micros
from kit.paging import DEFAULT_LIMIT, MAX_LIMIT, decode_cursor, page
from kit.trace_context import trace_in_headers

Limit = Annotated[int, Query(ge=1, le=MAX_LIMIT)]


def tool_routes(broker: Broker) -> APIRouter:
    router = APIRouter(prefix="/v1/tools", tags=["tools"])
    registry = broker.registry

    @router.post("", status_code=201)
    async def create_tool(body: CreateTool, caller: Admin) -> dict[str, Any]:
        if body.webhook_url is None:
            assert body.provider is not None
            columns = body.columns(chosen=True)
            tool = await broker.builtins.create(
                caller.account_id, body.provider, columns, auth_mode=body.auth_mode, config=body.config
            )
            return render_tool(tool)
        broker.policy.check_url(body.webhook_url, param="webhook_url")
        tool, secret = await registry.create(caller.account_id, body.columns(chosen=False))
        return {**render_tool(tool), "secret": secret}

    @router.get("")
    async def list_tools(
        caller: Standard, limit: Limit = DEFAULT_LIMIT, cursor: str | None = None
    ) -> dict[str, Any]:
        before = decode_cursor(cursor, int, str) if cursor else None
        rows = await registry.page(caller.account_id, limit=limit, before=before)
        answer = page(rows, limit, render_tool, lambda row: (row.created_at, row.id))
        return {**answer, "tools": answer["data"]}

    @router.post("/call")
    async def call_tool(body: CallTool, caller: Standard, request: Request) -> Response:
        end_user_id = caller.acting_for(body.end_user_id)
        scope = ToolScope(
            caller.account_id,
            end_user_id,
            thread_id=body.thread_id,
            connection_label=body.connection_label,
            trace=trace_in_headers(request.headers.raw),
        )
        payment = Payment(request.scope["request_id"], caller.key_id, is_request=True)
        result, nanos = await called(broker, scope, body.name, body.input, payment)
        cost = {} if nanos is None else {"cost_micros": micros(nanos)}
        answer = {
            "tool": body.name,
            "output": result.whole_output,
            "is_error": result.is_error,
            "content": result.content,
            "dispatch": result.record,
            **({} if result.for_client is None else {"mcp": {"result": result.for_client}}),
            **cost,
        }
        headers = {} if nanos is None else {"x-heddle-cost-micros": str(micros(nanos))}
        return Response(msgspec.json.encode(answer), headers=headers, media_type="application/json")

    @router.get("/{tool_id}")
    async def get_tool(tool_id: str, caller: Standard) -> dict[str, Any]:
        return render_tool(await registry.get(caller.account_id, tool_id))

    @router.patch("/{tool_id}")
    async def edit_tool(tool_id: str, body: EditTool, caller: Admin) -> dict[str, Any]:
        if body.webhook_url is not None:
            broker.policy.check_url(body.webhook_url, param="webhook_url")
        changes = body.model_dump(exclude_none=True, exclude={"config", "provider", "auth_mode"})
        row = await registry.get(caller.account_id, tool_id)
        if row.provider is not None:
            if body.webhook_url is not None:
                raise InvalidRequest("webhook_url: a built-in tool has none", param="webhook_url")
            return render_tool(await broker.builtins.edit(row, changes, body.config))
        if body.config is not None:
            raise InvalidRequest("config: only built-in tools have one", param="config")
        return render_tool(await registry.edit(caller.account_id, tool_id, changes))

    @router.delete("/{tool_id}")
    async def delete_tool(tool_id: str, caller: Admin) -> dict[str, Any]:
        await registry.delete(caller.account_id, tool_id)
        return {"id": tool_id, "object": "tool.deleted", "deleted": True}

    @router.post("/{tool_id}/rotate-secret")
    async def rotate_secret(tool_id: str, caller: Admin, body: RotateSecret | None = None) -> dict[str, Any]:
        overlap_s = (body or RotateSecret()).overlap_s
        secret, until = await registry.rotate_secret(caller.account_id, tool_id, overlap_s=overlap_s)
        return {"id": tool_id, "secret": secret, "rotation_overlap_until": until}

    @router.post("/{tool_id}/test")
    async def test_tool(tool_id: str, body: TestTool, caller: Admin, request: Request) -> dict[str, Any]:
        tool = await registry.get(caller.account_id, tool_id)
        exchange = Exchange()
        call = ToolCall(new_id("test"), tool.name, body.input, created_at=broker.clock.now_ms())
        scope = ToolScope(caller.account_id, body.end_user_id)
        if tool.provider is not None:
            payment = Payment(request.scope["request_id"], caller.key_id, is_request=True)
            tried, _ = await called(broker, scope, tool.name, body.input, payment)
            shown = {"output": tried.output, "is_error": tried.is_error, "dispatch": tried.record}
            return {**shown, "request": None, "response": None}
        invalid = broker.check_arguments(tool.name, tool.input_schema, call)
        target = await broker.webhook_targets.current(tool.account_id, tool.id)
        result = invalid or await broker.webhooks.test(target, scope, call, exchange)
        if isinstance(result, AnswersLater):
            result = error_result(ONLY_IN_TURNS, result.record)
        return {
            "output": result.output,
            "is_error": result.is_error,
            "dispatch": result.record,
            **exchange.as_json(),
        }

    return router


def mcp_server_routes(broker: Broker, catalog: Catalog) -> APIRouter:
    router = APIRouter(prefix="/v1", tags=["mcp servers"])
    servers = broker.servers

    @router.post("/mcp-servers", status_code=201)
    async def create_server(body: CreateServer, caller: Admin) -> dict[str, Any]:
        new = new_server(body, catalog)
        broker.policy.check_url(new.server_url, param="server_url")
        made = await servers.create(caller.account_id, new)
        skipped = [{"name": tool.name, "reason": tool.reason} for tool in made.skipped]
        client = new.credentials if isinstance(new.credentials, OwnClient) else None
        return {**render_server(made.server, made.tools, client), "skipped": skipped}

    @router.get("/mcp-servers")
    async def list_servers(caller: Standard) -> dict[str, Any]:
        rows = await servers.store.all(caller.account_id)
        tools = await servers.store.tools(*(row.id for row in rows))
        visible = await asyncio.gather(*(_visible(servers, row, tools[row.id], caller) for row in rows))
        clients = await servers.store.own_clients(caller.account_id)
        data = [
            render_server(row, seen, clients.get(row.id)) for row, seen in zip(rows, visible, strict=True)
        ]
        own, price_of = {row.name for row in rows}, await broker.prices(caller.account_id)
        operators = [
            render_operator_server(name, offered, price_of)
            for name, offered in (await broker.operator_tools()).items()
            if name not in own
        ]
        listed = {"object": "list", "data": data, "has_more": False, "next_cursor": None}
        return {**listed, "operator_servers": operators}

    @router.get("/mcp-servers/{server_id}")
    async def get_server(server_id: str, caller: Standard) -> dict[str, Any]:
        row = await servers.store.get(caller.account_id, server_id)
        tools = await _visible(servers, row, await servers.tools(row), caller)
        return render_server(row, tools, await servers.tenant.current(row))

    @router.patch("/mcp-servers/{server_id}")
    async def edit_server(server_id: str, body: ServerPolicy, caller: Admin) -> dict[str, Any]:
        row = await servers.store.get(caller.account_id, server_id)
        client = await servers.tenant.current(row)
        row = await servers.edit(row, body.columns, changed_credentials(body, row, client))
        return render_server(row, await servers.tools(row), await servers.tenant.current(row))

    @router.post("/mcp-servers/{server_id}/approve")
    async def approve_tools(server_id: str, body: ApproveTools, caller: Admin) -> dict[str, Any]:
        row = await servers.store.get(caller.account_id, server_id)
        return {"id": row.id, "approved": await servers.store.approve(row, body.definitions)}

    @router.get("/mcp-servers/{server_id}/resources")
    async def read_resource(
        server_id: str, uri: str, caller: Standard, end_user_id: str | None = None
    ) -> dict[str, Any]:
        scope = ToolScope(caller.account_id, caller.acting_for(end_user_id))
        try:
            return await broker.interfaces.read(scope, server_id, uri)
        except ConnectionRequired as need:
            raise connection_required(
                await broker.connect_link(scope, need.connector, need.connector)
            ) from None

    @router.delete("/mcp-servers/{server_id}")
    async def delete_server(server_id: str, caller: Admin) -> dict[str, Any]:
        await servers.delete(await servers.store.get(caller.account_id, server_id))
        return {"id": server_id, "object": "mcp_server.deleted", "deleted": True}

    @router.post("/mcp-servers/{server_id}/refresh")
    async def refresh_server(server_id: str, caller: Admin, end_user_id: str | None = None) -> dict[str, Any]:
        row = await servers.store.get(caller.account_id, server_id)
        changes, skipped = await servers.refresh(row, ToolScope(caller.account_id, end_user_id))
        return {
            "added": changes.added,
            "removed": changes.removed,
            "changed": changes.changed,
            "skipped": [{"name": tool.name, "reason": tool.reason} for tool in skipped],
        }

    @router.get("/mcp-catalog")
    async def list_catalog(
        q: str = "", category: str | None = None, kind: Literal["mcp", "api"] = "mcp"
    ) -> dict[str, Any]:
        wanted = q.lower()
        data = [
            _render_entry(entry)
            for entry in catalog
            if any(wanted in name.lower() for name in (entry.slug, entry.display_name, *entry.aliases))
            and category in {None, entry.category}
            and entry.kind == kind
        ]
        return {"object": "list", "data": data, "has_more": False, "next_cursor": None}

    return router


async def _visible(
    servers: McpServers, server: McpServer, tools: list[McpTool], caller: Caller
) -> list[McpTool]:
    """A key that is bound to an end user sees that user's own tools, never what may be another one's."""
    if caller.end_user_id is None or server.has_shared_tools:
        return tools
    return await servers.tools_seen_by(server, ToolScope(caller.account_id, caller.end_user_id))


def _render_entry(entry: CatalogEntry) -> dict[str, Any]:
    return {
        "slug": entry.slug,
        "display_name": entry.display_name,
        "category": entry.category,
        "kind": entry.kind,
        "server_url": entry.server_url,
        "api_url": entry.api_url,
        "auth": entry.auth,
        "auth_kinds": list(entry.auth_kinds),
        "config_schema": entry.config_schema,
        "docs_url": entry.docs_url,
    }
