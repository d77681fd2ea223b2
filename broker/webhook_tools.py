"""The webhook tools of an account, as the broker calls them."""

from dataclasses import dataclass

from broker.calls import AnswersLater, ToolCall, ToolResult
from broker.models import Tool
from broker.policy import as_approval
from broker.tool import BoundTool, CallContext
from broker.webhook import WebhookDispatcher
from broker.webhook_targets import WebhookTargets


class WebhookTools:
    """Registered tools of the kind ``webhook``."""

    def __init__(self, targets: WebhookTargets, dispatcher: WebhookDispatcher) -> None:
        self.targets = targets
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
        target = await self.tools.targets.recent(self.row.account_id, self.row.id)
        return await self.tools.dispatcher.call(target, context.scope, call)
