"""A built-in's exchange with its vendor, as the vendor documents it."""

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Exchange:
    """``output`` is what the tool gives back for ``answer``; ``told`` is a part of what the model is told for
    the vendor's ``refusal``."""

    provider: str
    config: dict[str, Any]
    given: dict[str, Any]
    method: str
    url: str
    headers: dict[str, str]
    answer: Any
    output: Any
    refusal: Any
    told: str
    json: Any = None
    form: dict[str, str] | None = None
    params: dict[str, str] = field(default_factory=dict)
    status: int = 200
    refused_with: int = 400
    unauthorized: int = 401
