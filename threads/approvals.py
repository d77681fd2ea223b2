"""Whether somebody must approve of a call: by the turn's rules, and by what the tool's owner asks for.

The stricter of the two counts: a turn cannot do without an approval that the tool's owner wants.

Invariant: a grant holds for one end user (without one: one thread) of one account, one tool, and the
definition that the tool had when it was approved of; a tool that has changed is asked about again.
"""

from collections.abc import Sequence

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

    async def missing(
        self, run: TurnRun, call: ToolCallRow, reached: Sequence[BoundTool] = ()
    ) -> tuple[Approval, list[BoundTool]]:
        """What has to be asked before this call, and which tools ask for it: ``never`` if nothing has.
        ``reached``: the tools that the call calls in its turn. The caller decides itself about its own
        tools."""
        tool = run.toolset.find(call.name)
        if tool is None or tool.by_client or call.approved:
            return "never", []
        asked = {"never": [], "first_use": [], "always": []}  # type: dict[Approval, list[BoundTool]]
        for one in (tool, *reached):
            asked[await self.of(run, one)].append(one)
        needed: Approval = "always" if asked["always"] else "first_use" if asked["first_use"] else "never"
        return needed, [] if needed == "never" else [*asked["always"], *asked["first_use"]]

    async def of(self, run: TurnRun, tool: BoundTool) -> Approval:
        """What has to be asked before this tool is called, by whatever name."""
        needed = stricter(tool.approval, asked_by_turn(run, tool))
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


def asked_by_turn(run: TurnRun, tool: BoundTool) -> Approval:
    """What is said of a tool goes before what is said of its server; ``always`` goes before ``never``. What
    is said of all tools does not count for those that only tell what there is."""
    rules = run.turn.tool_approval
    if rules is None:
        return "never"
    if isinstance(rules, str):
        return "never" if tool.is_lookup else as_approval(rules)
    for known in run.toolset.names_of_tool(tool):
        choices = {rules[name] for name in known if name in rules}
        if choices:
            return "always" if "always" in choices else "never"
    return "never"


def grant(session: Session, turn: Turn, action: PendingAction, *, now_ms: int) -> None:
    """Within the transaction that approves the action."""
    trusted = action.payload["first_use_of"]
    definitions = trusted if isinstance(trusted, dict) else {action.subject: trusted}
    for tool, definition in definitions.items():
        session.add(
            ToolGrant(
                id=new_id("grant"),
                account_id=turn.account_id,
                end_user_id=turn.end_user_id,
                thread_id=turn.thread_id if turn.end_user_id is None else None,
                tool=tool,
                definition_sha256=definition,
                action_id=action.id,
                created_at=now_ms,
            )
        )
