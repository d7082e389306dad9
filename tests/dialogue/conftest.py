import pytest

from tests.client import Town


@pytest.fixture
async def town(tmp_path):
    """The firm on an ordinary Wednesday, with Anna at work; people think before they write."""
    town = Town.open(tmp_path)
    town.pace_seconds = 20
    town.known_client("7707083893", "ООО «Ромашка»")
    await town.staff("Анна Петрова")
    yield town
    await town.database.close()


@pytest.fixture
async def maria(town):
    """Somebody who has agreed and is asked for the company."""
    return await town.client()
