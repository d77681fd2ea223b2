"""Why a turn failed, as its row keeps it, and as those hear it who ask for its answer."""

from collections.abc import Mapping
from typing import Any

from kit.errors import HeddleError


def error_record(error: HeddleError, iteration: int) -> dict[str, Any]:
    """What a turn that failed in ``iteration`` keeps of ``error``."""
    return {
        "message": error.message,
        "status": error.status,
        "type": error.type,
        "code": error.code,
        "iteration": iteration,
        **({"param": error.param} if error.param is not None else {}),
        **({"details": error.details} if error.details else {}),
    }


class TurnFailed(HeddleError):
    """The error that a turn's row keeps."""

    def __init__(self, turn_id: str, record: Mapping[str, Any]) -> None:
        super().__init__(
            record["message"],
            code=record["code"],
            param=record.get("param"),
            details={**record.get("details", {}), "turn_id": turn_id},
        )
        self.status = record["status"]
        self.type = record["type"]
