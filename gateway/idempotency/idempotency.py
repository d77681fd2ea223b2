"""``idempotency-key``, between the front door and the routes.

A request that carries the header is carried out once; whoever sends it again gets the same answer and pays
nothing. What comes of an answer is decided by its status: success is kept; a refusal did nothing, so it is
decided anew. A client that leaves does not end what it began, for it will come back for it.
"""

import asyncio
import dataclasses
from collections.abc import Mapping

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.errors import as_domain_error, send_error
from gateway.idempotency.answer import REPLAYED, Recorder
from gateway.idempotency.held_body import Fingerprint, HeldBody
from gateway.idempotency.key import read_key, record_id
from gateway.idempotency.refusals import IdempotencyAnswerNotKept, IdempotencyInProgress
from gateway.idempotency.run import Run
from gateway.idempotency.store import Asked, IdempotencyStore
from gateway.idempotency.tending import Tender
from kit.caller import Caller
from kit.clock import Clock
from kit.db import Database
from vault.store import SecretNotFound, Vault


class Idempotency:
    def __init__(
        self,
        db: Database,
        vault: Vault,
        clock: Clock,
        *,
        max_answer_bytes: int,
        max_request_bytes: int,
        larger_requests: Mapping[str, int],
    ) -> None:
        """``larger_requests``: the limits of those paths that have one of their own."""
        self._alone = db.dialect == "sqlite"
        self._store = IdempotencyStore(db, vault, clock)
        self._max_answer_bytes = max_answer_bytes
        self._max_request_bytes = max_request_bytes
        self._larger_requests = larger_requests
        self.tender = Tender(self._store)

    async def start(self) -> None:
        if self._alone:
            await self._store.abandon_all()
        self.tender.start()

    async def close(self) -> None:
        await self.tender.close()

    async def answer(self, app: ASGIApp, header: bytes, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer an authenticated POST whose idempotency key is ``header``, with ``app`` if it is to be
        carried out. Raises HeddleErrors while nothing was sent."""
        caller: Caller = scope["caller"]
        key = read_key(header)
        body, fingerprint = HeldBody(), Fingerprint(scope)
        limit = self._larger_requests.get(scope["path"], self._max_request_bytes)
        try:
            await body.receive(receive, fingerprint, limit=limit)
            asked = Asked(
                record_id=record_id(caller.key_id, key),
                account_id=caller.account_id,
                key_id=caller.key_id,
                path=scope["path"],
                fingerprint=fingerprint.hexdigest(),
                run_id=scope["request_id"],
            )
            await self._answer(app, asked, scope, body.again(receive), send)
        finally:
            body.close()

    async def _answer(self, app: ASGIApp, asked: Asked, scope: Scope, receive: Receive, send: Send) -> None:
        claim = await self._store.claim(asked)
        if claim.mine:
            await self._carry_out(app, asked, scope, receive, send)
        elif claim.turn_id is not None:
            scope["once"] = Run(self._store, asked, claim.turn_id)
            await app(scope, receive, _marked(send))
        elif claim.answer_id is None:
            raise IdempotencyAnswerNotKept(self._max_answer_bytes)
        else:
            await self._replay(asked, claim.answer_id, send)

    async def _replay(self, asked: Asked, answer_id: str, send: Send) -> None:
        try:
            answer = await self._store.answer(asked, answer_id)
        except SecretNotFound:  # it has expired this moment: the next one finds nothing
            raise IdempotencyInProgress(0) from None
        await answer.replay(send)

    async def _carry_out(
        self, app: ASGIApp, asked: Asked, scope: Scope, receive: Receive, send: Send
    ) -> None:
        run = scope["once"] = Run(self._store, asked)
        scope["caller"] = dataclasses.replace(scope["caller"], drains=True)
        recorder = Recorder(send, limit=self._max_answer_bytes, conclude=run.conclude)
        self.tender.running.add(asked)
        try:
            await app(scope, receive, recorder)
        except Exception as error:
            shown = as_domain_error(error, scope)
            if not recorder.begun:
                await send_error(shown, scope, recorder)
            elif shown is error:
                raise
        finally:
            self.tender.running.discard(asked)
            if not recorder.ended:
                await asyncio.shield(run.cut_off())


def _marked(send: Send) -> Send:
    async def mark(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message.get("headers", ()), REPLAYED]
        await send(message)

    return mark
