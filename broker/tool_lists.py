"""Tool lists that belong to one credential, kept in memory, and how long a list holds.

A server may list other tools, or describe them otherwise, to each end user. Such a list is kept under the
connection that it was made with and its generation (a renewed connection may be another account at the
vendor), and never leaves it. Most users of a server have equal lists; those are kept once.
"""

import hashlib
from collections import OrderedDict
from dataclasses import dataclass

import msgspec

from broker.models import McpTool

MAX_LISTS = 20_000
MAX_BYTES = 16 * 1024 * 1024
"""Of all lists as JSON; as objects they take some six times as much."""
FRESH_MS = 5 * 60 * 1000
AT_LEAST_MS, AT_MOST_MS = 60 * 1000, 24 * 60 * 60 * 1000

ListKey = tuple[str, str, int]
"""Server, connection, generation of its credential."""


@dataclass
class KeptList:
    listed_at: int
    ttl_ms: int | None
    digest: str
    outdated: bool = False


@dataclass
class _Body:
    tools: list[McpTool]
    size: int
    users: int = 0


def is_old(listed_at: int, ttl_ms: int | None, now_ms: int) -> bool:
    """Whether a list should be asked for again.

    Many servers say a TTL of 0 because their SDK does; a list is kept for a minute all the same, since it
    is needed in each step of each turn. Of the handshake revisions nobody says one: five minutes.
    """
    holds = FRESH_MS if ttl_ms is None else min(max(ttl_ms, AT_LEAST_MS), AT_MOST_MS)
    return now_ms - listed_at >= holds


class OwnLists:
    """The least recently used go when there are too many, or they are too large together."""

    def __init__(self, *, max_lists: int = MAX_LISTS, max_bytes: int = MAX_BYTES) -> None:
        self._max_lists, self._max_bytes = max_lists, max_bytes
        self._lists: OrderedDict[ListKey, KeptList] = OrderedDict()
        self._bodies: dict[str, _Body] = {}
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._lists)

    def get(self, key: ListKey) -> tuple[KeptList, list[McpTool]] | None:
        kept = self._lists.get(key)
        if kept is None:
            return None
        self._lists.move_to_end(key)
        return kept, self._bodies[kept.digest].tools

    def put(self, key: ListKey, tools: list[McpTool], *, ttl_ms: int | None, now_ms: int) -> None:
        shown = [
            [tool.definition_sha256, tool.description, tool.input_schema, tool.details] for tool in tools
        ]
        encoded = msgspec.json.encode([key[0], shown])
        digest = hashlib.sha256(encoded).hexdigest()
        self._drop(key)
        body = self._bodies.get(digest)
        if body is None:
            body = self._bodies[digest] = _Body(tools, len(encoded))
            self._bytes += body.size
        body.users += 1
        self._lists[key] = KeptList(now_ms, ttl_ms, digest)
        while len(self._lists) > self._max_lists or (self._bytes > self._max_bytes and len(self._lists) > 1):
            self._drop(next(iter(self._lists)))

    def outdate(self, server_id: str, connection_id: str) -> None:
        """The server says that this list changed."""
        for key, kept in self._lists.items():
            if key[:2] == (server_id, connection_id):
                kept.outdated = True

    def forget(self, server_id: str) -> None:
        for key in [key for key in self._lists if key[0] == server_id]:
            self._drop(key)

    def _drop(self, key: ListKey) -> None:
        kept = self._lists.pop(key, None)
        if kept is None:
            return
        body = self._bodies[kept.digest]
        body.users -= 1
        if not body.users:
            self._bytes -= body.size
            del self._bodies[kept.digest]
