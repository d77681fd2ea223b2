"""The matrix as a Markdown table: ``python -m tests.gateway.inference.crossing.print_matrix``."""

from tests.gateway.inference.crossing.clients import CLIENTS
from tests.gateway.inference.crossing.matrix import CASES, DROPPED, SUBJECTS, WAYS
from tests.gateway.inference.crossing.providers import PROVIDERS

PASSES, CROSSES = "=", "✓"


def table() -> str:
    """A row per client and subject, a column per provider and way. ``=``: the bytes pass as they are; ``✓``:
    translated; a number names the note with what is left out."""
    notes: list[tuple[str, ...]] = []
    cells = {
        (client, provider, way, subject): _cell(client, provider, subject, notes)
        for client, provider, way, subject in CASES
    }
    columns = [(provider, way) for provider in PROVIDERS for way in WAYS]
    lines = [
        _line("client", "", *(f"{provider} {way}" for provider, way in columns)),
        _line(*["---"] * 2, *[":-:"] * len(columns)),
    ]
    for client in CLIENTS:
        for subject in SUBJECTS:
            row = (cells[client, provider, way, subject] for provider, way in columns)
            lines.append(_line(client, subject, *row))
    lines += [
        "",
        "`=` the bytes pass as they are, `✓` translated. Left out, and named in `x-heddle-dropped`:",
        "",
    ]
    lines += [
        f"{number}. {', '.join(f'`{name}`' for name in names)}" for number, names in enumerate(notes, 1)
    ]
    return "\n".join(lines) + "\n"


def _cell(client: str, provider: str, subject: str, notes: list[tuple[str, ...]]) -> str:
    if client == provider:
        return PASSES
    names = DROPPED.get((client, provider, subject))
    if names is None:
        return CROSSES
    if names not in notes:
        notes.append(names)
    return f"{CROSSES} {notes.index(names) + 1}"


def _line(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    print(table())
