"""Fixtures of these tests."""

from tests.gateway.inference.crossing_rig import crossing, impatient
from tests.gateway.serving import heddle

__all__ = ["crossing", "heddle", "impatient"]
