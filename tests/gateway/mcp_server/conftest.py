"""One mall for the tests of a module, which leave it as they found it."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.gateway.mcp_server.rig import Mall, mall


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_mall(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Mall]:
    folder = tmp_path_factory.mktemp("mall")
    async with mall(f"sqlite:///{folder / 'heddle.db'}", folder, mcp_connect_wait_s=0.5) as running:
        yield running
