"""One tool as the broker knows it, whatever stands behind it."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

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
from broker.metering import Payment
from broker.policy import Approval


@dataclass(frozen=True)
class CallContext:
    """On whose behalf a call is made, who pays for it, and who is told how far it is.

    ``ask`` reaches the end user while the call is under way; without it nobody can be asked. ``sample`` calls
    models for servers that may have that. ``resume``: the call was made before, and goes on."""

    scope: ToolScope
    payment: Payment
    on_progress: Progress | None = None
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
    withheld: str | None = None
    """Why it must not be used, nor shown to a model, although it is there."""
    for_client: dict[str, Any] | None = None
    """What its events have for clients that show its user interface (MCP Apps)."""
    for_models: bool = True
    """Whether models may call it; else only the user interfaces of its server do."""

    @classmethod
    def of_client(cls, name: str, description: str, input_schema: dict[str, Any]) -> "BoundTool":
        return cls(name, description, input_schema, retry_safe=False, callee=None)

    @cached_property
    def definition_sha256(self) -> str:
        """What it is known as to be doing: the approval of a first use does not outlive a change of this."""
        return definition_digest(self.display_name, self.description, self.input_schema, self.retry_safe)

    @property
    def by_client(self) -> bool:
        return self.callee is None
