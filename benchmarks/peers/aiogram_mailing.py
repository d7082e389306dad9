"""A mailing by aiogram, as guides tell: one after another with a pause, or all at once; 429 is waited out."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from aiogram import Bot
from aiogram.client.session.aiohttp import AiohttpSession
from aiogram.client.telegram import TelegramAPIServer
from aiogram.exceptions import TelegramRetryAfter

PAUSE_SECONDS = 0.05


async def mail(token: str, api: str, letters: Sequence[tuple[int, str]], *, at_once: bool) -> None:
    """Send every letter, a chat and its text, until each was taken."""
    bot = Bot(token, session=AiohttpSession(api=TelegramAPIServer.from_base(api)))

    async def send(chat_id: int, text: str) -> None:
        while True:
            try:
                await bot.send_message(chat_id, text)
            except TelegramRetryAfter as error:
                await asyncio.sleep(error.retry_after)
            else:
                return

    try:
        if at_once:
            await asyncio.gather(*(send(chat_id, text) for chat_id, text in letters))
        else:
            for chat_id, text in letters:
                await send(chat_id, text)
                await asyncio.sleep(PAUSE_SECONDS)
    finally:
        await bot.session.close()
