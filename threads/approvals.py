"""Whether somebody must approve of a call: by the turn's rules, and by what the tool's owner asks for.

The stricter of the two counts: a turn cannot do without an approval that the tool's owner wants.

Invariant: a grant holds for one end user (without one: one thread) of one account, one tool, and the
definition that the tool had when it was approved of; a tool that has changed is asked about again.
"""

from sqlmodel import Session, select

from broker.policy import Approval, as_approval, stricter
from broker.tool import BoundTool
from kit.db import Database
from kit.ids import new_id
from threads.models import PendingAction, ToolCallRow, ToolGrant, Turn
from threads.steps import TurnRun


class Approvals:
    def __init__(self, db: Database) -> None:
        self._db = db

    async def missing(self, run: TurnRun, call: ToolCallRow) -> Approval:
        """What has to be asked before this call: ``never`` if nothing has. The caller decides itself about
        its own tools."""
        tool = run.toolset.find(call.name)
        if tool is None or tool.by_client or call.approved:
            return "never"
        needed = stricter(tool.approval, asked_by_turn(run, call))
        if needed == "first_use" and await self._granted(run.turn, tool):
            return "never"
        return needed

    async def _granted(self, turn: Turn, tool: BoundTool) -> bool:
        """Whether whom this turn acts for has approved of this tool as it is now."""
        holder = ToolGrant.end_user_id == turn.end_user_id
        if turn.end_user_id is None:
            holder = ToolGrant.thread_id == turn.thread_id
        query = select(ToolGrant.id).where(
            ToolGrant.account_id == turn.account_id,
            ToolGrant.tool == tool.display_name,
            ToolGrant.definition_sha256 == tool.definition_sha256,
            holder,
        )
        async with self._db.session() as session:
            return (await session.exec(query.limit(1))).first() is not None


def asked_by_turn(run: TurnRun, call: ToolCallRow) -> Approval:
    """What is said of a tool goes before what is said of its server; ``always`` goes before ``never``."""
    rules = run.turn.tool_approval
    if rules is None:
        return "never"
    if isinstance(rules, str):
        return as_approval(rules)
    for known in run.toolset.names_of(call.name):
        choices = {rules[name] for name in known if name in rules}
        if choices:
            return "always" if "always" in choices else "never"
    return "never"


def grant(session: Session, turn: Turn, action: PendingAction, *, now_ms: int) -> None:
    """Within the transaction that approves the action."""
    session.add(
        ToolGrant(
            id=new_id("grant"),
            account_id=turn.account_id,
            end_user_id=turn.end_user_id,
            thread_id=turn.thread_id if turn.end_user_id is None else None,
            tool=action.subject,
            definition_sha256=action.payload["first_use_of"],
            action_id=action.id,
            created_at=now_ms,
        )
    )
