"""``heddle serve``: one process that listens, and ends cleanly on SIGINT and SIGTERM."""

import asyncio
import gc
import logging
import os
import signal
import socket
from collections.abc import Callable
from contextlib import AsyncExitStack, nullcontext
from dataclasses import dataclass

import uvicorn

from gateway.app import App
from gateway.data_dir import prepare_data_dir, serving_alone
from gateway.inference.providers import SIM, Provider, configured_providers, sim_provider
from gateway.settings import BadSettings, Settings
from gateway.sim.server import sim_server
from kit import crash_points

GRACE_S = 10
STREAMS_GRACE_S = 7
"""Streams end, at the end of a frame, well before what is still open is cut off."""
BACKLOG = 2048


@dataclass(frozen=True)
class Serving:
    """What there is to tell once the server listens."""

    url: str
    app: App
    account_id: str
    new_admin_key: str | None
    providers: list[str]
    stop: Callable[[], None]
    """Ends the server as a signal would."""


def bind(host: str, port: int) -> socket.socket:
    """A listening address of our own, so that a port in use is found before anything else happens.

    Raises BadSettings.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise BadSettings(
            f"cannot listen on {host}:{port}: {error.strerror}; choose another with --port or HEDDLE_PORT"
        ) from None
    listener.setblocking(False)
    return listener


async def serve(settings: Settings, *, on_ready: Callable[[Serving], None]) -> None:
    """Serve until a signal arrives. Raises BadSettings before anything listens."""
    providers = configured_providers(settings, os.environ)
    listener = bind(settings.host, settings.port)
    port = listener.getsockname()[1]
    settings = settings.model_copy(update={"port": port})
    async with AsyncExitStack() as stack:
        stack.callback(listener.close)
        stack.enter_context(serving_alone(settings))
        sim_url = None
        if settings.sim != "off":  # test mode needs it, whoever else is configured
            sim_url = await stack.enter_async_context(sim_server())
            if settings.sim == "on" or not providers:
                providers[SIM] = sim_provider(sim_url)
        await _serve_app(settings, providers, sim_url, listener, on_ready)


async def _serve_app(
    settings: Settings,
    providers: dict[str, Provider],
    sim_url: str | None,
    listener: socket.socket,
    on_ready: Callable[[Serving], None],
) -> None:
    app = await App.open(settings, providers, sim_url=sim_url)
    try:
        first = await app.start()
        config = uvicorn.Config(
            app.asgi,
            loop="none",
            http="httptools",
            lifespan="off",
            access_log=False,
            log_config=None,
            timeout_graceful_shutdown=GRACE_S,
            timeout_keep_alive=settings.keep_alive_s,
            server_header=False,
            proxy_headers=False,  # nothing here reads the peer's address or scheme
        )
        server = uvicorn.Server(config)
        _settle_heap()
        stop = _stop_on_signals(server, app)
        url = _listening_url(listener)
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        while not server.started and not serving.done():  # noqa: ASYNC110 - uvicorn has no event for it
            await asyncio.sleep(0.01)
        on_ready(Serving(url, app, first.account_id, first.new_admin_key, sorted(providers), stop))
        await serving
    finally:
        await app.close()


def _listening_url(listener: socket.socket) -> str:
    """Where this very process can be reached (on any address: on this machine)."""
    host, port = listener.getsockname()[:2]
    if host in {"0.0.0.0", "::"}:  # noqa: S104 - a comparison
        host = "127.0.0.1" if host == "0.0.0.0" else "::1"  # noqa: S104
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _settle_heap() -> None:
    """Take what was made at the start out of the garbage collector's sight: it stays for ever, and going
    through all of it again stopped every request for a tenth of a second at a time."""
    gc.collect()
    gc.freeze()


def _stop_on_signals(server: uvicorn.Server, app: App) -> Callable[[], None]:
    """End the server on SIGINT and SIGTERM and then close the app. Streams of turns that run here have
    most of the grace period to come to their end, the others end at once. (uvicorn's own handlers would
    repeat the signal once the server has ended, and so kill the process before anything could be closed.)"""

    loop = asyncio.get_running_loop()

    def stop() -> None:
        server.should_exit = True
        app.stop_streams(all_of_them=False)
        loop.call_later(STREAMS_GRACE_S, lambda: app.stop_streams(all_of_them=True))

    server.capture_signals = nullcontext  # type: ignore[method-assign,assignment]
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop)
    return stop


def configure_logging(level: str) -> None:
    """Our own loggers at ``level``. Libraries never below warnings: in their debug output some of them
    print SQL parameters, that is, what people wrote. The MCP SDK never: it prints what a hostile server sent,
    with a traceback each time, and the call's own record says what happened."""
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s %(message)s", force=True)
    ours = getattr(logging, level.upper())
    logging.getLogger().setLevel(max(logging.WARNING, ours))
    logging.getLogger("heddle").setLevel(ours)
    logging.getLogger("mcp").setLevel(logging.CRITICAL)


def run_serve(settings: Settings, *, on_ready: Callable[[Serving], None]) -> None:
    """Run ``serve`` on uvloop; returns when the server has ended. Raises BadSettings."""
    configure_logging(settings.log_level)
    try:
        crash_points.arm(os.environ.get(crash_points.VARIABLE))
    except crash_points.BadCrashPoint as error:
        raise BadSettings(str(error)) from None
    try:
        prepare_data_dir(settings)
        with asyncio.Runner(loop_factory=_new_loop) as runner:
            runner.run(serve(settings, on_ready=on_ready))
    except KeyboardInterrupt:
        pass


def _new_loop() -> asyncio.AbstractEventLoop:
    import uvloop

    return uvloop.new_event_loop()
