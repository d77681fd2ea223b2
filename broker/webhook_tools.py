"""The webhook tools of an account, as the broker calls them."""

from dataclasses import dataclass

from broker.calls import AnswersLater, ToolCall, ToolResult
from broker.models import Tool
from broker.policy import as_approval
from broker.registry import ToolRegistry
from broker.tool import BoundTool, CallContext
from broker.webhook import WebhookDispatcher


class WebhookTools:
    """Registered tools of the kind ``webhook``."""

    def __init__(self, registry: ToolRegistry, dispatcher: WebhookDispatcher) -> None:
        self.registry = registry
        self.dispatcher = dispatcher

    def bind(self, row: Tool) -> BoundTool:
        return BoundTool(
            row.name,
            row.description,
            row.input_schema,
            row.idempotent,
            _Webhook(self, row),
            aliases=frozenset({row.id}),
            approval=as_approval(row.approval),
            trusted=row.trusted,
        )


@dataclass(frozen=True)
class _Webhook:
    tools: WebhookTools
    row: Tool

    async def call(self, call: ToolCall, context: CallContext) -> ToolResult | AnswersLater:
        target = await self.tools.registry.target(self.row)
        return await self.tools.dispatcher.call(target, context.scope, call)
