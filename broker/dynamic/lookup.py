"""From the names that a model says to the tools they mean, for one end user, as they are now."""

from collections.abc import Sequence
from dataclasses import dataclass

from broker.calls import ToolScope
from broker.dynamic.catalog_servers import PREFIX, CatalogServers, slug_of, tool_of
from broker.dynamic.offers import Offers, View, permitted
from broker.resolver import ToolResolver
from broker.tool import BoundTool
from connectors.catalog import CatalogEntry
from connectors.credentials import ConnectionRequired
from kit.errors import HeddleError

SUGGESTED = 3


@dataclass(frozen=True)
class Missing:
    """Why a name means no tool that can be called, in words a model can act on. ``connector``: what the end
    user has to connect for it."""

    message: str
    connector: str | None = None


Found = list[BoundTool] | Missing
"""The tools of a name: one, or all of a server."""


class Lookup:
    def __init__(self, offers: Offers, resolver: ToolResolver, catalog_servers: CatalogServers) -> None:
        self._offers = offers
        self._resolver = resolver
        self._catalog_servers = catalog_servers

    async def find(self, scope: ToolScope, names: Sequence[str], only: frozenset[str]) -> dict[str, Found]:
        """What each name means; ``only``: what may be had at all, anything if empty."""
        view = await self._offers.view(scope)
        plain = {name: _registered_name(view, name) for name in names if _of_catalog(view, name) is None}
        meant = await self._resolver.named(scope, [*plain.values(), *map(_unsafe, plain.values())])
        found: dict[str, Found] = {}
        for name in names:
            entry = _of_catalog(view, name)
            if entry is not None:
                tools = await self._of_entry(scope, view, entry, name)
            else:
                said = meant[plain[name]]
                if isinstance(said, HeddleError | TimeoutError):
                    other = meant[_unsafe(plain[name])]
                    said = said if isinstance(other, HeddleError | TimeoutError) else other
                tools = said if isinstance(said, list) else self._missing(view, name, said)
            found[name] = _usable(name, tools, only)
        return found

    async def _of_entry(self, scope: ToolScope, view: View, entry: CatalogEntry, name: str) -> Found:
        if entry.auth != "none" and entry.slug not in view.connected:
            return Missing(f"{entry.display_name} is not connected.", entry.slug)
        try:
            listed = await self._catalog_servers.tools(scope, entry, view.connected)
        except ConnectionRequired as need:
            return Missing(need.message, need.connector)
        except HeddleError as problem:
            return Missing(f"{entry.display_name} cannot be used at the moment: {problem.message}")
        wanted = tool_of(name)
        tools = [tool for tool in listed if not wanted or tool.display_name == name]
        return tools if tools else Missing(f"There is no tool {name}.{_suggestions(view, name)}")

    @staticmethod
    def _missing(view: View, name: str, problem: HeddleError | TimeoutError) -> Missing:
        if isinstance(problem, ConnectionRequired):
            return Missing(problem.message, problem.connector)
        if isinstance(problem, HeddleError) and problem.code != "unknown_tool":
            return Missing(problem.message)
        if isinstance(problem, TimeoutError):
            return Missing(f"The server of {name} did not list its tools in time; try again later.")
        return Missing(f"There is no tool {name}.{_suggestions(view, name)}")


def _of_catalog(view: View, name: str) -> CatalogEntry | None:
    slug = slug_of(name)
    return None if slug is None else view.vendors.get(slug)


def _registered_name(view: View, name: str) -> str:
    """``qlaud-mcp/<slug>`` means the account's own server where it was made of that entry."""
    slug = slug_of(name)
    own = next((server for server in view.servers if server.catalog_slug == slug is not None), None)
    return name if own is None else f"{own.name}/{tool_of(name)}".rstrip("/")


def _unsafe(name: str) -> str:
    """The full name of a tool that is called by the name that models have for it in other modes."""
    return name if "/" in name else name.replace("__", "/", 1)


def _suggestions(view: View, name: str) -> str:
    near = view.shelf.index.search(name.removeprefix(PREFIX), SUGGESTED)
    if not near:
        return " Search for one."
    return f" Did you mean {', '.join(view.shelf.offers[at].name for at in near)}?"


def _usable(name: str, tools: Found, only: frozenset[str]) -> Found:
    if isinstance(tools, Missing):
        if only and name not in only and slug_of(name) is not None and f"{PREFIX}{slug_of(name)}" not in only:
            return Missing(f"{name} is not among the tools that may be used here.")
        return tools
    allowed = [tool for tool in tools if permitted(tool, only)]
    if tools and not allowed:
        return Missing(f"{name} is not among the tools that may be used here.")
    usable = [tool for tool in allowed if tool.withheld is None]
    if allowed and not usable:
        return Missing(f"{allowed[0].display_name} cannot be used: {allowed[0].withheld}.")
    return usable
