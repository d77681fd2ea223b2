"""Where secrets could have been left, and how to find them: in clear and in the encodings that hide them."""

import base64
import re
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path
from urllib.parse import quote

import psycopg
from starlette.types import ASGIApp, Message, Receive, Scope, Send

Found = list[tuple[str, str]]
SHORTEST = 8
TOLD = re.compile(r"(?:^|&)(?:code|code_verifier|refresh_token|client_secret|token)=([^&]+)")


def encodings(secret: str) -> list[bytes]:
    """In clear, percent-encoded, hex, and what is certain of its base64 wherever in a text it stood."""
    raw = secret.encode()
    needles = {raw, quote(secret, safe="").encode(), raw.hex().encode(), raw.hex().upper().encode()}
    for before in range(3):
        whole = base64.b64encode(bytes(before) + raw).rstrip(b"=")
        if (before + len(raw)) % 3:
            whole = whole[:-1]  # its other bits are of what came after
        certain = whole[(0, 2, 3)[before] :]
        needles |= {certain, certain.translate(bytes.maketrans(b"+/", b"-_"))}
    assert all(len(needle) >= SHORTEST for needle in needles), "too short to be told from chance"
    return sorted(needles)


def found_in(places: Mapping[str, bytes], secrets: Iterable[str]) -> Found:
    """Where which secret was found; secrets are shown by their beginnings."""
    return [
        (place, secret[:12])
        for secret in secrets
        for needle in encodings(secret)
        for place, content in places.items()
        if needle in content
    ]


def files_with(folder: Path, secrets: Iterable[str], needles_file: Path) -> list[str]:
    """The files under a folder that hold any of them: for folders too large to be read secret by secret."""
    needles_file.write_bytes(b"\n".join(needle for secret in secrets for needle in encodings(secret)) + b"\n")
    searched = subprocess.run(
        ["grep", "-r", "-l", "-a", "-F", "-f", str(needles_file), str(folder)],
        env={"LC_ALL": "C", "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    return searched.stdout.splitlines()


def dumped(postgres_url: str) -> dict[str, bytes]:
    """Every table of a PostgreSQL database as text."""
    with psycopg.connect(postgres_url) as connection:
        tables = connection.execute(
            "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'"
        ).fetchall()
        dump = {}
        for (name,) in tables:
            with connection.cursor().copy(f'COPY "{name}" TO STDOUT'.encode()) as copy:
                dump[name] = b"".join(bytes(part) for part in copy)
    return dump


def data_folder(postgres_url: str) -> Path:
    """Where the server keeps its files, after it has written all of them."""
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute("CHECKPOINT")
        row = connection.execute("SHOW data_directory").fetchone()
    assert row is not None
    return Path(row[0])


def of_process(pid: int) -> dict[str, bytes]:
    """What everybody on the machine can see of a process, and its environment."""
    return {name: Path(f"/proc/{pid}/{name}").read_bytes() for name in ("cmdline", "environ")}


def listening(app: ASGIApp, heard: list[str]) -> ASGIApp:
    """A vendor whose token endpoint's secrets are noted: codes, verifiers, refresh tokens, client secrets."""

    async def listened(scope: Scope, receive: Receive, send: Send) -> None:
        async def noted() -> Message:
            message = await receive()
            names = "code|code_verifier|refresh_token|client_secret|token"
            heard.extend(
                re.findall(rf"(?:^|&)(?:{names})=([^&]+)", message.get("body", b"").decode("latin-1"))
            )
            return message

        is_token = scope["type"] == "http" and scope["path"] in {"/token", "/revoke"}
        await app(scope, noted if is_token else receive, send)

    return listened
