"""Tools and JSON Schemas in requests."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

_INNER_TOOLS = frozenset({"functionDeclarations", "function_declarations", "tools"})
_SCHEMAS = frozenset(
    {"schema", "responseSchema", "response_schema", "responseJsonSchema", "response_json_schema"}
)
_SILENT = frozenset({"type", "strict", "defer_loading", "cache_control"})
_KEYWORDS = frozenset(
    {
        *("type", "properties", "required", "additionalProperties", "items", "prefixItems", "anyOf", "oneOf"),
        *("allOf", "enum", "const", "description", "title", "format", "default", "$defs", "definitions"),
        *("$ref", "$schema", "minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems"),
        *("pattern", "nullable", "name", "parameters", "input_schema", "parametersJsonSchema"),
    }
)
"""Names that each field's cost covers; other names are counted as text."""
_WITH_KEYWORDS = frozenset({"type", "format", "$schema"})
"""Keywords that have another keyword for their value."""
_NUMBERS = (int, float)
"""And not truth values, which are ints to isinstance."""
_LONG = 32
"""No such keyword has as many characters."""


@dataclass(slots=True)
class Schemas:
    """The tools of a request, or the schema that its answer must have."""

    texts: list[str] = field(default_factory=list)
    """Names and descriptions."""
    functions: int = 0
    schemas: int = 0
    entries: int = 0
    """Fields and list items of the schemas: each has its keyword and its punctuation."""
    at_provider: list[str] = field(default_factory=list)
    """The kinds of the tools that the provider defines or runs."""

    def read_tools(self, tools: Any) -> None:
        """A list of tools, in any dialect."""
        waiting = list(tools) if isinstance(tools, list) else []
        shown: list[Any] = []
        while waiting:
            tool = waiting.pop()
            if not isinstance(tool, dict):
                continue
            if not _INNER_TOOLS.isdisjoint(tool):
                tool = self._without_inner(tool, waiting)
            function = tool.get("function")
            if not isinstance(function, dict):
                function = tool
            kind = tool.get("type", "custom")
            if "name" in function and kind in ("function", "custom", "namespace"):
                self.functions += 1
            elif tool:
                named = isinstance(kind, str) and kind != "custom"
                self.at_provider.append(kind if named else next(iter(tool)))
            shown.extend([value for name, value in function.items() if name not in _SILENT])
        self._read(shown)

    def _without_inner(self, tool: Mapping[str, Any], waiting: list[Any]) -> dict[str, Any]:
        """The tool without those that it holds, which are put among the ``waiting``."""
        rest = dict(tool)
        for name in _INNER_TOOLS.intersection(tool):
            if isinstance(tool[name], list):
                waiting.extend(rest.pop(name))
        return rest

    def read_format(self, wanted: Mapping[str, Any]) -> None:
        """How the answer shall be: what is not in a schema is not shown to the model."""
        nodes: list[Any] = [wanted]
        while nodes:
            node = nodes.pop()
            if isinstance(node, dict):
                for name, value in node.items():
                    if name in _SCHEMAS and isinstance(value, dict):
                        self.schemas += 1
                        self._read([value])
                    else:
                        nodes.append(value)
            elif isinstance(node, list):
                nodes.extend(node)

    def _read(self, nodes: list[Any]) -> None:
        add_text, add_node, entries = self.texts.append, nodes.append, 0
        while nodes:
            node = nodes.pop()
            if isinstance(node, str):
                add_text(node)
            elif isinstance(node, dict):
                entries += len(node)
                for name, value in node.items():
                    if not isinstance(value, str):
                        add_node(value)
                    elif name not in _WITH_KEYWORDS or len(value) > _LONG:
                        add_text(value)
                    if name not in _KEYWORDS:
                        add_text(name)
            elif isinstance(node, list):
                entries += len(node)
                nodes += node
            elif type(node) in _NUMBERS:
                add_text(str(node))
        self.entries += entries
