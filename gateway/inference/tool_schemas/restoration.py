"""Arguments as a model gave them under an adapted schema, made into what the tool declared.

A plan is made with the adapted schema and has its shape: where a null stands for "left out", what is inside,
and, among alternatives, how to tell which one was taken. None means: as it is.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import jsonschema_rs

WRAPPER = "arguments"
"""The property that holds a root which had to be put into an object."""


@dataclass(frozen=True, slots=True)
class ObjectPlan:
    """``optional``: properties whose null means that they are left out."""

    optional: frozenset[str]
    inner: Mapping[str, "Plan"]


@dataclass(frozen=True, slots=True)
class ItemsPlan:
    inner: "Plan"


@dataclass(frozen=True, slots=True)
class ReferencePlan:
    """Whatever the definition of this name has."""

    name: str


@dataclass(frozen=True)
class Branch:
    """One of several alternatives."""

    schema: Mapping[str, Any]
    definitions: Mapping[str, Any] = field(repr=False)
    plan: "Plan"

    @cached_property
    def _validator(self) -> jsonschema_rs.Draft202012Validator:
        return jsonschema_rs.Draft202012Validator({**self.schema, "$defs": dict(self.definitions)})

    def took(self, value: Any) -> bool:
        try:
            return self._validator.is_valid(value)
        except (ValueError, RecursionError):
            return False


@dataclass(frozen=True, slots=True)
class BranchesPlan:
    branches: tuple[Branch, ...]


Plan = ObjectPlan | ItemsPlan | ReferencePlan | BranchesPlan | None


@dataclass(frozen=True, slots=True)
class Restoration:
    """The way back from adapted arguments to declared ones."""

    plan: Plan = None
    definitions: Mapping[str, Plan] = field(default_factory=dict)
    names: Mapping[str, str] = field(default_factory=dict)
    """Declared names of parameters by the names that the model knows."""
    wrapped: bool = False

    @property
    def changes_nothing(self) -> bool:
        return self.plan is None and not self.names and not self.wrapped

    def restore(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """Never raises. Arguments that are in the declared form already, as in what the model was shown of
        earlier calls, stay as they are."""
        if self.changes_nothing:
            return arguments
        if self.wrapped and arguments.keys() == {WRAPPER} and isinstance(arguments[WRAPPER], dict):
            arguments = arguments[WRAPPER]
        if self.plan is not None:
            try:
                arguments = self._restored(self.plan, arguments)
            except RecursionError:
                return arguments
        if self.names:
            declared = {self.names[name]: value for name, value in arguments.items() if name in self.names}
            kept = {name: value for name, value in arguments.items() if name not in self.names}
            arguments = {**declared, **kept}
        return arguments

    def _restored(self, plan: Plan, value: Any) -> Any:
        if isinstance(plan, ReferencePlan):
            plan = self.definitions.get(plan.name)
        if isinstance(plan, BranchesPlan):
            taken = next((branch for branch in plan.branches if branch.took(value)), None)
            return value if taken is None else self._restored(taken.plan, value)
        if isinstance(plan, ObjectPlan) and isinstance(value, dict):
            return {
                name: self._restored(plan.inner.get(name), item)
                for name, item in value.items()
                if item is not None or name not in plan.optional
            }
        if isinstance(plan, ItemsPlan) and isinstance(value, list):
            return [self._restored(plan.inner, item) for item in value]
        return value
