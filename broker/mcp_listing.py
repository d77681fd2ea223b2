"""Reading a server's tool list, within bounds: whatever is listed ends up in front of a model."""

from dataclasses import dataclass, field
from typing import Any

import mcp_types
import msgspec
from mcp.client import Client

from broker.schema import BadSchema, object_schema
from kit.json import storable

MAX_TOOLS = 500
MAX_PAGES = 100
MAX_LISTING_BYTES = 4 * 1024 * 1024
MAX_NAME_CHARS = 128
MAX_DESCRIPTION_CHARS = 10_000
MAX_DETAIL_BYTES = 16 * 1024


@dataclass(frozen=True)
class ListedTool:
    """A tool as a server describes it."""

    name: str
    description: str
    input_schema: dict[str, Any]
    retry_safe: bool
    details: dict[str, Any] = field(default_factory=dict)
    """What clients are shown and models are not: ``title``, ``annotations``, ``output_schema``, ``_meta``."""


@dataclass(frozen=True)
class SkippedTool:
    """A tool that cannot be offered to a model, and why."""

    name: str
    reason: str


@dataclass
class Listing:
    tools: list[ListedTool] = field(default_factory=list)
    skipped: list[SkippedTool] = field(default_factory=list)


async def read_listing(client: Client) -> Listing:
    """At most 500 tools and 4 MiB of them; more is left out and said so."""
    listing, names, size = Listing(), set[str](), 0
    cursor: str | None = None
    for _ in range(MAX_PAGES):
        page = await client.list_tools(cursor=cursor)
        for tool in page.tools:
            size += len(msgspec.json.encode(tool.input_schema)) + len(tool.description or "")
            if len(listing.tools) >= MAX_TOOLS or size > MAX_LISTING_BYTES:
                listing.skipped.append(
                    SkippedTool(tool.name[:MAX_NAME_CHARS], "the server lists too many tools")
                )
                return listing
            try:
                listed = _listed(tool, names)
            except BadSchema as problem:
                listing.skipped.append(SkippedTool(tool.name[:MAX_NAME_CHARS], str(problem)))
                continue
            names.add(listed.name)
            listing.tools.append(listed)
        if not page.next_cursor or page.next_cursor == cursor:
            break
        cursor = page.next_cursor
    return listing


def _listed(tool: mcp_types.Tool, known: set[str]) -> ListedTool:
    """Raises BadSchema if the tool cannot be offered. Of duplicates, the first one counts."""
    if not tool.name or len(tool.name) > MAX_NAME_CHARS or not tool.name.isprintable():
        raise BadSchema(f"the name: expected 1 to {MAX_NAME_CHARS} printable characters")
    if tool.name in known:
        raise BadSchema("the name is listed twice")
    hints = tool.annotations
    safe = hints is not None and bool(hints.read_only_hint or hints.idempotent_hint)
    description = (tool.description or "").replace("\0", "")[:MAX_DESCRIPTION_CHARS]
    return ListedTool(tool.name, description, object_schema(tool.input_schema), safe, _details(tool))


def _details(tool: mcp_types.Tool) -> dict[str, Any]:
    """The parts that are not too large."""
    parts = {
        "title": tool.title,
        "annotations": tool.annotations
        and tool.annotations.model_dump(mode="json", by_alias=True, exclude_none=True),
        "output_schema": tool.output_schema,
        "_meta": tool.meta,
    }
    stored = {name: storable(part) for name, part in parts.items() if part}
    return {name: part for name, part in stored.items() if len(msgspec.json.encode(part)) <= MAX_DETAIL_BYTES}
