"""What a tool call came to, as an MCP result.

A result of an MCP server reaches the client as its server gave it, as far as the client's revision has such
blocks, and as long as its text is not more than a model is shown.
"""

from typing import Any

import mcp_types
import msgspec
from mcp_types.version import LATEST_MODERN_VERSION, MODERN_PROTOCOL_VERSIONS, is_version_at_least
from pydantic import TypeAdapter

from broker.calls import MAX_OUTPUT_BYTES, MAX_RESULT_CHARS, ToolResult
from broker.mcp_results import MAX_BLOCKS
from broker.schema import ArgumentValidator
from kit.errors import HeddleError
from kit.json import storable
from kit.money import micros

COST = "heddle/cost_micros"
"""In a result's ``_meta``: what the call cost, in millionths of a USD, if its tool has a price."""
_SINCE = {"audio": "2025-03-26", "resource_link": "2025-06-18"}
"""From which revision on there are such blocks; the others have always been there."""
_BLOCKS: TypeAdapter[list[mcp_types.ContentBlock]] = TypeAdapter(list[mcp_types.ContentBlock])


class Results:
    def __init__(self) -> None:
        self._validator = ArgumentValidator()

    def to_mcp(
        self,
        result: ToolResult,
        cost_nanos: int | None = None,
        *,
        promised: dict[str, Any] | None = None,
        version: str = LATEST_MODERN_VERSION,
    ) -> mcp_types.CallToolResult:
        """``promised``: the output schema that the client was shown. Where there is nothing to keep the
        promise with, the result is an error that says why, and has what there is: clients refuse anything
        else (MCP specification, server/tools, "Output Schema": structured results MUST conform)."""
        fields = _structured(result, version)
        content, is_error = _content(result, version), result.is_error
        broken = None if promised is None or is_error else self._broken(result, promised, fields)
        if broken is not None:
            fields, is_error = {}, True
            content = [mcp_types.TextContent(text=f"{_BROKEN}: {broken}. What there is follows."), *content]
        return mcp_types.CallToolResult(
            content=content,
            is_error=is_error,
            _meta={COST: micros(cost_nanos)} if cost_nanos is not None else None,
            **fields,
        )

    def _broken(self, result: ToolResult, promised: dict[str, Any], fields: dict[str, Any]) -> str | None:
        """Why the promise cannot be kept; None if it can."""
        if fields:
            problems = self._validator.problems(promised, fields["structured_content"])
            return f"it does not fit ({'; '.join(problems)})" if problems else None
        if result.record.get("policy") == "replaced":
            return "this installation's policy has replaced the result"
        if result.given is not None and "structured_content" in result.given.model_fields_set:
            return (
                f"it is larger than {MAX_OUTPUT_BYTES} bytes, or of a kind that your revision does not have"
            )
        return "the tool's server gave none"


_BROKEN = "The structured content that this tool's output schema promises is missing"


def refusal(error: HeddleError) -> mcp_types.CallToolResult:
    """What was not called, and why, for the model to act on."""
    return mcp_types.CallToolResult(
        content=[mcp_types.TextContent(text=f"The tool was not called: {error.message} ({error.code})")],
        structured_content={
            "error": {
                **error.details,
                "status": error.status,
                "code": error.code,
                "message": error.message,
            }
        },
        is_error=True,
    )


def told(text: str) -> mcp_types.CallToolResult:
    """An error result that only says something."""
    return mcp_types.CallToolResult(content=[mcp_types.TextContent(text=text)], is_error=True)


def _structured(result: ToolResult, version: str) -> dict[str, Any]:
    """``structured_content``, if there is any, whole, and of a kind that the revision has: an object, before
    2026-07-28. Of a tool that is no MCP server's, an output that is an object."""
    given = result.given
    if given is None:
        usable = result.answered and isinstance(result.output, dict)
        return {"structured_content": result.output} if usable else {}
    if "structured_content" not in given.model_fields_set:
        return {}
    content = storable(given.structured_content)
    if not isinstance(content, dict) and version not in MODERN_PROTOCOL_VERSIONS:
        return {}
    if len(msgspec.json.encode(content)) > MAX_OUTPUT_BYTES:
        return {}
    return {"structured_content": content}


def _content(result: ToolResult, version: str) -> list[mcp_types.ContentBlock]:
    given = result.given.content if result.given is not None else []
    if "policy" in result.record:  # it has been asked about the blocks as a model is shown them
        given = []
    if not given or len(given) > MAX_BLOCKS or sum(map(_chars, given)) > MAX_RESULT_CHARS:
        return [_shown(block) for block in result.content]
    if any(not is_version_at_least(version, _SINCE.get(block.type, version)) for block in given):
        return [_shown(block) for block in result.content]
    dumped = [block.model_dump(mode="json", by_alias=True, exclude_none=True) for block in given]
    return _BLOCKS.validate_python(storable(dumped), by_name=False)


def _chars(block: mcp_types.ContentBlock) -> int:
    """Of the text that a model would read."""
    if isinstance(block, mcp_types.TextContent):
        return len(block.text)
    if isinstance(block, mcp_types.EmbeddedResource):
        return len(getattr(block.resource, "text", ""))
    return 0


def _shown(block: dict[str, Any]) -> mcp_types.TextContent | mcp_types.ImageContent:
    """A block as a model is shown it."""
    if block["type"] == "image":
        source = block["source"]
        return mcp_types.ImageContent(data=source["data"], mime_type=source["media_type"])
    return mcp_types.TextContent(text=block["text"])
