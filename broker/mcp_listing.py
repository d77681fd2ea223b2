"""Reading a server's tool list, within bounds: whatever is listed ends up in front of a model."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import mcp_types
import msgspec
from mcp.client import Client
from mcp.shared.dispatcher import CallOptions
from mcp.shared.inbound import find_invalid_x_mcp_header, x_mcp_header_map
from mcp_types.version import MODERN_PROTOCOL_VERSIONS
from pydantic import ValidationError

from broker.schema import BadSchema, object_schema, usable_schema
from kit.json import storable

MAX_TOOLS = 500
MAX_PAGES = 100
MAX_LISTING_BYTES = 4 * 1024 * 1024
MAX_NAME_CHARS = 128
MAX_DESCRIPTION_CHARS = 10_000
MAX_DETAIL_BYTES = 16 * 1024
MAX_REASON_CHARS = 300
MAX_SKIPPED = 500
MAX_TTL_MS = 10**12


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
    """``ttl_ms``: how long the server says it holds, None if it says nothing. ``is_public``: it says that
    the list is the same for everybody; a list is taken for one credential's own where that is not said."""

    tools: list[ListedTool] = field(default_factory=list)
    skipped: list[SkippedTool] = field(default_factory=list)
    ttl_ms: int | None = None
    is_public: bool = False

    def skip(self, described: Any, reason: str) -> None:
        if len(self.skipped) < MAX_SKIPPED:
            name = described.get("name") if isinstance(described, dict) else None
            self.skipped.append(SkippedTool(str(name or "(no name)")[:MAX_NAME_CHARS], reason))


class BadListing(Exception):
    """The answer is no tool list."""


async def read_listing(client: Client) -> Listing:
    """At most 500 tools and 4 MiB of them; more is left out and said so. Raises MCPError, BadListing."""
    listing, names, size = Listing(), set[str](), 0
    modern = client.protocol_version in MODERN_PROTOCOL_VERSIONS
    cursor: str | None = None
    for number in range(MAX_PAGES):
        page = await _page(client, cursor)
        if modern:
            _heed(listing, page, first=number == 0)
        for described in page["tools"]:
            size += len(msgspec.json.encode(described))
            if len(listing.tools) >= MAX_TOOLS or size > MAX_LISTING_BYTES:
                listing.skip(described, "the server lists too many tools")
                return listing
            try:
                listed = _listed(described, names, modern=modern)
            except BadSchema as problem:
                listing.skip(described, str(problem))
                continue
            names.add(listed.name)
            listing.tools.append(listed)
            if modern:
                client.session._x_mcp_header_maps[listed.name] = x_mcp_header_map(described["inputSchema"])
        following = page.get("nextCursor")
        if not isinstance(following, str) or not following or following == cursor:
            break
        cursor = following
    return listing


def mirror_parameters(client: Client, name: str, input_schema: Mapping[str, Any] | None) -> None:
    """Let calls of a tool repeat in ``Mcp-Param-*`` headers the arguments that its schema marks with
    ``x-mcp-header``, also on a client that has not listed it (2026-07-28, Transports)."""
    known = client.session._x_mcp_header_maps
    if input_schema is None or name in known or client.protocol_version not in MODERN_PROTOCOL_VERSIONS:
        return
    valid = find_invalid_x_mcp_header(input_schema) is None
    known[name] = x_mcp_header_map(input_schema) if valid else {}


async def _page(client: Client, cursor: str | None) -> dict[str, Any]:
    """One page as it came.

    Not by the SDK's ``list_tools``, which refuses the whole list for one malformed tool, drops others without
    a word, and keeps all output schemas for as long as the client is open.
    """
    session = client.session
    request: dict[str, Any] = {"method": "tools/list", "params": {} if cursor is None else {"cursor": cursor}}
    options: CallOptions = {}
    session._stamp(request, options)
    page = await session._dispatcher.send_raw_request(request["method"], request["params"], options)
    if not isinstance(page.get("tools"), list):
        raise BadListing("no list of tools")
    return page


def _heed(listing: Listing, page: Mapping[str, Any], *, first: bool) -> None:
    """The list holds as long as its shortest-lived page, and is public if every page is."""
    told = page.get("ttlMs")
    ttl_ms = int(told) if isinstance(told, int | float) and 0 <= told <= MAX_TTL_MS else 0
    listing.ttl_ms = ttl_ms if listing.ttl_ms is None else min(listing.ttl_ms, ttl_ms)
    listing.is_public = page.get("cacheScope") == "public" and (first or listing.is_public)


def _listed(described: Any, known: set[str], *, modern: bool) -> ListedTool:
    """Raises BadSchema if the tool cannot be offered. Of duplicates, the first one counts."""
    try:
        tool = mcp_types.Tool.model_validate(described, by_name=False)
    except ValidationError as invalid:
        [problem, *_] = invalid.errors(include_url=False, include_input=False, include_context=False)
        where = "/".join(map(str, problem["loc"])) or "tool"
        raise BadSchema(f"{where}: {problem['msg']}"[:MAX_REASON_CHARS]) from None
    if not tool.name or len(tool.name) > MAX_NAME_CHARS or not tool.name.isprintable():
        raise BadSchema(f"the name: expected 1 to {MAX_NAME_CHARS} printable characters")
    if tool.name in known:
        raise BadSchema("the name is listed twice")
    misplaced = find_invalid_x_mcp_header(tool.input_schema) if modern else None
    if misplaced is not None:
        raise BadSchema(misplaced[:MAX_REASON_CHARS])
    hints = tool.annotations
    safe = hints is not None and bool(hints.read_only_hint or hints.idempotent_hint)
    description = (tool.description or "").replace("\0", "")[:MAX_DESCRIPTION_CHARS]
    return ListedTool(tool.name, description, object_schema(tool.input_schema), safe, _details(tool))


def _usable(schema: dict[str, Any] | None) -> bool:
    try:
        usable_schema(schema)
    except BadSchema:
        return False
    return True


def _details(tool: mcp_types.Tool) -> dict[str, Any]:
    """The parts that are not too large; an output schema that nobody could check an output by is none."""
    parts = {
        "title": tool.title,
        "annotations": tool.annotations
        and tool.annotations.model_dump(mode="json", by_alias=True, exclude_none=True),
        "output_schema": tool.output_schema if _usable(tool.output_schema) else None,
        "_meta": tool.meta,
    }
    stored = {name: storable(part) for name, part in parts.items() if part}
    return {name: part for name, part in stored.items() if len(msgspec.json.encode(part)) <= MAX_DETAIL_BYTES}
