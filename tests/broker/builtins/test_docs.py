"""``docs/builtins.md`` lists what the catalogue has."""

from pathlib import Path

from broker.builtins.builtin import Builtin
from broker.builtins.catalog import BUILTINS
from broker.builtins.fields import PASSWORD

DOCS = Path(__file__).parents[3] / "docs" / "builtins.md"
TITLES = ("provider `qlaud-builtin/…`", "vendor", "configuration", "end users", "a second time")
HEAD = f"| {' | '.join(TITLES)} |\n|{'---|' * len(TITLES)}"


def row(builtin: Builtin) -> str:
    properties = builtin.config_schema["properties"]
    required = builtin.config_schema.get("required", [])
    ordered = sorted(properties, key=lambda name: (name not in required, name))
    configuration = ", ".join(
        ("**" if properties[name].get("format") == PASSWORD else "")
        + f"`{name}`"
        + ("**" if properties[name].get("format") == PASSWORD else "")
        + ("" if name in required else "?")
        for name in ordered
    )
    names = " ".join(f"`{name}`" for name in (builtin.slug, *builtin.aliases))
    safe = "depends on `method`" if builtin.retry_safe_with else "harmless" if builtin.retry_safe else "no"
    return f"| {names} | {builtin.brand or ''} | {configuration} | {builtin.connector or ''} | {safe} |"


def table() -> str:
    return "\n".join([HEAD, *(row(builtin) for builtin in BUILTINS)])


def test_the_table_is_the_catalogue() -> None:
    assert table() in DOCS.read_text(encoding="utf-8"), table()


def test_the_readme_counts_them_right() -> None:
    readme = (DOCS.parents[1] / "README.md").read_text(encoding="utf-8")
    assert f"{len(BUILTINS)} [built-in tools](docs/builtins.md)" in readme
