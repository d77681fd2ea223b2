"""What belongs to one dialect only is named where it is left out, and refused where it may not be."""

import pytest

from gateway.inference.dialects.codec import left_out
from gateway.inference.dialects.neutral import Extra
from kit.errors import Unsupported


def test_another_dialects_fields_are_named() -> None:
    extra = Extra(dialect="a", fields={"store": True, "metadata": {}, "unset": None})
    assert left_out(extra, "b") == ("store", "metadata")
    assert left_out(extra, "a") == left_out(None, "a") == ()


def test_an_essential_field_is_refused() -> None:
    extra = Extra(dialect="a", fields={"conversation": "c1"}, essential=["conversation"])
    assert left_out(extra, "a") == ()
    with pytest.raises(Unsupported) as refused:
        left_out(extra, "b")
    assert refused.value.param == "conversation"
