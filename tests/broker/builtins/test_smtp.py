"""Mail over SMTP, with a server that speaks it (RFC 5321), with and without TLS."""

import asyncio
import base64
import datetime
import email
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from broker.builtins import smtp_email
from broker.calls import ToolResult
from kit.clock import ManualClock
from kit.db import Database
from kit.errors import InvalidRequest
from kit.outbound import OutboundPolicy
from tests.broker.rig import ACME, Rig, rigged

MAIL = {
    "to": ["ada@example.com"],
    "bcc": ["hidden@example.com"],
    "subject": "Grüße",
    "text": "It is on its way.\n.\nReally.",
}


@dataclass
class MailServer:
    """Keeps what it is sent. ``refuses``: the answer to a command that begins like this."""

    tls: ssl.SSLContext | None = None
    refuses: dict[str, str] = field(default_factory=dict)
    commands: list[str] = field(default_factory=list)
    data: bytes = b""
    secure: bool = False

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail.example ESMTP\r\n")
        while line := await reader.readline():
            command = line.decode().strip()
            self.commands.append(command)
            verb = command.partition(" ")[0].upper()
            refusal = next((said for start, said in self.refuses.items() if command.startswith(start)), None)
            if refusal:
                writer.write(f"{refusal}\r\n".encode())
            elif verb == "EHLO":
                more = "" if self.secure or self.tls is None else "250-STARTTLS\r\n"
                writer.write(f"250-mail.example\r\n{more}250-AUTH PLAIN\r\n250 SIZE 10000000\r\n".encode())
            elif verb == "STARTTLS":
                writer.write(b"220 go ahead\r\n")
                await writer.drain()
                assert self.tls is not None
                await writer.start_tls(self.tls)
                self.secure = True
            elif verb == "AUTH":
                writer.write(b"235 welcome\r\n")
            elif verb == "DATA":
                writer.write(b"354 go on\r\n")
                self.data = await reader.readuntil(b"\r\n.\r\n")
                writer.write(b"250 taken\r\n")
            elif verb == "QUIT":
                writer.write(b"221 bye\r\n")
                break
            else:
                writer.write(b"250 ok\r\n")
        writer.close()


@asynccontextmanager
async def serving(server: MailServer) -> AsyncIterator[int]:
    listening = await asyncio.start_server(server.talk, "127.0.0.1", 0)
    async with listening:
        yield listening.sockets[0].getsockname()[1]


def certificate(folder: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """The contexts of a server named localhost and of a client that trusts it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    file = folder / "server.pem"
    file.write_bytes(
        made.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(file)
    return server, ssl.create_default_context(cafile=str(file))


async def send(rig: Rig, port: int, **config: Any) -> ToolResult:
    settings = {"host": "localhost", "port": port, "from": "Acme <orders@acme.example>", **config}
    await rig.broker.builtins.create(ACME, "send-email-smtp", {"name": "mail"}, config=settings)
    return await rig.call("mail", MAIL)


async def test_a_message_over_starttls(rig: Rig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tls, trusting = certificate(tmp_path)
    monkeypatch.setattr(smtp_email, "tls_context", lambda: trusting)
    server = MailServer(tls)
    async with serving(server) as port:
        result = await send(rig, port, username="acme", password="smtp-secret-0123")
    assert not result.is_error and result.output["sent"] is True, result
    assert server.secure and server.commands.index("STARTTLS") == 1
    login = base64.b64encode(b"\0acme\0smtp-secret-0123").decode()
    assert f"AUTH PLAIN {login}" in server.commands[3:]
    envelope = [command.partition(" SIZE")[0] for command in server.commands if ":<" in command]
    assert envelope[:1] == ["MAIL FROM:<orders@acme.example>"] or "orders@acme.example" in envelope[0]
    assert envelope[1:] == ["RCPT TO:<ada@example.com>", "RCPT TO:<hidden@example.com>"]
    message = email.message_from_bytes(server.data, policy=email.policy.default)
    assert message["subject"] == "Grüße" and message["to"] == "ada@example.com"
    assert message["bcc"] is None and b"hidden@example.com" not in server.data
    assert b"\r\n..\r\n" in server.data
    assert "smtp-secret" not in repr(result)


async def test_nothing_is_sent_where_tls_is_missing_or_not_trusted(rig: Rig, tmp_path: Path) -> None:
    plain, stranger = MailServer(), MailServer(certificate(tmp_path)[0])
    for server in (plain, stranger):
        async with serving(server) as port:
            result = await send(rig, port, username="acme", password="smtp-secret-0123")
        await rig.broker.registry.delete(ACME, (await rig.broker.registry.all(ACME))[0].id)
        assert result.is_error, result
        assert not [command for command in server.commands if command.startswith(("AUTH", "MAIL"))]


@pytest.mark.parametrize(
    ("refuses", "told"),
    [
        ({"AUTH": "535 no such user smtp-secret-0123"}, "does not accept the configured login"),
        ({"RCPT": "550 no such mailbox"}, "no such mailbox"),
        ({"MAIL": "451 try later"}, "451"),
    ],
)
async def test_what_the_server_refuses_is_told(rig: Rig, refuses: dict[str, str], told: str) -> None:
    async with serving(MailServer(refuses=refuses)) as port:
        login = {"username": "acme", "password": "smtp-secret-0123"} if "AUTH" in refuses else {}
        result = await send(rig, port, host="127.0.0.1", security="none", **login)
    assert result.is_error and told in result.output["error"], result
    assert "smtp-secret" not in repr(result)


async def test_a_private_mail_server_is_out_of_reach(sqlite_db: Database, clock: ManualClock) -> None:
    server = MailServer()
    async with rigged(sqlite_db, clock, policy=OutboundPolicy()) as rig, serving(server) as port:
        for host in ("127.0.0.1", "localhost"):
            with pytest.raises(InvalidRequest):
                await send(rig, port, host=host)
        result = await send(rig, port, host="localhost.localdomain")
    assert result.is_error and "cannot be reached" in result.output["error"]
    assert server.commands == []


async def test_a_login_in_the_clear_is_refused_outside_of_private_networks(rig: Rig) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        await send(rig, 25, host="mail.example.com", security="none")
    assert refusal.value.param == "config.host"
