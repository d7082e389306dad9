# ruff: noqa: E501 - letters are shown as they are written
"""E-mail alone: what stands in letters, who is believed, what servers answer, and where everything goes."""

from __future__ import annotations

import asyncio
import base64
import logging
import struct
import time
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from bots import letters, mail, mime
from bots.base import FileRefused
from bots.letters import UNVERIFIED, Fetched, Own, parse
from bots.mail import MailChannel, Settings, outcome_of
from forms.freetext import agreed, labelled
from forms.messages import DeliveryState, FileRole, Inbound, InboundKind
from notifications.outbox import Blocked, Parcel, Rejected, Retry, Sent, TokenRevoked, Unknown
from tests.channels.harness import House, Shelf
from tests.channels.mail import PASSWORD, QUICK, SECRET_KEY, MailHarness, lent, settings_for
from tests.emulators.mail import OWN, Fault, MailEmulator

NOON = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)
US = Own(OWN, "", SECRET_KEY)
GUARDED = Own(OWN, "mx.firm.example", SECRET_KEY)
HEAD = (
    "From: =?utf-8?b?0J7Qu9GM0LPQsCDQodC80LjRgNC90L7QstCw?= <Olga@Client.Example>\r\n"
    f"To: {OWN}\r\nSubject: Re: x\r\nMessage-ID: <a1@client.example>\r\nMIME-Version: 1.0\r\n"
)


def taken(raw: bytes | str, own: Own = US, *, size_bytes: int | None = None) -> Inbound:
    raw = raw if isinstance(raw, bytes) else raw.encode()
    return parse(Fetched(7, 105, NOON, size_bytes or len(raw), raw), own)


def plain(text: str, charset: str = "utf-8", head: str = HEAD) -> bytes:
    body = base64.encodebytes(text.encode(charset)).decode()
    typed = f'Content-Type: text/plain; charset="{charset}"\r\nContent-Transfer-Encoding: base64\r\n'
    return f"{head}{typed}\r\n{body}".encode()


def page(text: str, head: str = HEAD) -> bytes:
    body = base64.encodebytes(text.encode()).decode()
    typed = 'Content-Type: text/html; charset="utf-8"\r\nContent-Transfer-Encoding: base64\r\n'
    return f"{head}{typed}\r\n{body}".encode()


# ---------------------------------------------------------------------- words


def test_a_letter_is_a_message_of_its_sender():
    inbound = taken(plain("Нужна сверка за март.\n"))
    assert (inbound.kind, inbound.text) == (InboundKind.TEXT, "Нужна сверка за март.")
    assert inbound.chat_key == inbound.user_key == "olga@client.example"
    assert (inbound.user_name, inbound.sent_at) == ("Ольга Смирнова", NOON)
    assert inbound.event_key == inbound.message_key == "a1@client.example"


NOTICE = (
    "Это электронное сообщение и любые документы, приложенные к нему, содержат конфиденциальную информацию. "
    "Если вы не являетесь адресатом, удалите его немедленно и сообщите отправителю по телефону."
)
QUOTED = [
    ("gmail", "2\n\nср, 18 нояб. 2026 г. в 10:00, Приёмная <intake@firm.example>:\n\n> Что сделать?\n> 1. Оплатить"),
    ("gmail, wrapped", "2\n\nOn Wed, Nov 18, 2026 at 10:00 AM Firm <\nintake@firm.example> wrote:\n\n> What?\n> 1. Pay"),
    ("apple", "2\n\n> 18 нояб. 2026 г., в 10:00, Приёмная <intake@firm.example> написал(а):\n> \n> Что сделать?"),
    ("apple, bare", "2\n18 нояб. 2026 г., в 10:00, Приёмная <intake@firm.example> написал(а):\n\n> Что сделать?"),
    ("outlook", "2\n\nОт: Приёмная <intake@firm.example>\nОтправлено: 18 ноября 2026 г. 10:00\nКому: Ольга\nТема: Заявка\n\nЧто сделать?"),
    ("outlook, ruled", "2\n________________________________\nFrom: Firm <intake@firm.example>\nSent: Wednesday\nTo: Olga\nSubject: Request\n\nWhat?"),
    ("outlook, old", "2\n\n-----Original Message-----\nFrom: Firm\nWhat?"),
    ("outlook, old, russian", "2\n\n-----Исходное сообщение-----\nЧто сделать?"),
    ("mail.ru", "2\n\nСреда, 18 ноября 2026, 10:00 +03:00 от Приёмная <intake@firm.example>:\n\n> Что сделать?"),
    ("mail.ru, unmarked", "2\n\nСреда, 18 ноября 2026, 10:00 +03:00 от Приёмная <intake@firm.example>:\nЧто сделать?"),
    ("yandex", '2\n\n18.11.2026, 10:00, "Приёмная" <intake@firm.example>:\nЧто сделать?\n1. Оплатить'),
    ("thunderbird", "2\n\n18.11.2026 10:00, Приёмная пишет:\n> Что сделать?"),
    ("the bat", "Здравствуйте, Приёмная.\n\nВы писали 18 ноября 2026 г., 10:00:00:\n\n> Что сделать?\n> 1. Оплатить\n\n2\n\n-- \nС уважением,\n Иван   mailto:ivan@client.ru"),
    ("the bat, initials", "Здравствуйте, Приёмная.\n\nВы писали 18 ноября 2026 г., 10:00:00:\n\nПБ> Что сделать?\nПБ> 1. Оплатить\n\n2"),
    ("the bat, initials once", "Вы писали 18 ноября 2026 г., 10:00:00:\n\nПБ> Что сделать?\n\n2"),
    ("greeting", "Добрый день, Анна Ивановна!\n\n2"),
    ("below the quote", "> Что сделать?\n> 1. Оплатить\n\n2"),
    ("signature", "2\n-- \nОльга Смирнова\nООО «Ромашка»"),
    ("regards", "2\n\nС уважением,\nОльга Смирнова\nтел. +7 916 000-00-00"),
    ("phone", "2\n\nОтправлено с iPhone"),
    ("mail.ru phone", "2\n\n--\nОтправлено из мобильной Почты Mail.ru"),
    ("regards and a notice", f"2\n\nС уважением,\nИван Петров\n\n{NOTICE}"),
    ("delimiter and a notice", f"2\n\n-- \nС уважением,\nИван Петров\n\n{NOTICE}"),
    ("a notice alone, in short lines", "2\n\n" + NOTICE.replace(", ", ",\n")),
    ("two notices", f"2\n\nС уважением, Иван\n\n{NOTICE}\n\nThis e-mail is confidential. If you are not the intended recipient, delete this message."),
    ("delimiter and a long line", "2\n-- \nИван Петров\n" + "Мы работаем для вас по всей России. " * 5),
    ("a long signature", "2\n\nС уважением,\n" + "\n".join(f"Строка {number}" for number in range(12))),
    ("a slogan below a number", "2\n\nС уважением,\nИван\n\nМы работаем для вас уже двадцать лет!"),
    ("shortened regards", "2\n\nС ув., Иван"),
    ("regards of a firm", "2\n\nС уважением, ООО «Ромашка»"),
    ("regards with a telephone", "2\n\nС уважением, Иван Петров, директор, +7 (916) 000-00-00"),
    ("thanks and a name", "2\n\nСпасибо,\nИван"),
    ("thanks!", "2\n\nСпасибо!\nИван Петров\nООО «Ромашка»"),
    ("BR", "2\n\nBR,\nIvan"),
    ("antivirus", "2\n\nЭто письмо проверено на вирусы антивирусом Avast."),
    ("everything", "2\n\nС уважением, Ольга\nОтправлено из Outlook для Android\n\n> Что сделать?"),
]  # fmt: skip


@pytest.mark.parametrize("text", [text for _, text in QUOTED], ids=[name for name, _ in QUOTED])
def test_only_what_was_written_anew_is_the_answer(text):
    assert taken(plain(text)).text == "2"
    assert taken(plain(text.replace("\n", "\r\n"), "koi8-r" if "«" not in text else "cp1251")).text == "2"


KEPT = [
    "Отправлено сегодня пять счетов, проверьте.",
    "С уважением отношусь к вашей работе, но где акт?\nСрок вышел.\n" + "Очень длинная строка. " * 10,
    "Оплатите:\n1. Свет\n2. Вода\n-- не позже пятницы",
    "Вот что они написали:\nденег нет",
    "Срок: до 15:00\nИНН: 7707083893",
    "С уважением,\nОльга\n\nP.S. Срок завтра",
    "От: ООО «Свет»\nСумма: 100",
    "Добрый день!\nС уважением, просим выставить акт за ноябрь\nСпасибо",
    "Добрый день!\nС уважением,\nпросим выставить акт за ноябрь",
    "Оплатите счёт 15.\n\nСпасибо!\nООО Ромашка",
    "НДС> 20 процентов, пересчитайте",
    "Добрый день!\n\nНужна сверка с ООО «Ромашка» за март",
    "Предыдущее письмо отправлено по ошибке, удалите его.",
    "Оплатите счёт.\n\nПолучатель указан в письме, сумма 100 руб.",
]


@pytest.mark.parametrize("text", KEPT)
def test_words_that_only_look_like_quotes_are_kept(text):
    assert taken(plain(text)).text == text.strip()


BELOW = [
    ("Оплатите счёт 15.\nС уважением, Иван\n\nДа, и ещё: выставьте акт ООО Свет на 5000 руб.", "Оплатите счёт 15.\n\nДа, и ещё: выставьте акт ООО Свет на 5000 руб."),
    ("Оплатите счёт 15.\n\nС уважением,\nИван\nООО «Ромашка»\n\nАкт тоже нужен", "Оплатите счёт 15.\n\nАкт тоже нужен"),
    ("Оплатите счёт 15.\n-- \nИван\nP.S. Срок завтра", "Оплатите счёт 15.\nP.S. Срок завтра"),
    ("Оплатите счёт 15.\n\nС уважением,\nИван\n\nпришлём акт позже", "Оплатите счёт 15.\n\nпришлём акт позже"),
    ("Нужна сверка\n\nС уважением,\nИван\n\nОтдел по работе с корпоративными клиентами", "Нужна сверка"),
    ("Нужна сверка\n\nС уважением,\nИван\n\nГлавный бухгалтер\nг. Москва, ул. Ленина, д. 5, тел. 8 495 000-00-00", "Нужна сверка"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "said"), BELOW)
def test_words_below_a_signature_are_kept(text, said):
    assert taken(plain(text)).text == said


def test_a_letter_with_nothing_but_a_signature_is_its_subject():
    head = HEAD.replace("Subject: Re: x", f"Subject: {word('Статус', 'utf-8')}")
    assert taken(plain("\n\n-- \nС уважением, Иван\n", head=head)).text == "Статус"
    assert taken(plain("\n\n-- \nС уважением, Иван\n")).text == "-- \nС уважением, Иван"


FORWARDED = [
    ("gmail", "Fwd: Счёт", "см. ниже\n\n---------- Forwarded message ---------\nОт: Свет <a@b.example>\nDate: ср\n\nСчёт 15"),
    ("outlook", "FW: Счёт", "см. ниже\n\nОт: Свет <a@b.example>\nОтправлено: 18.11\nКому: Ольга\nТема: Счёт\n\nСчёт 15"),
    ("yandex", "Счёт", "см. ниже\n\n-------- Пересылаемое сообщение --------\n18.11.2026, 10:00, Свет <a@b.example>:\nСчёт 15"),
    ("outlook, another subject", "Оплатить", "см. ниже\n\nОт: Свет <a@b.example>\nОтправлено: 18.11\nКому: Ольга\nТема: Счёт\n\nСчёт 15"),
    ("samsung, another subject", "Оплатить", "см. ниже\n\n-------- Исходное сообщение --------\nОт: Свет <a@b.example>\nДата: 18.11\nКому: o@x.ru\n\nСчёт 15"),
    ("apple", "Счёт", "см. ниже\n\nНачало переадресованного сообщения:\n\n> От: Свет <a@b.example>\n> Счёт 15"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("subject", "text"), [case[1:] for case in FORWARDED], ids=[case[0] for case in FORWARDED]
)
def test_a_forwarded_letter_is_content(subject, text):
    encoded = base64.b64encode(subject.encode()).decode()
    head = HEAD.replace("Subject: Re: x", f"Subject: =?utf-8?b?{encoded}?=")
    said = taken(plain(text, head=head)).text
    assert "см. ниже" in said
    assert "Счёт 15" in said


def test_our_own_letter_is_a_quote_under_any_subject():
    text = f"2\n\nОт: Приёмная <{OWN}>\nОтправлено: 18.11\nКому: Ольга\nТема: Заявка\n\nЧто сделать?"
    head = HEAD.replace("Subject: Re: x", "Subject: x")
    assert taken(plain(text, head=head)).text == "2"


def test_an_attached_letter_is_content_with_its_files():
    inner = EmailMessage()
    inner["From"], inner["Subject"] = "Свет <svet@other.example>", "Счёт 15"
    inner.set_content("Оплатите до пятницы")
    inner.add_attachment(b"%PDF", maintype="application", subtype="pdf", filename="счёт.pdf")
    outer = EmailMessage()
    outer["From"], outer["Message-ID"], outer["Subject"] = "olga@client.example", "<f@x>", "Fwd: Счёт"
    outer.set_content("см. ниже")
    outer.add_attachment(inner)
    inbound = taken(outer.as_bytes())
    assert inbound.text == "см. ниже\n\nПересланное письмо «Счёт 15», Свет:\nОплатите до пятницы"
    assert [file.name for file in inbound.files] == ["счёт.pdf"]


PAGES = [
    ("<p>Нужна <b>сверка</b></p><script>alert(1)</script><style>p{}</style>", "Нужна сверка"),
    ("<div>один</div><div>два<br>три</div>", "один\nдва\nтри"),
    ("<ul><li>раз</li><li>два</li></ul>", "- раз\n- два"),
    ('2<div class="gmail_quote"><div>ср, 18 нояб. 2026 г. в 10:00, Приёмная &lt;<a href="mailto:i@f.example">i@f.example</a>&gt;:<br></div><blockquote>Что сделать?<br>1. Оплатить</blockquote></div>', "2"),
    ('<p>2</p><div style="border-top:solid"><p><b>От:</b> Приёмная &lt;i@f.example&gt;<br><b>Отправлено:</b> 18 ноября<br><b>Кому:</b> Ольга<br><b>Тема:</b> Заявка</p></div><p>Что сделать?</p>', "2"),
    ("a &lt;b&gt; &amp; c&nbsp;d", "a <b> & c d"),
    ("<pre>как\n  есть</pre>", "как\n  есть"),
    ("<table><tr><td>Бумага</td><td>10</td></tr><tr><td>Ручка</td><td>5</td></tr></table>", "Бумага 10\nРучка 5"),
    ("незакрытое <b>слово <![weird", "незакрытое слово"),
]  # fmt: skip


@pytest.mark.parametrize(("source", "text"), PAGES)
def test_a_page_is_read_as_text(source, text):
    assert taken(page(source)).text.startswith(text)


CHARSETS = ["utf-8", "cp1251", "koi8-r", "iso-8859-5", "utf-16", "cp866"]


@pytest.mark.parametrize("charset", CHARSETS)
def test_every_declared_charset_is_read(charset):
    assert taken(plain("Нужна сверка, срочно", charset)).text == "Нужна сверка, срочно"


@pytest.mark.parametrize("declared", ["us-ascii", "utf-8", "no-such-charset", "iso-8859-1", ""])
@pytest.mark.parametrize("real", ["cp1251", "koi8-r", "utf-8"])
def test_a_charset_that_lies_is_guessed(real, declared):
    typed = f"Content-Type: text/plain; charset={declared}\r\n" if declared else ""
    raw = f"{HEAD}{typed}Content-Transfer-Encoding: 8bit\r\n\r\n".encode()
    assert taken(raw + "Нужна сверка с поставщиком".encode(real)).text == "Нужна сверка с поставщиком"


@pytest.mark.parametrize("declared", ["windows-1251", "koi8-r", "cp866", "iso-8859-5", "iso-8859-1"])
@pytest.mark.parametrize("text", ["Оплатите счёт № 15 до пятницы", "«да»", "№", "café"])
def test_utf_8_that_is_declared_as_something_else_is_read(declared, text):
    typed = f"Content-Type: text/plain; charset={declared}\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
    assert taken(f"{HEAD}{typed}{text}").text == text


@pytest.mark.parametrize("text", ["№ 15", "«Р»", "ё", "Р", "С «Ромашкой»", "№"])
def test_short_words_in_a_russian_charset_are_no_utf_8(text):
    assert taken(plain(text, "cp1251")).text == text


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ("Оплатите счёт", "Оплатите счёт"),
        ("--x\r\n\r\nОплатите счёт\r\n--x--", "Оплатите счёт"),
        (
            "--x\r\nContent-Type: text/html; charset=utf-8\r\n\r\n<p>Оплатите счёт</p>\r\n--x--",
            "Оплатите счёт",
        ),
    ],
    ids=["no parts", "a part", "a page"],
)
def test_parts_without_a_boundary_are_read(body, text):
    assert taken(f"{HEAD}Content-Type: multipart/mixed\r\n\r\n{body}").text == text


def test_files_without_a_boundary_are_read():
    raw = with_file("Content-Type: application/pdf; name=a.pdf").replace(b"; boundary=B", b"")
    inbound = taken(raw)
    assert (inbound.text, [file.name for file in inbound.files]) == ("вот", ["a.pdf"])
    assert [found.content for found in mime.attachments(mime.read(raw))] == [b"%PDF"]


SEALED = "Content-Type: application/{kind}; smime-type={of}; name=smime.p7m\r\nContent-Transfer-Encoding: base64\r\n\r\nMIAG\r\n"
PGP_MIME = "Content-Type: multipart/encrypted; boundary=B\r\n\r\n--B\r\nContent-Type: application/pgp-encrypted\r\n\r\nVersion: 1\r\n"
PGP = "-----BEGIN PGP MESSAGE-----\r\n\r\nhQEM\r\n-----END PGP MESSAGE-----\r\n"


@pytest.mark.parametrize(
    "body",
    [
        SEALED.format(kind="pkcs7-mime", of="enveloped-data"),
        SEALED.format(kind="x-pkcs7-mime", of="signed-data"),
        f"{PGP_MIME}--B\r\nContent-Type: application/octet-stream; name=a.asc\r\n\r\n{PGP}\r\n--B--\r\n",
        f"Content-Type: text/plain\r\n\r\n{PGP}",
    ],
    ids=["s/mime", "s/mime, opaquely signed", "pgp/mime", "pgp"],
)  # fmt: skip
def test_a_letter_that_cannot_be_opened_is_told_to_its_sender(body):
    inbound = taken(f"{HEAD}{body}")
    assert (inbound.kind, inbound.text, inbound.files) == (InboundKind.OTHER, letters.CIPHERED, ())
    assert inbound.chat_key == "olga@client.example"


@pytest.mark.parametrize("body", ["вот", ""])
def test_a_sealed_document_is_a_file(body):
    inbound = taken(with_file("Content-Type: application/pkcs7-mime; name=отчёт.p7m", body=body))
    assert (inbound.kind, inbound.text, len(inbound.files)) == (InboundKind.FILE, body, 1)


SUBJECTS = [
    ("=?koi8-r?B?" + base64.b64encode("Счёт".encode("koi8-r")).decode() + "?=", "Счёт"),
    ("=?utf-8?Q?=D0=A1=D1=87=D1?= =?utf-8?Q?=91=D1=82_15?=", "Счёт 15"),
    ("=?utf-8?B?0KHRh9GR0YI?=", "Счёт"),
    ("=?nonsense?B?0KHRh9GR0YI=?=", "Счёт"),
    ("=?utf-8?Q?a?= b =?utf-8?Q?c?=", "a b c"),
    ("just words", "just words"),
]


@pytest.mark.parametrize(("written", "read"), SUBJECTS)
def test_subjects_are_read(written, read):
    assert mime.header(mime.read(f"Subject: {written}\r\n\r\n".encode()), "Subject") == read


@pytest.mark.parametrize("charset", ["cp1251", "koi8-r", "utf-8"])
def test_bare_bytes_in_a_subject_are_read(charset):
    assert (
        mime.header(mime.read("Subject: Счёт на оплату\r\n\r\n".encode(charset)), "Subject")
        == "Счёт на оплату"
    )


SAID = [
    (
        "Сверка с ООО «Ромашка»",
        "Нужна за март, до пятницы",
        "Сверка с ООО «Ромашка»\nНужна за март, до пятницы",
    ),
    ("Оплатите счёт 15", "", "Оплатите счёт 15"),
    ("Оплатите счёт 15", "Спасибо!", "Оплатите счёт 15\nСпасибо!"),
    ("Re: Сверка", "Нужна за март, до пятницы", "Нужна за март, до пятницы"),
    ("Заявка", "Нужна сверка за март", "Нужна сверка за март"),
    ("Ответ на вопрос", "7707083893", "7707083893"),
    ("Счёт", "Оплатите счёт, пожалуйста, до пятницы", "Оплатите счёт, пожалуйста, до пятницы"),
]


@pytest.mark.parametrize(("subject", "body", "text"), SAID)
def test_the_subject_counts_where_a_person_began_with_it(subject, body, text):
    encoded = base64.b64encode(subject.encode()).decode()
    head = HEAD.replace("Subject: Re: x", f"Subject: =?utf-8?b?{encoded}?=")
    assert taken(plain(body, head=head)).text == text


FILLED = "Согласен: да\nКомпания и ИНН: 7707083893\nЧто сделать: сверка\nСрок: завтра"


@pytest.mark.parametrize("own", ["", "Добрый день", "Заполнила ниже, спасибо"])
def test_answers_written_into_our_letter_are_read(own):
    marked = "\n".join(f"> {line}" for line in FILLED.splitlines())
    text = f"{own}\n\nср, 18 нояб. 2026 г. в 10:00, Приёмная <intake@firm.example>:\n> Вы согласны?\n{marked}"
    assert taken(plain(text)).text == f"{FILLED}\n{own}".strip()


INVITATION = "Можно ответить одним письмом: впишите ответы после двоеточий."
WROTE = "ср, 18 нояб. 2026 г. в 10:00, Приёмная <intake@firm.example>:\n"
COVER = "Добрый день! Направляю данные."


def quoted(text: str) -> str:
    return "\n".join(f"> {line}".rstrip() for line in text.splitlines())


def test_answers_in_our_blank_count_below_words_of_any_kind():
    told = "\n\nФайлы приложите к ответу.\n1. Назад\n2. Отмена"
    assert taken(plain(f"{COVER}\n\n{WROTE}\n{quoted(FILLED + told)}")).text == f"{FILLED}\n{COVER}"
    filled = FILLED.removeprefix("Согласен: да\n")
    blank = f"{INVITATION}\n\n{filled}{told}"
    assert taken(plain(f"{COVER}\n\n{WROTE}\n{quoted(blank)}")).text == f"{filled}\n{COVER}"
    signed = f"-- \nИван Петров\n\n{WROTE}\n{quoted(blank)}"
    assert taken(plain(signed)).text == filled


@pytest.mark.parametrize(
    "ours",
    [
        f"{INVITATION}\n\nСогласен:\nКомпания и ИНН:\nЧто сделать:\nСрок:\n\nФайлы приложите к ответу.\n1. Назад",
        f"Компания: ООО «Ромашка», ИНН 7707083893\n{INVITATION}\n\nЧто сделать:\nСрок:\n\nФайлы приложите.",
        "Проверьте заявку:\nКомпания: ООО «Ромашка», ИНН 7707083893\nЧто сделать: сверка\nСрок: завтра\nФайлы: нет",
    ],
    ids=["empty blank", "blank of a known company", "summary"],
)
@pytest.mark.parametrize("own", ["Нужна сверка за март", "Добрый день", "Спасибо"])
def test_what_we_have_written_ourselves_is_no_answer(ours, own):
    assert taken(plain(f"{own}\n\n{WROTE}\n{quoted(ours)}")).text == own


BETWEEN = "> Согласен:\nда\n> Компания и ИНН:\n7707083893\n>\n> Что сделать:\n\nсверка\nза март\n\n> Срок:\nзавтра\n"


@pytest.mark.parametrize(
    ("above", "below", "more"),
    [
        ("", "", ""),
        (WROTE, "", ""),
        ("Добрый день!\n\n" + WROTE, "", "\nДобрый день!"),
        ("", "\n-- \nИван Петров\n", ""),
        ("", "> Файлы приложите к ответу.\n\nСпасибо вам\n", "\nСпасибо вам"),
    ],
    ids=["bare", "introduced", "greeted", "signed", "words below"],
)
def test_answers_between_the_lines_of_our_blank_are_read(above, below, more):
    said = "Согласен: да\nКомпания и ИНН: 7707083893\nЧто сделать: сверка\nза март\nСрок: завтра"
    assert taken(plain(f"{above}{BETWEEN}{below}")).text == said + more


def test_our_letter_keeps_its_lines_in_a_quote():
    written = mail._page("Согласен:\nСрок:\n\nФайлы & <слова>")
    assert mime.text_of_html(written) == "Согласен:\nСрок:\n\nФайлы & <слова>"


def test_our_blanks_and_our_words_below_an_answer_are_not():
    text = (
        "Отправить\n\nср, 18 нояб. 2026 г. в 10:00, Приёмная <i@f.example>:\n> Срок: пятница\n> Компания: ООО"
    )
    assert taken(plain(text)).text == "Отправить"


STARTS = [
    ("/start AB12-CD34", "", "AB12-CD34"),
    ("/start", "", None),
    ("x", "/start AB12\n\nОтправлено с iPhone", "AB12"),
]


@pytest.mark.parametrize(("subject", "body", "code"), STARTS)
def test_a_code_comes_in_the_subject_or_the_first_line(subject, body, code):
    inbound = taken(plain(body, head=HEAD.replace("Re: x", subject)))
    assert (inbound.kind, inbound.start_code) == (InboundKind.STARTED, code)


@pytest.mark.parametrize(
    ("subject", "body"),
    [
        ("/start AB12", "Нужна сверка"),
        ("Код", "/start AB12\n\nНужна сверка"),
        ("/start AB12", "Нужна сверка\n-- \nОльга"),
    ],
    ids=["in the subject", "in the first line", "signed"],
)
def test_what_comes_with_a_code_is_not_lost(subject, body):
    head = HEAD.replace("Re: x", subject) if subject.isascii() else HEAD
    inbound = taken(plain(body, head=head))
    assert (inbound.kind, inbound.text, inbound.start_code) == (InboundKind.TEXT, "Нужна сверка", "AB12")


def test_files_that_come_with_a_code_are_taken():
    raw = with_file("Content-Type: application/pdf; name=a.pdf", body="").replace(b"Re: x", b"/start AB12")
    inbound = taken(raw)
    assert (inbound.kind, inbound.text, inbound.start_code) == (InboundKind.FILE, "", "AB12")
    assert [file.name for file in inbound.files] == ["a.pdf"]


# ---------------------------------------------------------------------- files


def with_file(headers: str, content: bytes = b"%PDF", body: str = "вот") -> bytes:
    encoded = base64.encodebytes(content).decode()
    return (
        f"{HEAD}Content-Type: multipart/mixed; boundary=B\r\n\r\n--B\r\nContent-Type: text/plain; charset=utf-8\r\n"
        f"\r\n{body}\r\n--B\r\n{headers}\r\nContent-Transfer-Encoding: base64\r\n\r\n{encoded}\r\n--B--\r\n"
    ).encode()


def word(text: str, charset: str) -> str:
    return f"=?{charset}?B?{base64.b64encode(text.encode(charset)).decode()}?="


NAMES = [
    ("Content-Disposition: attachment; filename*=utf-8''%D0%90%D0%BA%D1%82.pdf", "Акт.pdf"),
    (
        "Content-Disposition: attachment;\r\n filename*0*=utf-8''%D0%90%D0;\r\n filename*1*=%BA%D1%82.pdf",
        "Акт.pdf",
    ),
    ("Content-Disposition: attachment; filename*=koi8-r''%E1%CB%D4.pdf", "Акт.pdf"),
    (f'Content-Type: application/pdf; name="{word("Акт.pdf", "koi8-r")}"', "Акт.pdf"),
    (f'Content-Disposition: attachment; filename="{word("Акт.pdf", "cp1251")}"', "Акт.pdf"),
    ('Content-Disposition: attachment; filename="Акт.pdf"', "Акт.pdf"),
    ("Content-Disposition: attachment; filename=plain.pdf", "plain.pdf"),
    ('Content-Disposition: attachment; filename="C:\\\\docs\\\\act.pdf"', "act.pdf"),
    ('Content-Disposition: attachment; filename="../../etc/passwd"', "passwd"),
    ("Content-Type: application/pdf\r\nContent-Disposition: attachment", "Файл.pdf"),
    ("Content-Type: image/png", "Картинка.png"),
    ("Content-Type: application/zip; name=a.zip", "a.zip"),
    ("Content-Type: text/calendar; name=invite.ics", "invite.ics"),
]


@pytest.mark.parametrize(("headers", "name"), NAMES)
def test_names_of_files(headers, name):
    inbound = taken(with_file(headers))
    assert (inbound.kind, inbound.text) == (InboundKind.FILE, "вот")
    assert [(file.name, file.size_bytes) for file in inbound.files] == [(name, 4)]


def test_a_very_long_name_keeps_its_extension():
    name = taken(with_file(f"Content-Type: application/pdf; name={'a' * 400}.pdf")).files[0].name
    assert name.endswith(".pdf")
    assert len(name) <= 150


def related(picture: bytes, page_text: str = '<p>вот</p><img src="cid:logo@x">') -> bytes:
    encoded = base64.encodebytes(picture).decode()
    return (
        f"{HEAD}Content-Type: multipart/related; boundary=R\r\n\r\n--R\r\nContent-Type: text/html; charset=utf-8\r\n\r\n"
        f"{page_text}\r\n--R\r\nContent-Type: image/png; name=logo.png\r\nContent-ID: <logo@x>\r\n"
        f"Content-Transfer-Encoding: base64\r\n\r\n{encoded}\r\n--R--\r\n"
    ).encode()


def test_a_logo_is_no_file_but_a_photo_in_the_text_is():
    assert taken(related(b"x" * 1000)).files == ()
    assert [file.name for file in taken(related(b"x" * 200_000)).files] == ["logo.png"]
    assert len(taken(related(b"x" * 1000, "<p>вот</p>")).files) == 1


def test_a_photo_in_the_text_is_known_as_one():
    assert [file.role for file in taken(related(b"x" * 200_000)).files] == [FileRole.IN_TEXT]
    assert [file.role for file in taken(related(b"x" * 200_000, "<p>вот</p>")).files] == [FileRole.PHOTO]


@pytest.mark.parametrize("mark", ["[cid:image001.png@01DA1B2C.3D4E5F60]", "[image: logo.png]"])
def test_the_place_of_a_picture_is_no_word(mark):
    assert taken(plain(f"Отправить\n\n{mark}\n")).text == "Отправить"


def tnef(*files: tuple[str, str, bytes]) -> bytes:
    """winmail.dat as Outlook writes it: short name, long name, content."""

    def attribute(number: int, value: bytes) -> bytes:
        return struct.pack("<BIi", 2, number, len(value)) + value + struct.pack("<H", sum(value) % 65536)

    packed = struct.pack("<IH", 0x223E9F78, 1)
    for short, long, content in files:
        wide = long.encode("utf-16-le") + b"\0\0"
        properties = struct.pack("<IHHII", 1, 0x001F, 0x3707, 1, len(wide)) + wide
        packed += attribute(0x00069002, b"\0" * 14) + attribute(0x00018010, short.encode("cp1251") + b"\0")
        packed += attribute(0x0006800F, content) + attribute(0x00069005, properties if long else b"")
    return packed


def test_winmail_dat_is_unpacked():
    packed = tnef(("СЧЕТ~1.PDF", "Счёт № 15.pdf", b"%PDF"), ("акт.txt", "", b"act"))
    inbound = taken(with_file("Content-Type: application/ms-tnef; name=winmail.dat", packed))
    assert [file.name for file in inbound.files] == ["Счёт № 15.pdf", "акт.txt"]
    found = mime.attachments(
        mime.read(with_file("Content-Type: application/ms-tnef; name=winmail.dat", packed))
    )
    assert [file.content for file in found] == [b"%PDF", b"act"]


@pytest.mark.parametrize("broken", [b"", b"nonsense", tnef(("a", "b", b"c"))[:40]])
def test_a_broken_winmail_dat_stays_a_file(broken):
    inbound = taken(with_file("Content-Type: application/ms-tnef; name=winmail.dat", broken))
    assert [file.name for file in inbound.files] == ["winmail.dat"]


def test_a_signature_of_the_letter_is_no_file():
    raw = with_file("Content-Type: application/pkcs7-signature; name=smime.p7s").replace(
        b"multipart/mixed", b"multipart/signed"
    )
    assert taken(raw).files == ()


def test_of_a_letter_that_is_too_long_the_beginning_counts():
    raw = with_file("Content-Type: application/zip; name=архив.zip", b"x" * 100_000)[:20_000]
    inbound = taken(raw, size_bytes=40 * 1024 * 1024)
    assert (inbound.kind, inbound.text) == (InboundKind.FILE, "вот")
    assert [(file.name, file.size_bytes) for file in inbound.files] == [("архив.zip", 40 * 1024 * 1024)]
    assert len(taken(plain("начало"), size_bytes=40 * 1024 * 1024).files) == 1


# ---------------------------------------------------------------------- robots and reports

ROBOTS = [
    "Auto-Submitted: auto-replied", "Auto-Submitted: auto-generated; x=y", "Precedence: bulk", "Precedence: list",
    "List-Id: <news.example>", "List-Unsubscribe: <https://x.example>", "Return-Path: <>", "Return-Path: < >",
    "X-Auto-Response-Suppress: All", "X-Auto-Response-Suppress: DR, AutoReply", "X-Autoreply: yes",
]  # fmt: skip


@pytest.mark.parametrize("header", ROBOTS)
def test_robots_are_not_answered(header):
    inbound = taken(plain("Я в отпуске", head=f"{HEAD}{header}\r\n"))
    assert (inbound.kind, inbound.event_key, inbound.chat_key) == (
        InboundKind.IGNORED,
        "a1@client.example",
        "",
    )


@pytest.mark.parametrize(
    "sender",
    [OWN, "intake+17@firm.example", "MAILER-DAEMON@mx.example", "postmaster@x.example", "no-reply@bank.example",
     "noreply.mail@bank.example", "bounces+1@x.example", "", "nobody", "a b@c@d"],
)  # fmt: skip
def test_letters_of_nobody_are_ignored(sender):
    head = HEAD.replace("Olga@Client.Example", sender)
    assert taken(plain("эхо", head=head)).kind is InboundKind.IGNORED


def test_a_person_who_says_no_robot_is_heard():
    assert taken(plain("привет", head=f"{HEAD}Auto-Submitted: no\r\n")).kind is InboundKind.TEXT


def bounce(message_id: str, status: str = "5.1.1", inside: str = "text/rfc822-headers") -> str:
    return (
        f"From: MAILER-DAEMON@mx.example\r\nTo: {OWN}\r\nMessage-ID: <dsn@mx.example>\r\nReturn-Path: <>\r\n"
        "Content-Type: multipart/report; report-type=delivery-status; boundary=B\r\n\r\n--B\r\n\r\nSorry\r\n"
        "--B\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; mx.example\r\n\r\n"
        f"Final-Recipient: rfc822; Olga@client.example\r\nAction: failed\r\nStatus: {status}\r\n"
        "Diagnostic-Code: smtp; 550 <olga@client.example>: User unknown\r\n\r\n"
        f"--B\r\nContent-Type: {inside}\r\n\r\nMessage-ID: <{message_id}>\r\nSubject: x\r\n\r\n--B--\r\n"
    )


LETTER = Parcel("letter-1", "olga@client.example", "Здравствуйте")


@pytest.mark.parametrize("inside", ["text/rfc822-headers", "message/rfc822"])
@pytest.mark.parametrize(
    ("status", "blocked"),
    [
        ("5.1.1", True),
        ("5.1.10", True),
        ("5.1.3", True),
        ("5.1.7", False),
        ("5.1.8", False),
        ("5.2.2", False),
        ("5.7.1", False),
        ("5.0.0", True),
        ("4.4.7", False),
        ("4.2.2", False),
    ],
)
def test_a_bounce_names_the_letter_it_is_about(status, blocked, inside):
    message_id = US.message_id(LETTER)
    inbound = taken(bounce(message_id, status, inside))
    assert (inbound.kind, inbound.message_key) == (InboundKind.DELIVERY, message_id)
    assert inbound.chat_key == "olga@client.example"
    assert inbound.delivery is not None
    assert (inbound.delivery.state, inbound.delivery.blocked) == (DeliveryState.FAILED, blocked)
    assert "olga" not in inbound.delivery.reason
    assert status in inbound.delivery.reason


@pytest.mark.parametrize("header", ["In-Reply-To", "References"])
def test_a_bounce_without_our_letter_names_it_in_its_headers(header):
    message_id = US.message_id(LETTER)
    raw = bounce("of-another@program.example").replace(
        "Return-Path", f"{header}: <{message_id}>\r\nReturn-Path"
    )
    assert taken(raw).message_key == message_id


def told(text: str, subject: str = "failure notice", sender: str = "MAILER-DAEMON@mx.example") -> str:
    return (
        f"From: {sender}\r\nTo: {OWN}\r\nMessage-ID: <q@mx.example>\r\nReturn-Path: <>\r\nSubject: {subject}\r\n"
        f"Content-Type: text/plain; charset=utf-8\r\n\r\n{text}\r\n\r\n--- Below this line is a copy of the message.\r\n"
        f"\r\nReceived: from firm.example\r\nFrom: {OWN}\r\nMessage-ID: <{US.message_id(LETTER)}>\r\n"
    )


QMAIL = "Hi. This is the qmail-send program.\r\n<Olga@client.example>:\r\n550 5.1.1 user unknown"


@pytest.mark.parametrize(
    ("raw", "blocked"),
    [
        (told(QMAIL), True),
        (told(QMAIL.replace("5.1.1 user unknown", "mailbox is full")), False),
        (told("Письмо не доставлено: olga@client.example.", "Ошибка"), False),
        (told("I'm sorry.", "Returned mail").replace("Return-Path", "X-Failed-Recipients: olga@client.example\r\nReturn-Path"), False),
    ],
    ids=["nobody", "full", "russian", "in a header"],
)  # fmt: skip
def test_a_bounce_for_people_is_understood(raw, blocked):
    inbound = taken(raw)
    assert (inbound.kind, inbound.chat_key) == (InboundKind.DELIVERY, "olga@client.example")
    assert inbound.message_key == US.message_id(LETTER)
    assert inbound.delivery is not None
    assert (inbound.delivery.state, inbound.delivery.blocked) == (DeliveryState.FAILED, blocked)
    assert "olga" not in inbound.delivery.reason


@pytest.mark.parametrize(
    "raw",
    [
        told(QMAIL, "Warning: message delayed 24 hours"),
        told(QMAIL + "\r\nI will keep trying.", "Delivery problem"),
        told(QMAIL, sender="olga@client.example"),
        told("Hi. This is the qmail-send program.\r\n<boris@client.example>: no such user"),
        told(QMAIL).replace("priem.", "priem.0"),
    ],
    ids=["delayed", "still trying", "of a person", "to somebody else", "not ours"],
)
def test_other_reports_for_people_are_no_bounces(raw):
    assert taken(raw).kind is not InboundKind.DELIVERY


def test_a_bounce_to_somebody_unverified_belongs_to_their_chat():
    parcel = Parcel("letter-1", UNVERIFIED + "olga@client.example", "x")
    assert taken(bounce(US.message_id(parcel))).chat_key == UNVERIFIED + "olga@client.example"


@pytest.mark.parametrize(
    "raw",
    [
        bounce(US.message_id(LETTER), "4.2.2").replace("Action: failed", "Action: delayed"),
        bounce(US.message_id(LETTER), "2.0.0").replace("Action: failed", "Action: delivered"),
        bounce(US.message_id(LETTER), "4.2.2").replace("Action: failed\r\n", ""),
        bounce("priem.0123456789abcdef01234567v.0123456789abcdef@firm.example"),
        bounce("of-another@program.example"),
        bounce(Own(OWN, "", "another key").message_id(LETTER)),
        bounce(US.message_id(Parcel("letter-1", "evil@other.example", "Здравствуйте"))),
        bounce(US.message_id(LETTER)).replace("Olga@client.example", "x" * 60 + "@" + "y." * 80 + "ru"),
    ],
    ids=[
        "passing",
        "delivered",
        "passing, no action",
        "made up",
        "not ours",
        "of another key",
        "to somebody else",
        "too long",
    ],
)
def test_other_reports_are_ignored(raw):
    assert taken(raw).kind is InboundKind.IGNORED


# ---------------------------------------------------------------------- who is believed

CHECKS = [
    ("dmarc", "mx.firm.example; dmarc=pass (p=reject) header.from=client.example", True),
    ("dkim of the domain", "mx.firm.example; spf=none; dkim=pass header.d=client.example", True),
    ("dkim above", "mx.firm.example 1; dkim=pass header.i=@example.org", False),
    ("dkim of somebody", "mx.firm.example; dkim=pass header.d=mailer.example", False),
    ("spf alone", "mx.firm.example; spf=pass smtp.mailfrom=olga@client.example", False),
    ("failed", "mx.firm.example; dmarc=fail; dkim=pass header.d=client.example", False),
    ("of another server", "mx.evil.example; dmarc=pass header.from=client.example", False),
    ("in a comment", "mx.firm.example; none (dmarc=pass)", False),
    ("in a quoted sender", 'mx.firm.example; spf=pass smtp.mailfrom="a;dmarc=pass"@evil.example', False),
    ("in a sender", "mx.firm.example; spf=pass smtp.mailfrom=a;dmarc=pass@evil.example", False),
    ("in a nested comment", "mx.firm.example; spf=none (a (b; dmarc=pass); dmarc=pass)", False),
    ("quoted in a comment", 'mx.firm.example; spf=none (by "a);dmarc=pass (b"@evil.example)', False),
    ("not the first word", "mx.firm.example; spf=none x dmarc=pass", False),
    ("without an end", 'mx.firm.example; dmarc=pass; spf=none "', False),
    ("two verdicts", "mx.firm.example; dmarc=pass; dmarc=none", False),
    ("two signers", "mx.firm.example; dkim=pass header.d=client.example header.d=evil.example", False),
    ("with blanks", "mx.firm.example ; dkim/1 = pass (ok) header.d = client.example", True),
    ("none", "mx.firm.example; none", False),
]


@pytest.mark.parametrize(
    ("result", "believed"), [case[1:] for case in CHECKS], ids=[case[0] for case in CHECKS]
)
def test_our_own_server_vouches_for_the_sender(result, believed):
    inbound = taken(plain("привет", head=f"Authentication-Results: {result}\r\n{HEAD}"), GUARDED)
    assert inbound.chat_key == ("" if believed else UNVERIFIED) + "olga@client.example"


def test_only_the_topmost_verdict_counts():
    forged = "Authentication-Results: mx.firm.example; dmarc=pass\r\n"
    ours = "Authentication-Results: mx.firm.example; dmarc=fail\r\n"
    assert taken(plain("x y", head=ours + forged + HEAD), GUARDED).chat_key.startswith(UNVERIFIED)


def test_a_letter_without_a_verdict_or_with_two_senders_is_not_believed():
    assert taken(plain("привет"), GUARDED).chat_key.startswith(UNVERIFIED)
    head = "Authentication-Results: mx.firm.example; dmarc=pass\r\n" + HEAD.replace(
        "<Olga@Client.Example>", "<Olga@Client.Example>, boss@other.example"
    )
    assert taken(plain("привет", head=head), GUARDED).chat_key.startswith(UNVERIFIED)


# ---------------------------------------------------------------------- nothing breaks the reading

HEADERS = st.sampled_from(
    ["From", "Subject", "Message-ID", "Content-Type", "Content-Disposition", "Content-Transfer-Encoding",
     "Authentication-Results", "References", "Auto-Submitted", "Date"]
)  # fmt: skip
VALUES = st.one_of(
    st.text(max_size=60),
    st.sampled_from(
        ["multipart/mixed; boundary=B", "multipart/report; boundary=B", "text/html", "message/rfc822", "a@b.c",
         "attachment; filename*=x'", "attachment; filename*0*=''%ff; filename*1=a", "=?utf-8?B?====?=", "base64",
         "application/ms-tnef; name=winmail.dat", 'multipart/alternative; boundary=""', 'text/plain; charset="\\"',
         "=?koi8-r?Q?=GG=?=", "mx.firm.example; dmarc", "quoted-printable", "x-uuencode", "<a@b> <c"]
    ),
)  # fmt: skip
LETTERS = st.builds(
    lambda headers, body: "".join(f"{name}: {value}\r\n" for name, value in headers).encode("utf-8", "replace")
    + b"\r\n" + body,
    st.lists(st.tuples(HEADERS, VALUES), max_size=8),
    st.one_of(
        st.binary(max_size=200),
        st.lists(st.sampled_from([b"--B\r\n", b"--B--\r\n", b"Content-Type: text/html\r\n", b"\r\n", b"<blockquote>", b"<![CDATA[",
                                  b"> x\r\n", b"-- \r\n", b"\xff\xfe", b"begin 644 a\r\n", b"x\x9f\x3e\x22"]), max_size=20).map(b"".join),
    ),
)  # fmt: skip


@given(raw=st.one_of(LETTERS, st.binary(max_size=300)))
@settings(max_examples=400, deadline=None)
def test_no_letter_breaks_the_reading(raw):
    inbound = taken(raw, GUARDED)
    assert 0 < len(inbound.event_key) <= 200
    assert "\0" not in inbound.text + inbound.user_name + "".join(file.name for file in inbound.files)
    assert inbound == taken(raw, GUARDED)


POISONS = [
    "Message-ID: <=?utf-7?Q?x+2AA-?=@b.example>", "Subject: =?utf-7?Q?x+2AA-?=", "Subject: =?unicode_escape?Q?=5Cud800?=",
    "From: =?utf-7?Q?x+2AA-?= <olga@client.example>", "Content-Type: text/plain; charset=utf-7",
    "Content-Type: text/plain; charset=unicode_escape", "Content-Type: application/pdf; name*=unicode_escape''%5Cud800",
    "Content-Type: application/pdf; name*=utf-7''x%2B2AA-", "Content-Type: a\0/b; name=x",
]  # fmt: skip


@pytest.mark.parametrize("header", POISONS)
def test_no_letter_holds_what_cannot_be_stored(header):
    kept = [line for line in HEAD.splitlines(keepends=True) if not line.startswith(header.partition(":")[0])]
    raw = "".join(kept) + header + "\r\n\r\nx +2AA- \\ud800"
    inbound = taken(raw)
    assert inbound.kind is not InboundKind.IGNORED
    assert "\0" not in str(inbound)
    for text in (
        inbound.event_key,
        inbound.text,
        inbound.user_name,
        inbound.message_key,
        *(f"{file.name} {file.media_type} {file.reference}" for file in inbound.files),
    ):
        text.encode()


def test_a_sender_with_a_very_long_address_is_ignored():
    for sender in ("a" * 60 + "@" + "b." * 60 + "example", "a" * 65 + "@b.example"):
        assert (
            taken(plain("привет", head=HEAD.replace("Olga@Client.Example", sender))).kind
            is InboundKind.IGNORED
        )


SIZE = 200_000


def repeated(unit: str) -> str:
    return (unit * (SIZE // len(unit)))[:SIZE]


SLOW = {
    name: repeated(unit)
    for name, unit in {
        "blank lines": "\n", "spaces": " ", "tabs and lines": " \t\n", "quotes": ">", "spaced quotes": "> ", "lines of quotes": ">\n",
        "dashes": "-", "dashes and spaces": "- ", "lines of dashes": "--\n", "underscores": "_", "colons": ":", "spaced colons": ": ",
        "regards": "С уважением\n", "attributions": "18.11.2026 10:00 пишет:\n", "spread attributions": "10:00 пишет:\n\n\n\n",
        "addresses": "a@b.example 10:00\n", "no address": "a", "headers": "От: x\n", "outlook": "От: x\nОтправлено: y\n",
        "phones": "Отправлено с iPhone\n", "phone words": "отправлено ", "forwarded": "-- Forwarded message", "labels": "Срок:\n",
        "tasks": "Что сделать:\n", "agreed": "Согласен:\n", "numbers": "1) ", "stars": "*", "flowed": "a \n", "parens": "(", "postscripts": "P.S.\n",
        "tags": "<a", "openings": "<", "tags with blanks": "<a ", "comments": "<!--", "declarations": "<![", "attributes": "<a x='",
        "values": "<a x=", "scripts": "<script>", "in one line": "a<b>", "cells": "<td>x", "references": "&", "digits": "&#9", "blocks": "<p>",
        "start": "/start ", "cids": "cid:", "properties": "a.", "methods": "a=b ", "words": "=?utf-8?Q?a?= ", "broken words": "=?a?b?", "parts": "; a=b",
        "quotation marks": '"', "semicolons": ";", "refs": "<a@b> ", "replies": "re ", "forwards": "пересл", "lists": "a@b.example, ",
    }.items()
} | {
    "dash and spaces": "-" + " " * SIZE + "x", "many blanks then words": "\n" * SIZE + "x", "spaces then a word": " " * SIZE + "x",
    "answers that never come": "Что сделать:\n" + "\n" * (SIZE // 2) + "x\n" + repeated("Что сделать:\n")[: SIZE // 2],
    "re and spaces": "re" + " " * SIZE, "start and spaces": "/start" + " " * SIZE + "x", "a long number": "&#" + "9" * SIZE,
}  # fmt: skip
GENEROUS_SECONDS = 5.0
"""What took minutes takes a fiftieth of this; a busy machine is given time."""


@pytest.mark.parametrize("text", SLOW.values(), ids=SLOW)
@pytest.mark.parametrize(
    "read",
    [
        lambda text: taken(plain(text)),
        lambda text: taken(page(text)),
        lambda text: taken(
            plain(text, head=f"{HEAD}X: y\r\n").replace(b"text/plain;", b"text/plain; format=flowed;")
        ),
        agreed,
        labelled,
    ],
    ids=["plain", "page", "flowed", "agreed", "labelled"],
)
def test_no_text_takes_long_to_read(text, read):
    assert seconds(lambda: read(text)) < GENEROUS_SECONDS


@pytest.mark.parametrize("text", SLOW.values(), ids=SLOW)
def test_no_header_takes_long_to_read(text):
    value = " ".join(text.split("\n"))
    names = (
        "From",
        "Subject",
        "Message-ID",
        "References",
        "Authentication-Results",
        "Content-Type",
        "Content-Disposition",
        "To",
    )
    for name in names:
        start = "mx.firm.example; " if name == "Authentication-Results" else ""
        kept = "".join(line for line in HEAD.splitlines(keepends=True) if not line.startswith(name))
        raw = f"{kept}{name}: {start}{value}\r\n\r\nx".encode()
        assert seconds(lambda raw=raw: taken(raw, GUARDED)) < GENEROUS_SECONDS, name


@pytest.mark.parametrize("text", SLOW.values(), ids=SLOW)
def test_no_answer_of_a_server_takes_long_to_read(text):
    assert seconds(lambda: outcome_of(550, text, "content")) < GENEROUS_SECONDS
    assert seconds(lambda: mail._subject(text, None, text)) < GENEROUS_SECONDS
    assert seconds(lambda: mail._page(text)) < GENEROUS_SECONDS


def seconds(work) -> float:
    """Time of this thread alone, so that others on the machine do not count."""
    began = time.thread_time()
    work()
    return time.thread_time() - began


@pytest.mark.parametrize(
    ("headers", "about"),
    [
        ("Subject: Re: [№ 17] Заявка № 17 принята", 17),
        ("Subject: Fwd: Re: [№17] Заявка", 17),
        ("Subject: Заявка № 17", None),
        ("Subject: Re: [№ 17] и [№ 18]", None),
        ("Subject: Re: [№ 9999999999]", None),
        ("Subject: Re: x\r\nDelivered-To: {plus}", 17),
        ("Subject: Re: x\r\nX-Original-To: <{plus}>", 17),
        ("Subject: Re: [№ 18] y\r\nDelivered-To: {plus}", 18),
        ("Subject: Re: x\r\nDelivered-To: other+17@{domain}", None),
        ("Subject: Re: x\r\nCc: {local}+seventeen@{domain}", None),
    ],
)
def test_the_request_that_a_letter_names(headers, about):
    local, _at, domain = OWN.partition("@")
    names = {"plus": f"{local}+17@{domain}", "local": local, "domain": domain}
    head = HEAD.replace("Subject: Re: x", headers.format(**names))
    assert taken(plain("x", head=head)).about == about


@pytest.mark.parametrize(
    ("headers", "keys"),
    [
        ("", ()),
        ("In-Reply-To: <b@x>\r\n", ("b@x",)),
        ("References: <a@x>\r\n <b@x>\r\nIn-Reply-To: <b@x>\r\n", ("b@x", "a@x")),
        ("In-Reply-To: <b@x>\r\nReferences: <a@x> <c@x>\r\n", ("b@x", "c@x", "a@x")),
        ("In-Reply-To: your letter of Monday\r\n", ()),
    ],
    ids=["none", "one", "thread", "another order", "words"],
)
def test_the_letters_that_a_letter_answers(headers, keys):
    assert taken(plain("x", head=f"{HEAD}{headers}")).answers_to == keys


def test_a_very_long_thread_keeps_its_nearest_letters():
    references = "\r\n ".join(f"<{number}@x>" for number in range(500))
    keys = taken(plain("x", head=f"{HEAD}References: {references}\r\n")).answers_to
    assert keys[:2] == ("499@x", "498@x")
    assert len(keys) <= 10


def test_a_question_of_the_form_does_not_go_on_under_the_number_of_a_request():
    thread = letters.Thread("a@x", "<a@x>", "Re: [№ 1] Заявка № 1 принята")
    assert mail._subject("К какому сроку?", thread, "Баланс") == "Баланс"
    assert mail._subject("Заявка № 2 принята. Спасибо", thread, "Баланс") == "[№ 2] Заявка № 2 принята"


def test_letters_without_an_id_have_a_stable_key():
    head = HEAD.replace("Message-ID: <a1@client.example>\r\n", "")
    first, again = taken(plain("раз", head=head)), taken(plain("раз", head=f"Received: from x\r\n{head}"))
    assert first.event_key == again.event_key != taken(plain("два", head=head)).event_key
    assert len(taken(plain("x", head=HEAD.replace("a1", "a" * 500))).event_key) <= 200


# ---------------------------------------------------------------------- what is sent


@asynccontextmanager
async def post(shelf: Shelf, **more: object):
    async with MailEmulator() as emulator:
        channel = MailChannel(settings_for(emulator, **more), lent(shelf), QUICK)
        try:
            yield MailHarness(channel, emulator, emulator.person())
        finally:
            await channel.close()


@pytest.fixture
def shelf(tmp_path):
    return Shelf(tmp_path)


async def test_a_letter_stands_under_the_persons_own(shelf):
    house = House()
    async with post(shelf) as harness, house.runs(harness):
        await harness.person.writes("Нужна сверка за март", subject="Сверка", References="<old@x.example>")
        (inbound,) = await house.receives(1)
        await harness.channel.send(Parcel("k1", harness.chat_key, "Пришлите ИНН."))
        await harness.channel.send(Parcel("k2", harness.chat_key, "Заявка № 118 принята. Займётся Анна."))
        await harness.channel.send(Parcel("k3", "boris@other.example", "Здравствуйте"))
        first, second, third = [each.letter for each in await harness.emulator.taken(3)]
    assert first["Subject"] == "Re: Сверка"
    assert first["In-Reply-To"] == f"<{inbound.message_key}>"
    assert first["References"].strip() == f"<old@x.example> <{inbound.message_key}>"
    assert second["Subject"] == "[№ 118] Заявка № 118 принята"
    assert third["Subject"] == "Баланс Актив"
    assert (first["Auto-Submitted"], third["Auto-Submitted"]) == ("auto-replied", "auto-generated")
    assert str(first["From"]) == f"Баланс Актив <{OWN}>"
    assert third["In-Reply-To"] is None


async def test_the_same_parcel_has_the_same_id(shelf):
    house = House()
    async with post(shelf) as harness, house.runs(harness):
        outcomes = [await harness.channel.send(Parcel("k", harness.chat_key, "Да?")) for _ in range(2)]
        one, two = await harness.emulator.taken(2)
    assert outcomes[0] == outcomes[1]
    assert one.letter["Message-ID"] == two.letter["Message-ID"] == f"<{outcomes[0].message_key}>"
    assert "k" not in one.letter["Message-ID"].partition("@")[0].split(".")


async def test_nobody_writes_headers_into_our_letters(shelf):
    house = House()
    evil = "Тема\r\nBcc: all@world.example"
    file = shelf.add('счёт"\r\nX-Evil: 1.pdf', b"%PDF")
    async with post(shelf) as harness, house.runs(harness):
        await harness.person.sends(harness.person.letter("x y z", subject="s").as_bytes().replace(b"Subject: s", b"Subject: =?utf-8?Q?a=0D=0ABcc:_x@y.example?="))  # fmt: skip
        await house.receives(1)
        await harness.channel.send(Parcel("k", harness.chat_key, f"{evil}\n.\nточка", files=(file,)))
        (taken_letter,) = await harness.emulator.taken(1)
    assert taken_letter.letter["Bcc"] is None
    assert b"\r\nX-Evil" not in taken_letter.raw
    assert taken_letter.text == f"{evil}\n.\nточка".replace("\r\n", "\n")


@pytest.mark.parametrize(
    "key",
    ["not an address", "a@b\r\nRCPT TO:<c@d>", "имя@client.example", "", "a..b@client.example", "a.@client.example",
     ".a@client.example", "a@client.example.", "a@client..example", "a" * 65 + "@client.example"],
)  # fmt: skip
async def test_what_is_no_address_is_not_written_to(shelf, key):
    async with post(shelf) as harness:
        assert isinstance(await harness.channel.send(Parcel("k", key, "x")), Rejected)
        assert not harness.emulator.received


async def test_the_unverified_and_russian_domains_are_written_to(shelf):
    house = House()
    async with post(shelf) as harness, house.runs(harness):
        await harness.channel.send(Parcel("k1", UNVERIFIED + "olga@client.example", "x"))
        await harness.channel.send(Parcel("k2", "olga@почта.рф", "x"))
        assert [each.recipient for each in await harness.emulator.taken(2)] == [
            "olga@client.example",
            "olga@xn--80a1acny.xn--p1ai",
        ]


async def test_files_that_do_not_fit_are_links(shelf):
    small = shelf.add("акт.pdf", b"%PDF")
    large = shelf.add("архив.zip", b"0" * (18 * 1024 * 1024), "application/zip")
    house = House()
    begun_at = datetime.now(UTC)
    async with post(shelf) as harness, house.runs(harness):
        outcome = await harness.channel.send(Parcel("k", harness.chat_key, "Вот", files=(large, small)))
        (letter,) = await harness.emulator.taken(1)
    assert isinstance(outcome, Sent)
    assert [name for name, _ in letter.files] == ["акт.pdf"]
    assert (
        f"Файл «архив.zip» не поместился в письмо, он здесь: https://firm.example/files/{large.sha256}"
        in letter.text
    )
    # Midnight may have passed since the letter was written.
    last = [each + timedelta(days=13) for each in (begun_at, datetime.now(UTC))]
    assert any(f"По ссылке файл можно скачать по {day:%d.%m.%Y} включительно." in letter.text for day in last)


async def test_a_lost_file_is_a_rejection(shelf):
    file = shelf.add("акт.pdf", b"%PDF")
    shelf.path(file.sha256).unlink()
    async with post(shelf) as harness:
        assert isinstance(
            await harness.channel.send(Parcel("k", harness.chat_key, "x", files=(file,))), Rejected
        )


REPLIES = [
    (421, "4.7.0 closing", "greeting", Retry(None, "421 4.7.0 closing", whole_channel=True)),
    (421, "closing", "content", Retry(None, "421 closing", whole_channel=True)),
    (450, "4.2.0 try again in 5 minutes", "recipient", Retry(300.0, "450 4.2.0 try again in 5 minutes")),
    (451, "4.3.0 error", "sender", Retry(None, "451 4.3.0 error", whole_channel=True)),
    (452, "4.2.2 full", "recipient", Retry(None, "452 4.2.2 full")),
    (535, "5.7.8 bad", "greeting", TokenRevoked("535 5.7.8 bad")),
    (553, "5.7.1 not owned by user", "sender", TokenRevoked("553 5.7.1 not owned by user")),
    (550, "5.1.1 <a@b.c> unknown", "recipient", Blocked("550 5.1.1 <…> unknown")),
    (550, "No such user!", "recipient", Blocked("550 No such user!")),
    (
        550,
        "5.1.10 RESOLVER.ADR.RecipientNotFound",
        "recipient",
        Blocked("550 5.1.10 RESOLVER.ADR.RecipientNotFound"),
    ),
    (550, "5.1.8 sender domain not found", "recipient", Rejected("550 5.1.8 sender domain not found")),
    (
        550,
        "Requested action not taken: mailbox unavailable",
        "recipient",
        Rejected("550 Requested action not taken: mailbox unavailable"),
    ),
    (550, "DNS record not found", "content", Rejected("550 DNS record not found")),
    (
        550,
        "5.7.1 user unknown in our white list",
        "recipient",
        Rejected("550 5.7.1 user unknown in our white list"),
    ),
    (
        553,
        "5.7.1 Sender address rejected: not owned by auth user",
        "recipient",
        TokenRevoked("553 5.7.1 Sender address rejected: not owned by auth user"),
    ),
    (554, "5.7.1 Relay access denied", "recipient", TokenRevoked("554 5.7.1 Relay access denied")),
    (550, "5.7.1 spam", "recipient", Rejected("550 5.7.1 spam")),
    (552, "5.3.4 too big", "content", Rejected("552 5.3.4 too big")),
    (554, "5.7.1 spam", "content", Rejected("554 5.7.1 spam")),
]


@pytest.mark.parametrize(("code", "said", "stage", "outcome"), REPLIES)
def test_replies_become_outcomes(code, said, stage, outcome):
    assert outcome_of(code, said, stage) == outcome


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (Fault("MAIL", drops=True), Retry),
        (Fault("RCPT", drops=True), Retry),
        (Fault("DATA", drops=True), Unknown),
        (Fault("AUTH", "454 4.7.0 Temporary authentication failure"), Retry),
    ],
    ids=["at the sender", "at the recipient", "in the letter", "signing in"],
)
async def test_broken_connections(shelf, fault, expected):
    async with post(shelf) as harness:
        harness.emulator.fail_next(fault)
        assert isinstance(await harness.channel.send(Parcel("k", harness.chat_key, "x")), expected)


# ---------------------------------------------------------------------- the mailbox


async def test_only_letters_that_were_taken_are_marked_as_read(shelf):
    house = House()
    async with post(shelf) as harness, house.runs(harness):
        robot = await harness.emulator.put(
            harness.person.letter("Я в отпуске", Auto_Submitted="auto-replied").as_bytes()
        )
        await harness.person.writes("привет, это я")
        await house.receives(1)
        async with asyncio.timeout(30):
            while not any(b"\\Seen" in flags for flags in (await harness.emulator.flags()).values()):
                await asyncio.sleep(0.02)
        assert b"\\Seen" not in (await harness.emulator.flags())[robot]


async def test_a_new_mailbox_with_the_same_letters_brings_nothing_twice(shelf):
    house = House()
    async with post(shelf) as harness:
        async with house.runs(harness):
            await harness.person.writes("первое письмо")
            await house.receives(1)
        await harness.emulator.stop_mailbox()
        await harness.emulator.start_mailbox()
        await harness.person.repeats()
        await harness.person.writes("второе письмо")
        async with house.runs(harness):
            inbounds = await house.receives(2)
    assert [inbound.text for inbound in inbounds] == ["первое письмо", "второе письмо"]
    assert house.repeated == 1


async def test_a_file_is_found_by_its_letter_when_the_numbers_are_new(shelf):
    house = House()
    async with post(shelf) as harness:
        async with house.runs(harness):
            await harness.person.writes("вот", files={"а.pdf": b"one", "б.pdf": b"two"})
            (inbound,) = await house.receives(1)
        await harness.emulator.stop_mailbox()
        await harness.emulator.start_mailbox()
        with pytest.raises(FileRefused):
            [chunk async for chunk in harness.channel.open_file(inbound.files[1])]
        letter = harness.person.last
        await harness.person.writes("другое")
        await harness.emulator.put(letter)
        assert [chunk async for chunk in harness.channel.open_file(inbound.files[1])] == [b"two"]


async def test_the_files_of_a_letter_cost_one_sign_in(shelf):
    house = House()
    async with post(shelf) as harness, house.runs(harness):
        await harness.person.writes(
            "вот", files={f"{number}.pdf": bytes([number]) * 9 for number in range(3)}
        )
        (inbound,) = await house.receives(1)
        contents = [
            b"".join([chunk async for chunk in harness.channel.open_file(file)]) for file in inbound.files
        ]
    assert contents == [bytes([number]) * 9 for number in range(3)]


async def test_a_picture_of_every_letter_is_a_logo(shelf):
    house = House()
    logo, other = b"\x89PNG" + b"x" * 200_000, b"\x89PNG" + b"y" * 200_000
    async with post(shelf) as harness, house.runs(harness):
        for number, picture in enumerate([logo, logo, logo, other]):
            raw = related(picture, f'<p>Письмо номер {number}</p><img src="cid:logo@x">')
            await harness.person.sends(raw.replace(b"<a1@", f"<a{number}@".encode()))
        inbounds = await house.receives(4)
    assert [len(inbound.files) for inbound in inbounds] == [1, 1, 0, 1]
    assert [inbound.kind for inbound in inbounds][2:] == [InboundKind.TEXT, InboundKind.FILE]


async def test_what_lay_there_for_long_is_left_alone(shelf):
    house = House()
    async with post(shelf) as harness:
        await harness.person.writes("сегодняшнее и непрочитанное")
        async with house.runs(harness):
            await house.receives(1)
            await house.until(lambda: house.cursor is not None)
        assert [inbound.text for inbound in house.received] == ["сегодняшнее и непрочитанное"]
        assert house.cursor
        assert mail._Place.read(house.cursor) is not None


async def test_it_comes_back_after_the_connection_broke(shelf):
    house = House()
    async with post(shelf) as harness, house.runs(harness):
        await harness.person.writes("до обрыва")
        await house.receives(1)
        for _ in range(2):
            await harness.emulator.imap_line.hang_up()
        await harness.person.writes("после обрыва")
        assert (await house.receives(2))[-1].text == "после обрыва"


async def put_three(harness: MailHarness) -> int:
    """Three letters; the number of the second."""
    uids = [
        await harness.emulator.put(harness.person.letter(f"письмо номер {number}").as_bytes())
        for number in range(3)
    ]
    return uids[1]


async def test_a_letter_that_the_server_cannot_give_out_holds_no_others_up(shelf):
    house = House()
    async with post(shelf) as harness:
        broken = await put_three(harness)
        harness.emulator.imap_line.refused.add(broken)
        async with house.runs(harness):
            inbounds = await house.receives(2)
            await house.until(lambda: (house.cursor or "").endswith(f":{broken}"))
            await harness.person.writes("и ещё одно")
            inbounds = await house.receives(3)
            health = await harness.channel.health()
        assert [inbound.text for inbound in inbounds] == ["письмо номер 0", "письмо номер 2", "и ещё одно"]
        assert health.reachable
        assert f"UID {broken}:" in health.detail
        harness.emulator.imap_line.refused.clear()
        async with house.runs(harness):
            inbounds = await house.receives(4)
            await house.until(lambda: not (house.cursor or "").endswith(f":{broken}"))
        assert inbounds[-1].text == "письмо номер 1"
        assert "UID" not in (await harness.channel.health()).detail


async def test_a_letter_that_is_given_out_late_keeps_its_place(shelf):
    house = House()
    async with post(shelf) as harness:
        slow = await put_three(harness)
        harness.emulator.imap_line.refused.add(slow)
        async with house.runs(harness):
            await house.receives(1)
            harness.emulator.imap_line.refused.clear()
            inbounds = await house.receives(3)
    assert [inbound.text for inbound in inbounds] == [f"письмо номер {number}" for number in range(3)]


@pytest.mark.parametrize("withheld", [(), (5,), (5, 17)])
def test_a_place_is_read_as_it_was_written(withheld):
    place = mail._Place(7, 105, NOON.date(), withheld)
    assert mail._Place.read(str(place)) == place


async def test_many_letters_come_in_order(shelf):
    house = House()
    async with post(shelf) as harness:
        for number in range(25):
            await harness.person.writes(f"письмо номер {number}")
        async with house.runs(harness):
            inbounds = await house.receives(25)
    assert [inbound.text for inbound in inbounds] == [f"письмо номер {number}" for number in range(25)]


async def test_a_refused_password_is_told_without_it(shelf, caplog):
    caplog.set_level(logging.DEBUG)
    async with post(shelf) as harness:
        wrong = harness.emulator.imap_url.replace("intake:", "intake:wrong-")
        channel = MailChannel(settings_for(harness.emulator, imap_url=wrong), lent(shelf), QUICK)
        health = await channel.health()
    assert not health.reachable
    assert "refuses our name or password" in health.detail
    assert PASSWORD not in health.detail + caplog.text
    assert "wrong-" not in health.detail + caplog.text


async def test_health_warns_and_links(shelf):
    async with post(shelf) as harness:
        health = await harness.channel.health()
        guarded = await MailChannel(
            settings_for(harness.emulator, authserv_id="mx.firm.example"), lent(shelf)
        ).health()
    assert health.reachable
    assert "authserv_id" in health.detail
    assert "unencrypted" in guarded.detail
    assert "authserv_id" not in guarded.detail
    assert health.link == f"mailto:{OWN}?subject=/start%20{{code}}"


# ---------------------------------------------------------------------- the proxy


class ConnectProxy:
    """An HTTP proxy that knows only CONNECT, and remembers where to."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = (await reader.readuntil(b"\r\n\r\n")).decode()
        self.asked.append(request.split()[1])
        port = int(request.split()[1].rpartition(":")[2])
        there, back = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        await asyncio.gather(self.pump(reader, back), self.pump(there, writer), return_exceptions=True)

    async def pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        finally:
            writer.close()


async def test_a_proxy_that_refuses_is_a_retry(shelf):
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert b"Proxy-Authorization: Basic dTpw" in await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(refuse, "127.0.0.1", 0)
    address = f"http://u:p@127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with post(shelf, proxy=address) as harness:
        outcome = await harness.channel.send(Parcel("k", harness.chat_key, "x"))
        health = await harness.channel.health()
    server.close()
    assert outcome == Retry(reason="ConnectionRefusedError", whole_channel=True)
    assert not health.reachable


async def test_everything_goes_through_the_proxy(shelf):
    proxy = ConnectProxy()
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    address = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    house = House()
    async with post(shelf) as harness:
        section = {
            "imap_url": harness.emulator.imap_url.replace("127.0.0.1", "imap.firm.example"),
            "smtp_url": harness.emulator.smtp_url.replace("127.0.0.1", "smtp.firm.example"),
        }
        channel = MailChannel(settings_for(harness.emulator, proxy=address, **section), lent(shelf), QUICK)
        harness.channel = channel
        async with house.runs(harness):
            await harness.person.writes("вот", files={"а.pdf": b"%PDF"})
            (inbound,) = await house.receives(1)
            assert [chunk async for chunk in channel.open_file(inbound.files[0])] == [b"%PDF"]
            assert isinstance(await channel.send(Parcel("k", harness.chat_key, "x")), Sent)
            assert (await channel.health()).reachable
    server.close()
    await asyncio.sleep(0.05)
    imap, smtp = harness.emulator.imap_line.port, harness.emulator.smtp_line.port
    assert set(proxy.asked) == {f"imap.firm.example:{imap}", f"smtp.firm.example:{smtp}"}
    assert len(proxy.asked) >= 5


# ---------------------------------------------------------------------- settings

GOOD = {"imap_url": "imaps://a:b@imap.x.example", "smtp_url": "smtps://a:b@smtp.x.example", "address": OWN}


@pytest.mark.parametrize(
    "wrong",
    [
        {"imap_url": "https://a:b@imap.x.example"},
        {"imap_url": "imaps://imap.x.example"},
        {"imap_url": "imaps://a:b@imap.x.example:0"},
        {"imap_url": "imaps://a:b@imap.x.example:99999"},
        {"smtp_url": "imaps://a:b@imap.x.example"},
        {"smtp_url": "smtps://a:%D0%BF@smtp.x.example"},
        {"address": "nobody"},
        {"proxy": "ftp://x"},
        {"chat_burst": 0},
        {"colour": "red"},
    ],
    ids=str,
)
def test_settings_that_cannot_work_are_refused_without_the_password(wrong):
    secret = {"imap_url": "imaps://user:hush-hush@imap.x.example"}
    with pytest.raises(ValidationError) as refused:
        Settings.model_validate(GOOD | secret | wrong)
    assert "hush-hush" not in str(refused.value)


def test_accounts_are_read_from_their_addresses():
    account = mail._account(
        Settings.model_validate(GOOD | {"imap_url": "imap+starttls://a%40b.c:p%3Aw@h.example/Вх"}).imap_url
    )
    assert (account.security, account.host, account.port) == ("starttls", "h.example", 143)
    assert (account.user, account.password.get_secret_value(), account.folder) == ("a@b.c", "p:w", "Вх")
    assert "p:w" not in repr(account)
