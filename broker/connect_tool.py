"""The tool by which a model has its end user connect a server whose tools cannot be known before.

Each end user has their own list of such a server's tools, so that there is nothing else to show to somebody
who has not connected it. Whoever was shown this tool may call it after the connection as well: it then says
which tools have come.
"""

from dataclasses import dataclass

from broker.calls import ToolCall, ToolResult, text_block
from broker.models import McpServer
from broker.policy import allowed, as_approval, policy_of
from broker.server_store import TENANT
from broker.servers import McpServers
from broker.tool import BoundTool, CallContext
from broker.toolset import Toolset
from connectors.catalog import CatalogEntry

CONNECT = "connect"
MAX_NAMED = 100
"""Of a server's tools that an answer names."""
HINTS = {"readOnlyHint": False, "destructiveHint": False, "idempotentHint": True}


def connect_tool(servers: McpServers, server: McpServer, entry: CatalogEntry | None) -> BoundTool | None:
    """``server/connect``, under the server's rules for a tool of that name, except that it need not be in the
    ``allow`` list; ``entry``: what the catalogue says of the server. None where end users connect nothing,
    and where the rules deny it, or allow no tool at all."""
    rules = server.tool_rules
    names_none = rules.get("allow") == []
    if server.auth_mode == TENANT or names_none or not allowed({"deny": rules.get("deny", ())}, CONNECT):
        return None
    policy = policy_of(rules, CONNECT, approval=as_approval(server.approval))
    title = _title(server, entry)
    return BoundTool(
        f"{server.name}/{CONNECT}",
        _description(title, entry),
        {"type": "object", "properties": {}, "additionalProperties": False},
        retry_safe=True,
        callee=_Connect(servers, server, entry),
        aliases=frozenset({f"{server.id}/{CONNECT}"}),
        server_names=frozenset({server.name, server.id}),
        approval=policy.approval,
        is_lookup=True,
        trusted=policy.trusted,
        details={"title": f"Connect {title}", "annotations": HINTS},
        connects=True,
    )


def _title(server: McpServer, entry: CatalogEntry | None) -> str:
    return entry.display_name if entry is not None else server.name


def _description(title: str, entry: CatalogEntry | None) -> str:
    of_what = f" ({entry.category})" if entry is not None else ""
    return (
        f"Asks the user to connect their {title} account{of_what}. They have not connected it, or have to do "
        f"so again, and none of its tools are here before. Call this when the user wants something that "
        f"needs {title}; once they have connected it, its tools are here."
    )


@dataclass(frozen=True)
class _Connect:
    servers: McpServers
    server: McpServer
    entry: CatalogEntry | None

    async def call(self, _call: ToolCall, context: CallContext) -> ToolResult:
        """Raises ConnectionRequired as long as the end user has not connected; UpstreamFailed."""
        tools = self.servers.bind(
            self.server, await self.servers.tools_when_connected(self.server, context.scope)
        )
        itself = connect_tool(self.servers, self.server, self.entry)
        shown = [tool for tool in tools if tool.for_models]
        names = list(Toolset.build(shown, connected=[itself] if itself is not None else []).tools)
        output = {"connected": True, "server": self.server.name, "tools": names[:MAX_NAMED]}
        record = {"kind": "connect", "target": f"{self.server.name}/{CONNECT}", "status": "ok"}
        return ToolResult(
            output, [text_block(_told(_title(self.server, self.entry), names))], record=record, answered=True
        )


def _told(title: str, names: list[str]) -> str:
    if not names:
        return f"The user's {title} account is connected. It has no tools that can be used."
    more = f" and {len(names) - MAX_NAMED} more" if len(names) > MAX_NAMED else ""
    return (
        f"The user's {title} account is connected. Its tools are here from your next step on: "
        f"{', '.join(names[:MAX_NAMED])}{more}."
    )
