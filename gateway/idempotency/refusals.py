"""Why a repeated request is not answered as the first one was."""

from kit.errors import Conflict, InvalidRequest

HEADER = "idempotency-key"
MAX_KEY_CHARS = 255
NO_USE = {"x-should-retry": "false"}
"""Tells the official OpenAI and Anthropic SDKs, which repeat a request that met a 409, to leave it."""
LONGEST_WAIT_S = 30


class BadIdempotencyKey(InvalidRequest):
    def __init__(self) -> None:
        super().__init__(
            f"{HEADER}: expected one such header with 1 to {MAX_KEY_CHARS} printable ASCII characters",
            param=HEADER,
        )


class IdempotencyMismatch(Conflict):
    code = "idempotency_mismatch"

    def __init__(self) -> None:
        super().__init__(
            f"this {HEADER} was used for another request (path, query or body differ) in the last 24 hours: "
            "give each request a key of its own",
            param=HEADER,
            headers=NO_USE,
        )


class IdempotencyInProgress(Conflict):
    """``running_ms``: for how long the first one has been running; the longer, the later to come back."""

    code = "idempotency_in_progress"

    def __init__(self, running_ms: int) -> None:
        wait_s = max(1, min(LONGEST_WAIT_S, running_ms // 1000))
        super().__init__(
            f"the request with this {HEADER} is still running: repeat it in {wait_s} s to get its answer",
            param=HEADER,
            headers={"retry-after": str(wait_s)},
        )


class IdempotencyOutcomeUnknown(Conflict):
    code = "idempotency_outcome_unknown"

    def __init__(self, *, charged: bool) -> None:
        known = (
            "and has been charged for what it delivered"
            if charged
            else "and it is not known what it did; look before you send it again"
        )
        super().__init__(
            f"the request with this {HEADER} was cut off before its answer was complete, {known}. It was not "
            "carried out again; to do so, send it with another key",
            param=HEADER,
            headers=NO_USE,
        )


class IdempotencyAnswerNotKept(Conflict):
    code = "idempotency_answer_not_kept"

    def __init__(self, limit: int) -> None:
        super().__init__(
            f"the request with this {HEADER} was carried out, but its answer of more than {limit} bytes was "
            "too large to keep. It was not carried out or billed again",
            param=HEADER,
            headers=NO_USE,
        )
