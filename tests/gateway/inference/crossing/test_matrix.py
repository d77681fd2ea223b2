"""Every case of the matrix."""

import pytest

from tests.gateway.inference.crossing.case import Case
from tests.gateway.inference.crossing.clients import CLIENTS
from tests.gateway.inference.crossing.matrix import CASES, DROPPED, SUBJECTS, WAYS
from tests.gateway.inference.crossing.providers import PROVIDERS
from tests.gateway.inference.crossing.world import World

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.mark.parametrize(("client", "provider", "way", "subject"), CASES)
async def test_it_crosses(heddle_world: World, client: str, provider: str, way: str, subject: str) -> None:
    case = Case(heddle_world, CLIENTS[client], PROVIDERS[provider], WAYS[way])
    await SUBJECTS[subject](case)
    assert tuple(case.dropped) == DROPPED.get((client, provider, subject), ())
