"""One tool as the broker knows it, whatever stands behind it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol, runtime_checkable

from broker.calls import (
    AnswersLater,
    Ask,
    NeedsInput,
    Progress,
    Resume,
    Sample,
    TaskUnderWay,
    ToolCall,
    ToolResult,
    ToolScope,
)
from broker.definition import definition_digest
from broker.metering import OpenCharge, Payment
from broker.policy import Approval


class InnerCalls(Protocol):
    """Keeps what the calls within one call come to, where that must survive its process: each by its place.

    A call within a call is made at most once unless it is safe to repeat: what is in ``kept`` is not made
    again, and what is not, where ``resumed``, may have been made by the process that died.
    """

    @property
    def kept(self) -> Mapping[int, ToolResult]:
        """What an earlier process has kept."""
        ...

    @property
    def resumed(self) -> bool: ...

    async def permitted(self, tool: "BoundTool") -> bool:
        """Whether everybody who must approve of this tool's call has."""
        ...

    async def keep(self, place: int, name: str, result: ToolResult, charge: OpenCharge | None) -> None:
        """Write a result down, and end the charge for it in the same transaction."""
        ...

    async def cut_off(self, charge: OpenCharge) -> None:
        """End the charge of a call that was broken off."""
        ...


@dataclass(frozen=True)
class CallContext:
    """On whose behalf a call is made, who pays for it, and who is told how far it is.

    ``ask`` reaches the end user while the call is under way; without it nobody can be asked. ``sample`` calls
    models for servers that may have that. ``resume``: the call was made before, and goes on."""

    scope: ToolScope
    payment: Payment
    on_progress: Progress | None = None
    inner: InnerCalls | None = None
    ask: Ask | None = None
    sample: Sample | None = None
    resume: Resume | None = None


class Callee(Protocol):
    """What a tool's name leads to: one webhook, one tool of an MCP server, one built-in."""

    async def call(
        self, call: ToolCall, context: CallContext
    ) -> ToolResult | AnswersLater | NeedsInput | TaskUnderWay:
        """Make the call; its arguments have been checked. The tool's own failure is an error result.

        Raises ConnectionRequired if an end user has to connect first, and any other HeddleError if the call
        could not be made.
        """
        ...


@runtime_checkable
class Composite(Protocol):
    """A callee that calls other tools."""

    async def reached_by(self, call: ToolCall, scope: ToolScope) -> "list[BoundTool]":
        """The tools that a call would call, as far as there are such."""
        ...


@dataclass(frozen=True)
class BoundTool:
    """A tool of a toolset. Without a ``callee`` its caller runs it itself."""

    display_name: str
    """The full name: ``tool``, or ``server/tool``."""
    description: str
    input_schema: dict[str, Any]
    retry_safe: bool
    callee: Callee | None
    aliases: frozenset[str] = frozenset()
    """What it may be called besides its full name, such as its id."""
    server_names: frozenset[str] = frozenset()
    """The names and ids of the server that it is a tool of."""
    is_operators: bool = False
    """Whether the operator provides it, so that it may have a price."""
    approval: Approval = "never"
    is_lookup: bool = False
    """Whether it only tells what there is: nobody is asked about that unless it is named."""
    trusted: bool = False
    """Whether what it says is not marked as data for the model."""
    details: Mapping[str, Any] = field(default_factory=dict)
    """What clients are shown and models are not, as its server lists it: title, annotations."""
    withheld: str | None = None
    """Why it must not be used, nor shown to a model, although it is there."""
    for_client: dict[str, Any] | None = None
    """What its events have for clients that show its user interface (MCP Apps)."""
    for_models: bool = True
    """Whether models may call it; else only the user interfaces of its server do."""
    connects: bool = False
    """Whether it has the end user connect its server: once that is done, there are other tools."""

    @classmethod
    def of_client(cls, name: str, description: str, input_schema: dict[str, Any]) -> "BoundTool":
        return cls(name, description, input_schema, retry_safe=False, callee=None)

    @cached_property
    def definition_sha256(self) -> str:
        """What it is known as to be doing: the approval of a first use does not outlive a change of this."""
        return definition_digest(self.display_name, self.description, self.input_schema, self.retry_safe)

    def named_by(self, name: str) -> bool:
        """Whether this is, or is of the server that is, meant by ``name``."""
        return name == self.display_name or name in self.aliases or name in self.server_names

    @property
    def by_client(self) -> bool:
        return self.callee is None
