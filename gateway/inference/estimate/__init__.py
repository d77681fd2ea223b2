"""A request's input tokens before its provider has counted them.

``text`` counts text, ``contents`` and ``schemas`` find it in a request, ``families`` knows what providers add
around it, ``media`` and ``provider_tools`` what has its size elsewhere; ``estimate`` puts them together.
"""

from gateway.inference.estimate.estimate import (
    InputEstimate,
    estimate_input,
    input_token_guess,
    middling,
    tokens_in_window,
)
from gateway.inference.estimate.families import Family, family_of

__all__ = [
    "Family",
    "InputEstimate",
    "estimate_input",
    "family_of",
    "input_token_guess",
    "middling",
    "tokens_in_window",
]
