"""Tools as they are offered in a turn's request: each with the schema that its provider takes."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from gateway.inference.dialects.neutral import Request, Tool
from gateway.inference.tool_schemas.fitting import Rules, SchemaFitter
from gateway.inference.tool_schemas.restoration import Restoration

_decode_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


@dataclass(frozen=True, slots=True)
class ToolOffer:
    """Fits the tools of requests whose calls come back through ``restorations``."""

    fitter: SchemaFitter

    def request(self, request: Request, rules: Rules) -> Request:
        """A request in the neutral form with its functions' schemas fitted."""
        if not any(isinstance(tool, Tool) for tool in request.tools):
            return request
        tools = [self._tool(tool, rules) if isinstance(tool, Tool) else tool for tool in request.tools]
        return msgspec.structs.replace(request, tools=tools)

    def anthropic(self, body: Mapping[str, Any], raw: bytes) -> tuple[Mapping[str, Any], bytes]:
        """A Messages request and its bytes likewise; the very same ones if no schema has to change."""
        tools = body.get("tools")
        if not isinstance(tools, list):
            return body, raw
        fitted = [self._anthropic_tool(tool) for tool in tools]
        if all(new is old for new, old in zip(fitted, tools, strict=True)):
            return body, raw
        fields: dict[str, Any] = {**_decode_fields(raw), "tools": fitted}
        return {**body, "tools": fitted}, msgspec.json.encode(fields)

    def restorations(self, body: Mapping[str, Any], rules: Rules) -> dict[str, Restoration]:
        """How the arguments of calls become what the tools of a Messages request declared, by the tools'
        names; only of those where something is to be done."""
        found = {}
        for tool in body.get("tools") or ():
            schema = tool.get("input_schema")
            if isinstance(schema, Mapping):
                restoration = self.fitter.fit(schema, rules).restoration
                if not restoration.changes_nothing:
                    found[str(tool["name"])] = restoration
        return found

    def _tool(self, tool: Tool, rules: Rules) -> Tool:
        if tool.custom or tool.schema is None:
            return tool
        fitted = self.fitter.fit(tool.schema, rules)
        return msgspec.structs.replace(tool, schema=fitted.schema, strict=fitted.strict or None)

    def _anthropic_tool(self, tool: Any) -> Any:
        schema = tool.get("input_schema") if isinstance(tool, Mapping) else None
        if not isinstance(schema, Mapping):
            return tool
        fitted = self.fitter.fit(schema, "anthropic").schema
        return tool if fitted == schema else {**tool, "input_schema": fitted}
