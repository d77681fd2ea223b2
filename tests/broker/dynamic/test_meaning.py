"""Finding tools by their meaning: whose vectors, at whose expense, and what happens without them."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from broker.calls import ToolScope
from broker.dynamic.meaning import Meaning, Purpose, fused
from kit.errors import HeddleError, InvalidRequest, PaymentRequired

TEXTS = [
    "send_money: Pay somebody.",
    "feed_cat: Give the cat its food.",
    "water: Give plants what they drink.",
]
MEANING = {"pay": 0, "remuneration": 0, "cat": 1, "kitten": 1, "plants": 2, "ficus": 2}


@dataclass
class Model:
    asked: list[tuple[str, str | None, str, Purpose, int]] = field(default_factory=list)
    refusal: HeddleError | None = None
    poison: str | None = None

    async def embed(
        self, scope: ToolScope, key_id: str, purpose: Purpose, texts: Sequence[str]
    ) -> Sequence[Sequence[float]]:
        if self.refusal is not None:
            raise self.refusal
        if self.poison is not None and any(self.poison in text for text in texts):
            raise InvalidRequest("one of the texts is not liked", code="provider_refused")
        self.asked.append((scope.account_id, scope.end_user_id, key_id, purpose, len(texts)))
        return [self._vector(text) for text in texts]

    @staticmethod
    def _vector(text: str) -> list[float]:
        vector = [0.0] * 8
        for word in text.lower().replace(".", "").replace(":", "").split():
            vector[MEANING.get(word, 7)] += 1.0 if word in MEANING else 0.1
        return vector


async def nearest(meaning: Meaning, intent: str, account: str = "acct_a", **among: list[int]) -> list[int]:
    scope = ToolScope(account, "ada")
    return await meaning.nearest(scope, "key_1", TEXTS, intent, among=among.get("among"))


async def ready(model: Model, account: str = "acct_a") -> Meaning:
    meaning = Meaning(model)
    assert await nearest(meaning, "kitten", account) == []  # words decide until they are there
    await meaning.made(account)
    return meaning


async def test_what_means_the_same_is_found_and_paid_for_once() -> None:
    model = Model()
    meaning = await ready(model)
    assert (await nearest(meaning, "kitten"))[0] == 1
    assert (await nearest(meaning, "my ficus"))[0] == 2
    assert (await nearest(meaning, "kitten ficus", among=[2]))[0] == 2
    assert model.asked[0] == ("acct_a", None, "key_1", "search_index", 3)  # no end user's budget
    assert set(model.asked[1:]) == {("acct_a", "ada", "key_1", "search_query", 1)}
    await meaning.close()


async def test_an_account_has_nothing_of_anothers() -> None:
    model = Model()
    meaning = await ready(model)
    assert await nearest(meaning, "kitten", "acct_b") == []
    await meaning.made("acct_b")
    assert [asked[0] for asked in model.asked if asked[3] == "search_index"] == ["acct_a", "acct_b"]


async def test_without_money_words_decide_and_nothing_is_asked_for_a_while() -> None:
    model = Model(refusal=PaymentRequired("nothing left"))
    meaning = await ready(model)
    model.refusal = None
    assert await nearest(meaning, "kitten") == []
    assert model.asked == []


async def test_a_text_that_is_refused_is_left_out_alone() -> None:
    model = Model(poison="cat its")
    meaning = await ready(model)
    assert (await nearest(meaning, "ficus"))[0] == 2
    assert 1 not in await nearest(meaning, "kitten")


def test_what_both_rankings_have_comes_first() -> None:
    assert fused([3, 1, 2], [1, 4], limit=3) == [1, 3, 4]
