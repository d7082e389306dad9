"""aiogram as its authors made it, talking to the emulator: run by `test_telegram` in its own process.

Sends, waits until the test has let the person answer, and reads what came.
"""

from __future__ import annotations

import asyncio
import sys

from aiogram import Bot
from aiogram.client.session.aiohttp import AiohttpSession
from aiogram.client.telegram import TelegramAPIServer
from aiogram.exceptions import TelegramForbiddenError
from aiogram.types import (
    BufferedInputFile,
    InlineKeyboardButton,
    InlineKeyboardMarkup,
    InputMediaDocument,
    MediaUnion,
)

EXPECTED = ["callback_query", *["message"] * 7, "edited_message", "my_chat_member"]


async def main(base_url: str, token: str) -> None:
    session = AiohttpSession(api=TelegramAPIServer.from_base(base_url))
    async with Bot(token, session=session) as bot:
        await sends(bot)
        print("sent", flush=True)
        press_id = (await asyncio.to_thread(sys.stdin.readline)).strip()
        await receives(bot, press_id)
        try:
            await bot.send_message(523, "Вы здесь?")
        except TelegramForbiddenError:
            return
        raise SystemExit("a blocked chat took a message")


async def sends(bot: Bot) -> None:
    assert (await bot.get_me()).username == "priem_bot"
    button = InlineKeyboardButton(text="Да", callback_data="y")
    await bot.send_message(523, "Ок?", reply_markup=InlineKeyboardMarkup(inline_keyboard=[[button]]))
    sent = await bot.send_document(523, BufferedInputFile(b"%PDF", "Акт.pdf"), caption="Акт")
    assert sent.document is not None
    media: list[MediaUnion] = [
        InputMediaDocument(media=BufferedInputFile(b"1", f"{n}.pdf")) for n in range(2)
    ]
    assert len(await bot.send_media_group(523, media)) == 2


async def receives(bot: Bot, press_id: str) -> None:
    updates = await bot.get_updates(timeout=0)
    assert [update.event_type for update in updates] == EXPECTED
    assert await bot.answer_callback_query(press_id)
    incoming = updates[7].message
    assert incoming is not None
    assert incoming.document is not None
    received = await bot.download(incoming.document)
    assert received is not None
    assert received.read() == b"content"


asyncio.run(main(sys.argv[1], sys.argv[2]))
