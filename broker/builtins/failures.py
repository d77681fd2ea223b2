"""How a built-in fails."""


class BuiltinFailed(Exception):
    """The tool could not do it: in words that the model can act on, without secrets. ``status`` is for the
    developer's record."""

    def __init__(self, message: str, *, status: int | str = "failed") -> None:
        super().__init__(message)
        self.message, self.status = message, status


class Unauthorized(BuiltinFailed):
    """The vendor does not accept the credentials (any more)."""
