"""vk_api as its author made it, talking to the emulator: run by `test_vk` in its own process.

Only the addresses are rewritten, since they are literals in the library.
"""

from __future__ import annotations

import io
import sys
from typing import Any

import requests
import vk_api
from vk_api.bot_longpoll import VkBotEventType, VkBotLongPoll
from vk_api.keyboard import VkKeyboard


class Redirected(requests.Session):
    """Asks the emulator for what the library asks VK."""

    def __init__(self, base_url: str) -> None:
        super().__init__()
        self.base_url = base_url
        self.trust_env = False

    def request(self, method: str, url: str, *args: Any, **more: Any) -> requests.Response:  # type: ignore[override]
        return super().request(method, url.replace("https://api.vk.ru", self.base_url), *args, **more)


def main(base_url: str, token: str, group_id: int) -> None:
    client = vk_api.VkApiGroup(token=token, api_version="5.199", session=Redirected(base_url))
    vk = client.get_api()
    assert vk.groups.getById(group_id=group_id)["groups"][0]["id"] == group_id
    keyboard = VkKeyboard(inline=True)
    keyboard.add_callback_button("Да", payload={"p": "y"})
    shown = keyboard.get_keyboard().replace('"one_time":false,', "")
    assert vk.messages.send(peer_id=523, random_id=1, message="Ок?", keyboard=shown)
    document = io.BytesIO(b"%PDF")
    document.name = "акт.pdf"
    uploading = vk_api.VkUpload(client)
    uploading.http.trust_env = False
    saved = uploading.document_message(document, title="Акт.pdf", peer_id=523)["doc"]
    attachment = f"doc{saved['owner_id']}_{saved['id']}"
    assert vk.messages.send(peer_id=523, random_id=2, attachment=attachment)
    poll = VkBotLongPoll(client, group_id, wait=2)
    print("sent", flush=True)
    sys.stdin.readline()
    poll.session.trust_env = False
    written, pressed = poll.check()
    assert (written.type, written.message.text) == (VkBotEventType.MESSAGE_NEW, "Добрый день")
    assert (pressed.type, pressed.object.payload) == (VkBotEventType.MESSAGE_EVENT, {"p": "y"})
    answer = {key: pressed.object[key] for key in ("event_id", "user_id", "peer_id")}
    assert vk.messages.sendMessageEventAnswer(**answer) == 1
    try:
        vk.messages.send(peer_id=7, random_id=3, message="Вы здесь?")
    except vk_api.ApiError:
        return
    raise SystemExit("a stranger took a message")


main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
