import pytest

from tests.client import Town


@pytest.fixture
async def town(tmp_path):
    town = Town.open(tmp_path)
    yield town
    await town.database.close()


async def test_happy_path(town):
    town.known_client("7707083893", "ООО «Ромашка»")
    await town.staff("Анна Петрова")
    maria = town.newcomer()
    for said in ["/start", "Согласен", "7707083893", "Оплатить счёт", "ООО Свет, 12 345 по счёту 15", "до пятницы", "Готово", "Отправить", "/status"]:
        print("—", said)
        for text in await maria.says(said):
            print("   ", text.replace("\n", "\n    "), maria.last.labels)
    print(town.requests())
