"""The tools of one turn: what the model is shown, and what each name means."""

from dataclasses import dataclass, field
from typing import Any

from broker.calls import NeedsConnection
from broker.mcp_connection import McpTarget
from broker.mcp_listing import ListedTool
from broker.models import McpServer, McpTool, Tool
from broker.names import model_names


@dataclass(frozen=True)
class BoundTool:
    """One tool of a toolset: a webhook, a tool of an MCP server, or of a server the operator runs, or one
    that the caller runs itself (``by_client``)."""

    display_name: str
    description: str
    input_schema: dict[str, Any]
    retry_safe: bool
    webhook: Tool | None = None
    server: McpServer | None = None
    server_tool: McpTool | None = None
    operator_target: McpTarget | None = None
    mcp_name: str = ""
    by_client: bool = False

    @classmethod
    def of_client(cls, name: str, description: str, input_schema: dict[str, Any]) -> "BoundTool":
        return cls(name, description, input_schema, retry_safe=False, by_client=True)

    @property
    def is_operators(self) -> bool:
        """Whether the operator provides it, so that it may have a price."""
        return self.operator_target is not None

    @classmethod
    def of_webhook(cls, tool: Tool) -> "BoundTool":
        return cls(tool.name, tool.description, tool.input_schema, tool.idempotent, webhook=tool)

    @classmethod
    def of_server(cls, server: McpServer, tool: McpTool) -> "BoundTool":
        name = f"{server.name}/{tool.name}"
        return cls(
            name, tool.description, tool.input_schema, tool.retry_safe, server=server, server_tool=tool
        )

    @classmethod
    def of_operator(cls, server_name: str, target: McpTarget, tool: ListedTool) -> "BoundTool":
        return cls(
            f"{server_name}/{tool.name}",
            tool.description,
            tool.input_schema,
            tool.retry_safe,
            operator_target=target,
            mcp_name=tool.name,
        )


@dataclass
class Toolset:
    """Tools by model-safe name, in an order that does not change from turn to turn (prompt caches)."""

    tools: dict[str, BoundTool] = field(default_factory=dict)
    required: tuple[NeedsConnection, ...] = ()
    """Servers whose tools cannot be known before this end user has connected."""

    @classmethod
    def build(cls, bound: list[BoundTool], required: tuple[NeedsConnection, ...] = ()) -> "Toolset":
        by_name = {tool.display_name: tool for tool in bound}
        names = model_names(by_name)
        return cls({names[name]: by_name[name] for name in sorted(by_name)}, required)

    def with_client_tools(self, client_tools: list[BoundTool]) -> "Toolset":
        """These and the caller's own, which are known by the names they have."""
        tools = {**self.tools, **{tool.display_name: tool for tool in client_tools}}
        return Toolset({name: tools[name] for name in sorted(tools)}, self.required)

    @property
    def definitions(self) -> list[dict[str, Any]]:
        """The tools in Anthropic's form."""
        return [
            {
                "name": name,
                "description": tool.description,
                "input_schema": {"type": "object", **tool.input_schema},
            }
            for name, tool in self.tools.items()
        ]

    def find(self, model_name: str) -> BoundTool | None:
        return self.tools.get(model_name)

    def names_of(self, model_name: str) -> tuple[set[str], set[str]]:
        """What a tool may be called by: its own names (for models, in full, or its webhook tool's id), and
        those of its server. None for a tool that the caller runs."""
        tool = self.tools.get(model_name)
        if tool is None or tool.by_client:
            return set(), set()
        own, servers = {model_name, tool.display_name}, set()
        server_name, _, tool_name = tool.display_name.partition("/")
        if tool.webhook is not None:
            own.add(tool.webhook.id)
        else:
            servers.add(server_name)
        if tool.server is not None:
            own.add(f"{tool.server.id}/{tool_name}")
            servers.add(tool.server.id)
        return own, servers

    def find_display(self, name: str) -> str | None:
        """The model-safe name of a tool given by its full name."""
        return next((safe for safe, tool in self.tools.items() if tool.display_name == name), None)
