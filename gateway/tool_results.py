"""What the operator decides about the results of tools: ``[tool_results]`` in heddle.toml."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from broker.result_policy import policy_named
from broker.result_review import ResultReview


class ToolResultSettings(BaseModel):
    """``trusted`` names those of the operator's tools (``server/tool``, ``server/*``) whose results are not
    marked as data for the model. ``policy`` is ``module:function``, or the URL of a service that looks at
    every result (``broker/result_policy.py``)."""

    model_config = ConfigDict(extra="forbid")

    mark: bool = True
    trusted: tuple[str, ...] = ()
    policy: str | None = Field(default=None, min_length=1, repr=False)
    policy_timeout_s: float = Field(default=5.0, gt=0, le=60)
    on_policy_failure: Literal["refuse", "pass"] = "refuse"

    def review(self) -> ResultReview:
        """Raises BadPolicy."""
        return ResultReview(
            policy_named(self.policy) if self.policy is not None else None,
            timeout_s=self.policy_timeout_s,
            on_failure=self.on_policy_failure,
            marks=self.mark,
            trusted=self.trusted,
        )
