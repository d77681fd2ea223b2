"""Names for models: safe, exact, free of collisions, the same in every turn."""

from hypothesis import given
from hypothesis import strategies as st

from broker.names import MODEL_NAME, model_names

names = st.text(min_size=1, max_size=120) | st.from_regex(r"[a-z]{1,9}/[a-zA-Z0-9_.-]{1,80}", fullmatch=True)


@given(st.lists(names, max_size=30))
def test_every_name_is_safe_and_maps_back(full_names: list[str]) -> None:
    mapping = model_names(full_names)
    assert set(mapping) == set(full_names)
    assert len(set(mapping.values())) == len(mapping)
    assert all(MODEL_NAME.fullmatch(name) for name in mapping.values())


@given(st.lists(names, max_size=10).flatmap(lambda each: st.tuples(st.just(each), st.permutations(each))))
def test_the_order_does_not_matter(both: tuple[list[str], list[str]]) -> None:
    assert model_names(both[0]) == model_names(both[1])


def test_readable_names_stay_readable() -> None:
    assert model_names(["get_weather", "notes/add"]) == {
        "get_weather": "get_weather",
        "notes/add": "notes__add",
    }
    clash = model_names(["a__b", "a/b"])
    assert clash["a__b"] == "a__b"
    assert clash["a/b"].startswith("a__b_")
    long = model_names([f"server/{'x' * 100}"])
    assert len(next(iter(long.values()))) == 64
