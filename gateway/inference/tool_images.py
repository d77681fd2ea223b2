"""Pictures for the image tool: the gateway's own route for images, behind the protocol of the broker.

Invariant: a picture is paid like any other call of the key, with its list of models, its caps and the turn's
budget, and by the request that drew it; what is recorded of the tool call only repeats that cost.
"""

from collections.abc import Sequence

import msgspec

from broker.builtins.images import ImageRequest, MadeImage
from broker.calls import ToolResult, ToolScope
from broker.metering import Payment, Record, TurnBudget
from gateway.accounts.keys import ApiKeys
from gateway.billing.operations import Budget, Payer
from gateway.inference.inference import Inference
from gateway.inference.media.images import asked_for_images
from gateway.inference.passage import in_clients_form
from gateway.inference.upstream import ProviderRefused
from kit.db import Database
from kit.errors import UpstreamFailed
from kit.money import Nanos


class _Item(msgspec.Struct):
    b64_json: str | None = None
    url: str | None = None


class _Answer(msgspec.Struct):
    data: list[_Item]


class ToolImages:
    """Implements ``broker.builtins.images.ImageMaker``."""

    def __init__(self, db: Database, inference: Inference, keys: ApiKeys) -> None:
        self._db = db
        self._inference = inference
        self._keys = keys

    async def make(self, scope: ToolScope, payment: Payment, wanted: ImageRequest) -> list[MadeImage]:
        caller = await self._keys.caller(payment.key_id)
        plan = await self._inference.plan_media(
            asked_for_images(_body(wanted)), scope.account_id, allowed_models=caller.models
        )
        payer = Payer(scope.account_id, payment.key_id, scope.end_user_id, scope.thread_id, scope.turn_id)
        budget, bound = payment.budget, plan.bound.least
        own = None
        if budget is not None:
            own = Budget(Nanos(budget.limit), Nanos(budget.spent() + budget.held))
            budget.held += bound
        charged = 0
        try:
            call = await self._inference.open(
                plan, payment.charge_id, payer, {}, budget=own, rated=payment.is_request
            )
            body, settled = await call.read()
            charged = settled.charged
        except ProviderRefused as refused:
            raise in_clients_form(refused) from None
        finally:
            if budget is not None:
                budget.held += charged - bound
        payment.charge = _Paid(self._db, charged, budget)
        return _made(body)


class _Paid:
    """Implements ``broker.metering.OpenCharge`` for what has been debited already. Its cost stays held in the
    turn's budget until the turn has it among what it spent."""

    def __init__(self, db: Database, nanos: int, budget: TurnBudget | None) -> None:
        self._db = db
        self._nanos = nanos
        self._budget = budget

    async def settle(self, result: ToolResult, record: Record | None = None) -> int:  # noqa: ARG002
        return await self._end(record)

    async def cut_off(self, *, by_payer: bool, record: Record | None = None) -> int:  # noqa: ARG002
        return await self._end(record)

    async def _end(self, record: Record | None) -> int:
        try:
            if record is not None:
                await self._db.write(lambda session: record(session, self._nanos))
        finally:
            if self._budget is not None:
                self._budget.held -= self._nanos
                self._budget = None
        return self._nanos


def _body(wanted: ImageRequest) -> bytes:
    chosen = {"size": wanted.size, "quality": wanted.quality}
    body = {"model": wanted.model, "prompt": wanted.prompt, "n": wanted.count}
    return msgspec.json.encode({**body, **{name: value for name, value in chosen.items() if value}})


def _made(body: bytes) -> list[MadeImage]:
    """Raises UpstreamFailed for an answer without pictures."""
    try:
        items: Sequence[_Item] = msgspec.json.decode(body, type=_Answer).data
    except msgspec.ValidationError:
        raise UpstreamFailed("the provider answered without pictures", code="upstream_invalid") from None
    return [MadeImage(item.b64_json, item.url) for item in items if item.b64_json or item.url]
