"""Dynamic mode: search, schemas, execution and connections, for turns (as tools) and over REST alike."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from broker.calls import ToolCall, ToolResult, ToolScope, ToolSelection
from broker.dynamic.calls import META_TOOLS, call_record, parse_calls, told
from broker.dynamic.catalog_servers import slug_of
from broker.dynamic.lookup import Lookup, Missing
from broker.dynamic.manage import CONNECTED, NOT_CONNECTED, ManageConnections
from broker.dynamic.meaning import Meaning, ToolEmbeddings, fused
from broker.dynamic.meta_tools import (
    EXECUTE,
    MANAGE,
    MAX_FOUND,
    MAX_NAMES,
    SCHEMAS,
    SEARCH,
    USUAL_FOUND,
    MetaTool,
    bound,
)
from broker.dynamic.multi_execute import Batch, MultiExecute, Unkept
from broker.dynamic.offers import Offers, View
from broker.tool import BoundTool, CallContext
from broker.toolset import Toolset
from kit.errors import InvalidRequest

MAX_INTENT_CHARS = 2_000
MAX_SCHEMAS = 60
"""In one answer: a server may have hundreds of tools."""
NOT_NEEDED = "not_needed"
"""The connection of a tool that needs none."""


class DynamicMode:
    def __init__(
        self, offers: Offers, lookup: Lookup, execute: MultiExecute, connections: ManageConnections
    ) -> None:
        self._offers = offers
        self._lookup = lookup
        self._execute = execute
        self.connections = connections
        self.meaning: Meaning | None = None

    def embed_with(self, model: ToolEmbeddings) -> None:
        """Find tools by their meaning too."""
        self.meaning = Meaning(model)

    async def close(self) -> None:
        if self.meaning is not None:
            await self.meaning.close()

    async def toolset(self, scope: ToolScope, selection: ToolSelection) -> Toolset:
        """The four tools; with ``selection.tools`` they find and call nothing else than those.

        Raises InvalidRequest naming one of ``selection.tools`` that is not there.
        """
        only = frozenset(selection.tools)
        if only:
            view = await self._offers.view(scope)
            for name in selection.tools:
                if not knows(view, name):
                    raise InvalidRequest(
                        f"tools: there is no tool {name}", code="unknown_tool", param="tools"
                    )
        callees = {
            SEARCH: MetaTool(SEARCH, partial(self._search_tool, only)),
            SCHEMAS: MetaTool(SCHEMAS, partial(self._schemas_tool, only)),
            EXECUTE: ExecuteTool(self._execute, only),
            MANAGE: MetaTool(MANAGE, partial(self._manage_tool, only)),
        }
        return Toolset({name: bound(name, callees[name]) for name in sorted(callees)})

    async def unknown(self, scope: ToolScope, names: Sequence[str]) -> str | None:
        """The first of these names that means nothing here."""
        view = await self._offers.view(scope)
        return next((name for name in names if name not in META_TOOLS and not knows(view, name)), None)

    async def search(
        self, scope: ToolScope, key_id: str, intent: str, limit: int, only: frozenset[str] = frozenset()
    ) -> dict[str, Any]:
        """``key_id``: who pays where it costs something. Raises InvalidRequest for an empty intent."""
        if not intent.strip():
            raise InvalidRequest("intent: expected what you want to do, in words", param="intent")
        view = await self._offers.view(scope)
        shelf = view.shelf
        among = None
        if only:
            among = [at for at, offer in enumerate(shelf.offers) if offer.permitted(only)]
        intent = intent[:MAX_INTENT_CHARS]
        found = shelf.index.search(intent, max(limit, MAX_FOUND), among=among)
        if self.meaning is not None:
            texts = [f"{offer.name}: {offer.description}" for offer in shelf.offers]
            near = await self.meaning.nearest(scope, key_id, texts, intent, among=among)
            found = fused(found, near, limit=limit) if near else found
        found = found[:limit]
        return {"results": [_shown(view, at) for at in found]}

    async def schemas(
        self, scope: ToolScope, names: Sequence[str], only: frozenset[str] = frozenset()
    ) -> dict[str, Any]:
        """Raises InvalidRequest without names; a name that means nothing is in ``errors``."""
        if not 1 <= len(names) <= MAX_NAMES:
            raise InvalidRequest(f"names: expected 1 to {MAX_NAMES} names of tools", param="names")
        found = await self._lookup.find(scope, names, only)
        tools: dict[str, BoundTool] = {}
        errors = []
        for name, meant in found.items():
            if isinstance(meant, Missing):
                hint = " Connect it first." if meant.connector is not None else ""
                errors.append({"name": name, "message": f"{meant.message}{hint}"})
            else:
                tools |= {tool.display_name: tool for tool in meant}
        schemas = [
            {"name": name, "description": tool.description, "input_schema": tool.input_schema}
            for name, tool in list(tools.items())[:MAX_SCHEMAS]
        ]
        left_out = {"left_out": sorted(tools)[MAX_SCHEMAS:]} if len(tools) > MAX_SCHEMAS else {}
        return {"schemas": schemas, **left_out, **({"errors": errors} if errors else {})}

    async def execute(self, call: ToolCall, context: CallContext) -> dict[str, Any]:
        """A request's calls, each result with what it cost if it has a price. Raises InvalidRequest."""
        asked, unkept = parse_calls(call.input.get("calls")), Unkept()
        results = await self._execute.run(Batch(call, asked, context, frozenset()), unkept)
        answer: dict[str, Any] = told(asked, results).output
        for place, entry in enumerate(answer["results"]):
            entry["dispatch"] = results[place].record
            if place in unkept.cost_micros:
                entry["cost_micros"] = unkept.cost_micros[place]
        return answer

    async def _search_tool(
        self, only: frozenset[str], scope: ToolScope, key_id: str, arguments: dict[str, Any]
    ) -> dict[str, Any]:
        limit = min(MAX_FOUND, arguments.get("limit") or USUAL_FOUND)
        return await self.search(scope, key_id, arguments["intent"], limit, only)

    async def _schemas_tool(
        self, only: frozenset[str], scope: ToolScope, _key_id: str, arguments: dict[str, Any]
    ) -> dict[str, Any]:
        return await self.schemas(scope, names_in(arguments), only)

    async def _manage_tool(
        self, only: frozenset[str], scope: ToolScope, _key_id: str, arguments: dict[str, Any]
    ) -> dict[str, Any]:
        return await self.connections.manage(scope, arguments["action"], arguments.get("tool"), only=only)


@dataclass(frozen=True)
class ExecuteTool:
    """The callee of ``qlaud_multi_execute``."""

    execute: MultiExecute
    only: frozenset[str]

    async def call(self, call: ToolCall, context: CallContext) -> ToolResult:
        asked = parse_calls(call.input.get("calls"))
        results = await self.execute.run(Batch(call, asked, context, self.only), context.inner or Unkept())
        answer = told(asked, results)
        calls = [call_record(one.name, results[place]) for place, one in enumerate(asked)]
        record = {"kind": "dynamic", "target": EXECUTE, "status": "ok", "calls": calls}
        return ToolResult(answer.output, answer.content, record=record, answered=True)

    async def reached_by(self, call: ToolCall, scope: ToolScope) -> list[BoundTool]:
        try:
            asked = parse_calls(call.input.get("calls"))
        except InvalidRequest:
            return []  # what is wrong with it, the call itself says
        return await self.execute.reached(scope, asked, self.only)


def names_in(arguments: dict[str, Any]) -> list[str]:
    """``names``, or ``tools``. Raises InvalidRequest."""
    names = arguments.get("names") or arguments.get("tools")
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise InvalidRequest("names: expected a list of names of tools", param="names")
    return list(dict.fromkeys(names))


def knows(view: View, name: str) -> bool:
    """Whether a name may mean something: a tool of a vendor that is not connected yet counts."""
    slug = slug_of(name)
    if slug is not None:
        return slug in view.vendors or any(server.catalog_slug == slug for server in view.servers)
    server = name.partition("/")[0]
    if any(
        server in {row.name, row.id} and ("/" not in name or not row.discovered_at) for row in view.servers
    ):
        return True
    return any(name == offer.name or name in offer.names for offer in view.shelf.offers)


def _shown(view: View, at: int) -> dict[str, Any]:
    offer = view.shelf.offers[at]
    connection = NOT_NEEDED
    if offer.connector is not None:
        connection = CONNECTED if offer.connector in view.connected else NOT_CONNECTED
    return {
        "name": offer.name,
        "kind": offer.kind,
        "description": offer.description,
        "connection": connection,
    }
