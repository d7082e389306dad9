"""The same form on aiogram's own finite-state machine: `python aiogram_form.py memory|sqlite`.

In memory it keeps nothing until the form is sent; with `sqlite` each change of the state is one durable
commit, as its storages do it. API address and token come from TG_API and TG_TOKEN, the database's file
from BENCH_DB.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Mapping
from typing import Any

import aiosqlite
import uvloop
from aiogram import Bot, Dispatcher, F, Router
from aiogram.client.session.aiohttp import AiohttpSession
from aiogram.client.telegram import TelegramAPIServer
from aiogram.filters import CommandStart
from aiogram.fsm.context import FSMContext
from aiogram.fsm.state import State, StatesGroup
from aiogram.fsm.storage.base import BaseStorage, StateType, StorageKey
from aiogram.fsm.storage.memory import MemoryStorage
from aiogram.types import CallbackQuery, InlineKeyboardButton, InlineKeyboardMarkup, Message


class Form(StatesGroup):
    consent = State()
    company = State()
    task = State()
    deadline = State()
    files = State()
    summary = State()


def keyboard(*rows: tuple[str, ...]) -> InlineKeyboardMarkup:
    return InlineKeyboardMarkup(
        inline_keyboard=[
            [InlineKeyboardButton(text=label, callback_data=label) for label in row] for row in rows
        ]
    )


LAST = (("Назад", "Отмена"), ("Позвать человека",))
CONSENT = keyboard(("Согласен", "Не согласен"), ("Позвать человека",))
COMPANY = keyboard(*LAST)
TASK = keyboard(
    ("Оплатить счёт", "Узнать остаток"),
    ("Выписать накладную/УПД", "Сдать отчёт"),
    ("Подготовить документ", "Консультация"),
    ("Другое",),
    *LAST,
)
DEADLINE = keyboard(("Сегодня", "Завтра"), ("До пятницы", "Через неделю"), *LAST)
FILES = keyboard(("Готово", "Пропустить"), *LAST)
SUMMARY = keyboard(("Отправить", "Изменить"), *LAST)

_WEIGHTS = (2, 4, 10, 3, 5, 9, 4, 6, 8)


def is_inn(text: str) -> bool:
    if len(text) != 10 or not text.isdecimal():
        return False
    return sum(int(d) * w for d, w in zip(text, _WEIGHTS, strict=False)) % 11 % 10 == int(text[9])


class Requests:
    """Finished forms, each one durable commit: what any bot with a database does."""

    def __init__(self, connection: aiosqlite.Connection) -> None:
        self.connection = connection

    async def add(self, chat_id: int, answers: Mapping[str, Any]) -> int:
        values = (chat_id, answers["inn"], answers["company"], answers["task"], answers["deadline"])
        async with self.connection.execute(
            "insert into request (chat_id, inn, company, task, deadline) values (?, ?, ?, ?, ?)", values
        ) as cursor:
            return int(cursor.lastrowid or 0)


class SqliteStorage(BaseStorage):
    """aiogram has none of its own; this one is as plain as its Redis and Mongo ones."""

    def __init__(self, connection: aiosqlite.Connection) -> None:
        self.connection = connection

    async def _set(self, column: str, key: StorageKey, value: str | None) -> None:
        await self.connection.execute(
            f"insert into fsm (chat_id, {column}) values (?, ?) "
            f"on conflict (chat_id) do update set {column} = excluded.{column}",
            (key.chat_id, value),
        )

    async def _get(self, column: str, key: StorageKey) -> str | None:
        query = f"select {column} from fsm where chat_id = ?"
        async with self.connection.execute(query, (key.chat_id,)) as cursor:
            row = await cursor.fetchone()
        return row[0] if row else None

    async def set_state(self, key: StorageKey, state: StateType = None) -> None:
        await self._set("state", key, state.state if isinstance(state, State) else state)

    async def get_state(self, key: StorageKey) -> str | None:
        return await self._get("state", key)

    async def set_data(self, key: StorageKey, data: Mapping[str, Any]) -> None:
        await self._set("data", key, json.dumps(dict(data), ensure_ascii=False))

    async def get_data(self, key: StorageKey) -> dict[str, Any]:
        found = await self._get("data", key)
        return dict(json.loads(found)) if found else {}

    async def close(self) -> None:
        """The connection belongs to `main`."""


router = Router()


@router.message(CommandStart())
async def start(message: Message, state: FSMContext) -> None:
    await state.set_state(Form.consent)
    await message.answer("Здравствуйте! Это приёмная «Баланс».\nВерсия 1. Вы согласны?", reply_markup=CONSENT)


@router.callback_query(Form.consent, F.data == "Согласен")
async def agreed(press: CallbackQuery, state: FSMContext) -> None:
    await state.set_state(Form.company)
    await press.answer()
    await press.message.answer(
        "Пришлите ИНН компании или ИП. Можно вместе с названием.", reply_markup=COMPANY
    )


@router.message(Form.company, F.text)
async def company(message: Message, state: FSMContext) -> None:
    inn, _, name = message.text.partition(" ")
    if not is_inn(inn):
        await message.answer("В ИНН ошибка. Проверьте и пришлите ещё раз.", reply_markup=COMPANY)
        return
    await state.update_data(inn=inn, company=name)
    await state.set_state(Form.task)
    await message.answer(f"{name}, ИНН {inn}. Что нужно сделать?", reply_markup=TASK)


@router.message(Form.task, F.text)
async def task(message: Message, state: FSMContext) -> None:
    await state.update_data(task=message.text)
    await state.set_state(Form.deadline)
    await message.answer("К какому сроку? Выберите или напишите словами.", reply_markup=DEADLINE)


@router.callback_query(Form.deadline)
async def deadline(press: CallbackQuery, state: FSMContext) -> None:
    await state.update_data(deadline=press.data)
    await state.set_state(Form.files)
    await press.answer()
    await press.message.answer(
        f"Срок: {press.data}.\nПриложите файлы, если есть. Или нажмите «Готово».", reply_markup=FILES
    )


@router.callback_query(Form.files, F.data == "Готово")
async def files(press: CallbackQuery, state: FSMContext) -> None:
    answers = await state.get_data()
    await state.set_state(Form.summary)
    await press.answer()
    await press.message.answer(
        f"Проверьте заявку:\nКомпания: {answers['company']}, ИНН {answers['inn']}\n"
        f"Что сделать: {answers['task']}\nСрок: {answers['deadline']}",
        reply_markup=SUMMARY,
    )


@router.callback_query(Form.summary, F.data == "Отправить")
async def send(press: CallbackQuery, state: FSMContext, requests: Requests) -> None:
    number = await requests.add(press.from_user.id, await state.get_data())
    await state.clear()
    await press.answer()
    await press.message.answer(f"Заявка № {number} принята.")


async def main(storage_kind: str) -> None:
    async with aiosqlite.connect(os.environ["BENCH_DB"], isolation_level=None) as connection:
        await connection.execute("pragma journal_mode=wal")
        await connection.execute("pragma synchronous=full")
        await connection.execute(
            "create table if not exists request "
            "(id integer primary key, chat_id integer, inn text, company text, task text, deadline text)"
        )
        await connection.execute(
            "create table if not exists fsm (chat_id integer primary key, state text, data text)"
        )
        storage = MemoryStorage() if storage_kind == "memory" else SqliteStorage(connection)
        session = AiohttpSession(api=TelegramAPIServer.from_base(os.environ["TG_API"]))
        bot = Bot(os.environ["TG_TOKEN"], session=session)
        dispatcher = Dispatcher(storage=storage, requests=Requests(connection))
        dispatcher.include_router(router)
        await dispatcher.start_polling(bot, polling_timeout=30, handle_signals=False)


if __name__ == "__main__":
    uvloop.install()
    asyncio.run(main(sys.argv[1]))
