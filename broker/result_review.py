"""Between a tool and the model: the operator's policy has its say, and what came from outside is flagged.

Whatever a tool's side has put into words passes here once, whether it came at once or later, and also where
an error of ours quotes a server. Our own words do not.
"""

import asyncio
import logging
from collections.abc import Collection
from dataclasses import replace
from typing import Literal

import msgspec

from broker.calls import UNTRUSTED, ToolResult, ToolScope, error_result, text_block
from broker.result_policy import ResultPolicy, ToolOutcome, Verdict
from kit.json import storable

logger = logging.getLogger("heddle.broker")

QUOTES_ITS_SERVER = frozenset({"rpc_error"})


class ResultReview:
    """``marks``: whether results are flagged at all; ``trusted``: those of the operator's tools that are not,
    as ``server/tool`` or ``server/*``. ``on_failure``: what becomes of a result whose policy fails or takes
    longer than ``timeout_s``."""

    def __init__(
        self,
        policy: ResultPolicy | None = None,
        *,
        timeout_s: float = 5.0,
        on_failure: Literal["refuse", "pass"] = "refuse",
        marks: bool = True,
        trusted: Collection[str] = (),
    ) -> None:
        self._policy = policy
        self._timeout_s = timeout_s
        self._on_failure = on_failure
        self._marks = marks
        self._trusted = frozenset(trusted)

    async def close(self) -> None:
        if self._policy is not None:
            await self._policy.close()

    def trusts(self, operators_tool: str) -> bool:
        return bool({operators_tool, f"{operators_tool.partition('/')[0]}/*"} & self._trusted)

    async def reviewed(
        self, scope: ToolScope, tool_use_id: str, tool: str, result: ToolResult, *, trusted: bool
    ) -> ToolResult:
        """What is stored and shown of a result: nothing of one that the policy refuses or replaces."""
        if not result.answered and result.record.get("status") not in QUOTES_ITS_SERVER:
            return result
        if self._policy is not None:
            result = await self._asked(self._policy, _outcome(scope, tool_use_id, tool, result), result)
        if self._marks and not trusted and result.record.get("policy") not in {"refused", "failed"}:
            return replace(result, record={**result.record, UNTRUSTED: True})
        return result

    async def _asked(self, policy: ResultPolicy, outcome: ToolOutcome, result: ToolResult) -> ToolResult:
        try:
            async with asyncio.timeout(self._timeout_s):
                verdict = await policy.review(outcome)
        except Exception as failure:
            logger.warning(
                "the result policy failed (%s) for tool %s of account %s; its result: %s",
                type(failure).__name__, outcome.tool, outcome.account_id, self._on_failure,
            )  # fmt: skip
            if self._on_failure == "pass":
                return replace(result, record={**result.record, "policy": "failed, passed"})
            return _refused(outcome.tool, result, "failed", "it could not be checked")
        if verdict.action == "replace":
            return _replaced(result, verdict)
        if verdict.action == "refuse":
            return _refused(outcome.tool, result, "refused", verdict.reason)
        return replace(result, record={**result.record, "policy": "passed"})


def _outcome(scope: ToolScope, tool_use_id: str, tool: str, result: ToolResult) -> ToolOutcome:
    return ToolOutcome(
        account_id=scope.account_id,
        end_user_id=scope.end_user_id,
        thread_id=scope.thread_id,
        turn_id=scope.turn_id,
        tool_use_id=tool_use_id,
        tool=tool,
        is_error=result.is_error,
        content=result.content,
        output=result.full if result.full is not None else msgspec.json.encode(result.output),
    )


def _replaced(result: ToolResult, verdict: Verdict) -> ToolResult:
    text = storable(verdict.content)
    record = {**result.record, "policy": "replaced", **_reason(verdict.reason)}
    return ToolResult(text, [text_block(text)], result.is_error, record, answered=result.answered)


def _refused(tool: str, result: ToolResult, how: str, reason: str | None) -> ToolResult:
    why = f": {storable(reason)}" if reason else ""
    record = {**result.record, "policy": how, **_reason(reason)}
    refusal = error_result(f"The result of {tool} was refused by this installation's policy{why}.", record)
    return replace(refusal, answered=result.answered)


def _reason(reason: str | None) -> dict[str, str]:
    return {} if reason is None else {"policy_reason": storable(reason)}
