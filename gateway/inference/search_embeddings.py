"""The model of search by meaning: metered embeddings behind the protocol that ``threads`` defines."""

from collections.abc import Sequence
from decimal import Decimal

import msgspec
from sqlmodel import Session

from broker.calls import ToolScope
from gateway.billing.operations import Payer, Rider
from gateway.inference.dialects.registry import OPENAI_EMBEDDINGS
from gateway.inference.inference import Inference
from gateway.inference.passage import in_clients_form
from gateway.inference.plan import Planner
from gateway.inference.upstream import ProviderRefused
from gateway.settings import BadSettings, Settings
from kit.errors import HeddleError
from kit.ids import new_uuid
from threads.embedding_model import EmbeddingPayer, Purpose, TextsRefused, Vector, VectorRecorder

SETTING = "HEDDLE_SEARCH_EMBEDDING_MODEL"
_ABOUT_THE_TEXTS = {400, 413, 422}


class _Item(msgspec.Struct):
    embedding: list[float]
    index: int = 0


class _Answer(msgspec.Struct):
    data: list[_Item]


class SearchEmbeddings:
    """Implements ``threads.embedding_model.EmbeddingModel``. What it asks does not count against the keys'
    rates, nor do the models that a key may use bound it: the operator has chosen this one for search."""

    def __init__(self, inference: Inference, model: str, dimensions: int | None, space: str) -> None:
        self._inference = inference
        self._model = model
        self._dimensions = dimensions
        self._space = space

    @classmethod
    def configured(cls, settings: Settings, inference: Inference) -> "SearchEmbeddings | None":
        """None if no model is set. Raises BadSettings if it cannot be used."""
        name, dimensions = settings.search_embedding_model, settings.search_embedding_dimensions
        if name is None:
            return None
        if name in settings.aliases:
            raise BadSettings(
                f"{SETTING}: {name} is an alias; name one model, for vectors of several do not mix"
            )
        live = inference.catalogs.live
        try:
            raw = _body(name, ["text"], dimensions)
            Planner(live).plan(OPENAI_EMBEDDINGS, raw, Decimal(0), allowed_models=None)
            model = live.resolve(name)
        except HeddleError as error:
            raise BadSettings(f"{SETTING}: {error.message}") from None
        space = f"{model.provider.name}/{model.upstream_name}"
        return cls(inference, name, dimensions, f"{space}@{dimensions}" if dimensions else space)

    @property
    def space(self) -> str:
        return self._space

    async def embed(
        self,
        payer: EmbeddingPayer,
        purpose: Purpose,
        texts: Sequence[str],
        record: VectorRecorder | None = None,
    ) -> Sequence[Vector]:
        raw = _body(self._model, texts, self._dimensions)
        plan = await self._inference.plan(OPENAI_EMBEDDINGS, raw, payer.account_id, allowed_models=None)
        request_id = new_uuid()
        paying = Payer(payer.account_id, payer.key_id, payer.end_user_id or None, purpose=purpose)
        made: list[Vector] = []

        def rider_of(body: bytes) -> Rider:
            made.extend(_vectors(body, len(texts)))
            return _nothing if record is None else lambda session: record(session, made)

        try:
            call = await self._inference.open(plan, request_id, paying, {}, rated=False)
            await call.read(rider_of=rider_of)
        except ProviderRefused as refused:
            error = in_clients_form(refused)
            if refused.status in _ABOUT_THE_TEXTS:
                raise TextsRefused(error.message, details=error.details) from None
            raise error from None
        except HeddleError:
            raise
        except Exception:  # what ``record`` raised: the call is not settled then
            await self._inference.billing.release(request_id)
            raise
        return made


class ToolSearchEmbeddings:
    """Implements ``broker.dynamic.meaning.ToolEmbeddings`` with the same model and the same bills."""

    def __init__(self, model: SearchEmbeddings) -> None:
        self._model = model

    async def embed(
        self, scope: ToolScope, key_id: str, purpose: Purpose, texts: Sequence[str]
    ) -> Sequence[Vector]:
        payer = EmbeddingPayer(scope.account_id, key_id, scope.end_user_id or "")
        return await self._model.embed(payer, purpose, texts)


def _body(model: str, texts: Sequence[str], dimensions: int | None) -> bytes:
    body = {"model": model, "input": list(texts), "encoding_format": "float"}
    return msgspec.json.encode(body | ({"dimensions": dimensions} if dimensions else {}))


def _vectors(body: bytes, count: int) -> list[Vector]:
    """Raises ValueError if they are not ``count`` ones of one length."""
    items = sorted(msgspec.json.decode(body, type=_Answer).data, key=lambda item: item.index)
    if len(items) != count or len({len(item.embedding) for item in items}) != 1 or not items[0].embedding:
        raise ValueError(f"expected {count} vectors of one length")
    return [item.embedding for item in items]


def _nothing(_session: Session) -> None:
    pass
