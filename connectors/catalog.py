"""The vendor catalogue: one TOML file per vendor, shipped here or in the operator's own folder."""

import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from pydantic import ValidationError

from connectors.catalog_entry import CatalogEntry
from connectors.catalog_rules import faults

__all__ = ["SHIPPED", "BadCatalogEntry", "Catalog", "CatalogEntry", "CatalogProblem", "check_folders"]

SHIPPED = Path(__file__).parent / "catalog"
_PLAINER = {
    "missing": "missing: this field is needed",
    "extra_forbidden": "there is no such field",
}


class BadCatalogEntry(ValueError):
    """A catalogue file cannot be used; the message names the file and what is wrong, in one line."""


@dataclass(frozen=True, slots=True)
class CatalogProblem:
    """One thing that is wrong with one file; ``field`` is a dotted path, or ``file``."""

    path: Path
    field: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}: {self.field}: {self.message}"


class Catalog:
    """All entries by slug. An operator's entry replaces a shipped one of the same slug."""

    def __init__(self, entries: dict[str, CatalogEntry]) -> None:
        self._entries = entries

    @classmethod
    def load(cls, extra_dir: Path | None = None) -> "Catalog":
        """Read the shipped entries and the operator's. Raises BadCatalogEntry."""
        entries: dict[str, CatalogEntry] = {}
        for folder in filter(None, (SHIPPED, extra_dir)):
            found, problems = _shipped() if folder == SHIPPED else _read_folder(folder)
            if problems:
                more = f" (and {len(problems) - 1} more: see heddle catalog check)" if problems[1:] else ""
                raise BadCatalogEntry(f"{problems[0]}{more}")
            entries |= found
        return cls(entries)

    def get(self, slug: str) -> CatalogEntry | None:
        return self._entries.get(slug)

    def __iter__(self) -> Iterator[CatalogEntry]:
        return iter(self._entries.values())


@cache
def _shipped() -> tuple[dict[str, CatalogEntry], list[CatalogProblem]]:
    """Read once in a process: the files come with the code."""
    return _read_folder(SHIPPED)


def check_folders(folders: Iterable[Path]) -> tuple[int, list[CatalogProblem]]:
    """How many sound entries the folders have, and everything that is wrong with the others.

    Raises BadCatalogEntry for a folder that does not exist.
    """
    sound, problems = 0, []
    for folder in folders:
        found, faulty = _read_folder(folder)
        sound += len(found)
        problems += faulty
    return sound, problems


def _read_folder(folder: Path) -> tuple[dict[str, CatalogEntry], list[CatalogProblem]]:
    if not folder.is_dir():
        raise BadCatalogEntry(f"the catalogue folder {folder} does not exist")
    entries: dict[str, CatalogEntry] = {}
    files: dict[str, Path] = {}
    problems: list[CatalogProblem] = []
    for path in sorted(folder.glob("*.toml")):
        entry, faulty = _read(path)
        problems += faulty
        if entry is None:
            continue
        if entry.slug in entries:
            problems.append(CatalogProblem(path, "slug", f"{files[entry.slug].name} has the same one"))
            continue
        entries[entry.slug], files[entry.slug] = entry, path
    return entries, problems


def _read(path: Path) -> tuple[CatalogEntry | None, list[CatalogProblem]]:
    try:
        entry = CatalogEntry.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        return None, [CatalogProblem(path, "file", str(error))]
    except ValidationError as error:
        return None, [
            CatalogProblem(
                path,
                ".".join(str(part) for part in fault["loc"]) or "file",
                _PLAINER.get(fault["type"], fault["msg"]),
            )
            for fault in error.errors(include_url=False, include_input=False)
        ]
    problems = [CatalogProblem(path, field, message) for field, message in faults(entry)]
    return (None if problems else entry), problems
