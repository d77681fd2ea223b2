"""The tools of one turn: what the model is shown, and what each name means."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from broker.calls import NeedsConnection
from broker.names import MODEL_NAME, model_names
from broker.tool import BoundTool


@dataclass
class Toolset:
    """Tools by model-safe name, in an order that does not change from turn to turn (prompt caches)."""

    tools: dict[str, BoundTool] = field(default_factory=dict)
    required: tuple[NeedsConnection, ...] = ()
    """Servers whose tools cannot be known before this end user has connected."""
    withheld: dict[str, BoundTool] = field(default_factory=dict)
    """Tools that must not be used at the moment; no model is shown them."""
    answered: dict[str, BoundTool] = field(default_factory=dict)
    """Tools that were shown before their server was connected, and are not any more: who calls one of them
    late is answered."""

    @classmethod
    def build(
        cls,
        bound: Sequence[BoundTool],
        required: tuple[NeedsConnection, ...] = (),
        *,
        connecting: Sequence[BoundTool] = (),
        connected: Sequence[BoundTool] = (),
    ) -> "Toolset":
        """``connecting``, ``connected``: the tools that connect a server, where that is still to be done and
        where it has been. They have the same names in both: a call that was made of one before the connection
        must not reach a tool of the server's own that happens to be called so."""
        by_name = {tool.display_name: tool for tool in bound}
        connect = {tool.display_name: tool for tool in (*connecting, *connected)}
        others = by_name.keys() - connect.keys()
        first = model_names([*connect, *filter(MODEL_NAME.fullmatch, others)]) if connect else {}
        names = model_names(by_name, reserved=[first[name] for name in connect])
        safe = {names[name]: by_name[name] for name in sorted(by_name)}
        shown = {name: tool for name, tool in safe.items() if tool.withheld is None}
        shown |= {first[tool.display_name]: tool for tool in connecting}
        return cls(
            {name: shown[name] for name in sorted(shown, key=lambda name: shown[name].display_name)},
            required,
            {name: tool for name, tool in safe.items() if tool.withheld is not None},
            {first[tool.display_name]: tool for tool in connected},
        )

    def with_client_tools(self, client_tools: list[BoundTool]) -> "Toolset":
        """These and the caller's own, which are known by the names they have."""
        tools = {**self.tools, **{tool.display_name: tool for tool in client_tools}}
        ordered = {name: tools[name] for name in sorted(tools)}
        return Toolset(ordered, self.required, self.withheld, self.answered)

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
        return self.tools.get(model_name) or self.answered.get(model_name)

    def names_of(self, model_name: str) -> tuple[set[str], set[str]]:
        """What a tool may be called by: its own names (for models, in full, or its webhook tool's id), and
        those of its server. None for a tool that the caller runs."""
        tool = self.find(model_name)
        if tool is None or tool.by_client:
            return set(), set()
        own, of_server = self.names_of_tool(tool)
        return {model_name, *own}, of_server

    def names_of_tool(self, tool: BoundTool) -> tuple[set[str], set[str]]:
        """The same for a tool that need not be shown: a call may call others in its turn."""
        shown = {
            name for tools in (self.tools, self.answered) for name, other in tools.items() if other is tool
        }
        return {*shown, tool.display_name, *tool.aliases}, set(tool.server_names)

    def find_display(self, name: str) -> str | None:
        """The model-safe name of a tool given by its full name."""
        return next((safe for safe, tool in self.tools.items() if tool.display_name == name), None)
