"""Catalogue files: the shipped ones are sound, an operator's mistakes are named."""

from pathlib import Path

import pytest

from connectors.catalog import BadCatalogEntry, Catalog
from tests.connectors.conftest import PASTED


def test_the_shipped_entries_are_sound() -> None:
    entries = {entry.slug: entry for entry in Catalog.load()}
    assert {"github", "linear"} <= entries.keys()
    assert entries["github"].header_values({"personal_access_token": "t"}) == {"authorization": "Bearer t"}


def test_an_operators_entry_is_added_and_replaces_a_shipped_one(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text(PASTED)
    (tmp_path / "b.toml").write_text(PASTED.replace('slug = "pasted"', 'slug = "linear"'))
    catalog = Catalog.load(tmp_path)
    linear = catalog.get("linear")
    assert linear is not None and linear.display_name == "Pasted & Co"
    assert catalog.get("pasted") is not None


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (("slug = ", "slugg = "), "slug"),
        (('auth = "api_key"', 'auth = "magic"'), "auth"),
        (("{key}", "{other}"), "other"),
        (('type = "object"', 'type = "array"'), "object schema"),
        (("[headers]", "[headers"), "vendor.toml"),
    ],
)
def test_mistakes_name_the_file_and_the_field(
    tmp_path: Path, change: tuple[str, str], complaint: str
) -> None:
    (tmp_path / "vendor.toml").write_text(PASTED.replace(*change, 1))
    with pytest.raises(BadCatalogEntry, match=complaint) as refusal:
        Catalog.load(tmp_path)
    assert "vendor.toml" in str(refusal.value)
