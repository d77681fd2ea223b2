"""As whom a tool acts."""

from broker.calls import ToolScope
from kit.errors import InvalidRequest


def end_user_of(scope: ToolScope, who_acts: str) -> str:
    """The end user of a scope. Raises InvalidRequest (``end_user_required``) if there is none; ``who_acts``
    begins the message, such as ``the tool x acts``."""
    if scope.end_user_id is None:
        raise InvalidRequest(
            f"{who_acts} as an end user, and there is none here; "
            "send an end_user_id (for a turn: create the thread with one)",
            code="end_user_required",
            param="end_user_id",
        )
    return scope.end_user_id
