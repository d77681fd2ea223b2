"""A running Heddle for these tests."""

from tests.gateway.serving import heddle

__all__ = ["heddle"]
