"""One Heddle for each of these modules."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.gateway.inference.crossing.world import World, world


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def heddle_world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    async with world(tmp_path_factory.mktemp("crossing")) as running:
        yield running
