"""The same accounts as for usage."""

from tests.gateway.usage.conftest import meters

__all__ = ["meters"]
