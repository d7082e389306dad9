"""What messengers post, one sample of each kind: the ground that fuzzing starts from."""

from __future__ import annotations

from typing import Any

Json = Any

# ---------------------------------------------------------------------- Telegram

_TG_PERSON = {"id": 523_000_001, "is_bot": False, "first_name": "Ольга", "last_name": "Смирнова"}
_TG_CHAT = {"id": 523_000_001, "type": "private", "first_name": "Ольга"}


def _tg(**content: Json) -> Json:
    head = {"message_id": 41, "from": _TG_PERSON, "chat": _TG_CHAT, "date": 1_795_424_370}
    return {"update_id": 880_000_007, "message": head | content}


TELEGRAM: tuple[Json, ...] = (
    _tg(text="Добрый день"),
    _tg(text="/start X7_a-9"),
    _tg(document={"file_id": "D1", "file_name": "счёт.pdf", "mime_type": "application/pdf", "file_size": 9}),
    _tg(
        photo=[
            {"file_id": "S", "width": 90, "height": 67, "file_size": 900},
            {"file_id": "L", "width": 1280, "height": 960, "file_size": 90_000},
        ],
        caption="до пятницы",
        media_group_id="13",
    ),
    _tg(voice={"file_id": "V", "duration": 3, "mime_type": "audio/ogg", "file_size": 4000}),
    _tg(video={"file_id": "W", "duration": 3, "file_name": "ролик.mp4"}),
    _tg(contact={"phone_number": "+79161112233", "first_name": "Ольга", "user_id": 523_000_001}),
    _tg(sticker={"file_id": "T", "emoji": "🙂", "type": "regular"}),
    _tg(location={"latitude": 55.75, "longitude": 37.61}),
    _tg(
        venue={"location": {"latitude": 55.75, "longitude": 37.61}, "title": "Склад", "address": "Лесная, 5"}
    ),
    _tg(poll={"id": "7", "question": "Когда?", "options": []}),
    _tg(dice={"emoji": "🎲", "value": 3}),
    {"update_id": 8, "edited_message": _tg(text="Поправка")["message"] | {"edit_date": 1_795_424_380}},
    {
        "update_id": 9,
        "callback_query": {
            "id": "4382bfdwdsb323b2d9",
            "from": _TG_PERSON,
            "message": _tg(text="Согласны?")["message"],
            "chat_instance": "-3618",
            "data": "form:consent:yes:1",
        },
    },
    {
        "update_id": 10,
        "my_chat_member": {
            "chat": _TG_CHAT,
            "from": _TG_PERSON,
            "date": 1_795_424_370,
            "old_chat_member": {"status": "member"},
            "new_chat_member": {"status": "kicked", "user": {"id": 7, "is_bot": True}},
        },
    },
)

# ---------------------------------------------------------------------- MAX

_MAX_PERSON = {"user_id": 523_000_001, "first_name": "Ольга", "last_name": "Смирнова", "is_bot": False}
_MAX_STAMP = 1_795_424_370_250


def _max(body: Json, **more: Json) -> Json:
    message = {
        "recipient": {"chat_id": 582, "chat_type": "dialog", "user_id": 7},
        "timestamp": _MAX_STAMP,
        "body": {"mid": "mid.0000582", "seq": 1, **body},
        "sender": _MAX_PERSON,
        **more,
    }
    return {
        "update_type": "message_created",
        "timestamp": _MAX_STAMP,
        "message": message,
        "user_locale": "ru",
    }


def _max_attached(kind: str, payload: Json, **more: Json) -> Json:
    return _max({"text": "до пятницы", "attachments": [{"type": kind, "payload": payload, **more}]})


MAX: tuple[Json, ...] = (
    _max({"text": "Добрый день"}),
    _max({"text": "/start X7_a-9"}),
    _max_attached("file", {"url": "https://i.oneme.ru/f", "token": "t"}, filename="счёт.pdf", size=9),
    _max_attached("image", {"url": "https://i.oneme.ru/i", "token": "t", "photo_id": 1}),
    _max_attached("video", {"url": "https://i.oneme.ru/v", "token": "t-video"}, width=1, height=1),
    _max_attached("audio", {"url": "https://i.oneme.ru/a", "token": "t"}, transcription="привет"),
    _max_attached("sticker", {"url": "https://i.oneme.ru/s", "code": "c"}),
    _max_attached("location", None, latitude=55.75, longitude=37.61),
    _max_attached("share", {"url": "https://example.org", "token": None}, title="Счёт", description=None),
    _max_attached(
        "contact",
        {
            "vcf_info": "BEGIN:VCARD\r\nVERSION:3.0\r\nTEL;TYPE=cell:79161112233\r\nFN:Ольга\r\nEND:VCARD",
            "max_info": _MAX_PERSON,
            "hash": "ab",
        },
    ),
    _max(
        {"text": ""},
        link={"type": "forward", "message": {"mid": "m", "text": "Пересланное", "attachments": None}},
    ),
    {
        "update_type": "message_callback",
        "timestamp": _MAX_STAMP,
        "callback": {
            "timestamp": _MAX_STAMP,
            "callback_id": "cb.7",
            "payload": "form:consent:yes:1",
            "user": _MAX_PERSON,
        },
        "message": _max({"text": "Согласны?"})["message"],
    },
    _max({"text": "Поправка"}) | {"update_type": "message_edited"},
    {
        "update_type": "message_removed",
        "timestamp": _MAX_STAMP,
        "message_id": "mid.0000582",
        "chat_id": 582,
        "user_id": 523_000_001,
    },
    *(
        {
            "update_type": kind,
            "timestamp": _MAX_STAMP,
            "chat_id": 582,
            "user": _MAX_PERSON,
            "payload": "X7_a-9",
        }
        for kind in ("bot_started", "bot_stopped", "dialog_removed")
    ),
)

# ---------------------------------------------------------------------- VK

VK_GROUP = 230_000_001
VK_SECRET = "fuzz-secret-of-vk"


def _vk_event(kind: str, content: Json) -> Json:
    return {
        "group_id": VK_GROUP,
        "type": kind,
        "event_id": "e7c0ffee",
        "v": "5.199",
        "object": content,
        "secret": VK_SECRET,
    }


def _vk(**content: Json) -> Json:
    message = {
        "id": 41,
        "date": 1_795_424_370,
        "from_id": 523,
        "peer_id": 523,
        "out": 0,
        "text": "",
        "conversation_message_id": 7,
        "attachments": [],
        "fwd_messages": [],
    }
    return _vk_event("message_new", {"message": message | content, "client_info": {"keyboard": True}})


def _vk_attached(kind: str, **value: Json) -> Json:
    return _vk(text="до пятницы", attachments=[{"type": kind, kind: value}])


VK: tuple[Json, ...] = (
    _vk(text="Добрый день"),
    _vk(text="Начать", payload='{"command":"start"}', ref="X7A"),
    _vk(text="Да", payload='{"p": "form:kind:pay:1"}'),
    _vk_attached(
        "doc", title="Акт", ext="pdf", size=9, url="https://vk.com/doc523_1?hash=h", id=1, owner_id=523
    ),
    _vk_attached(
        "photo",
        sizes=[{"url": "https://a/s", "width": 56, "height": 75}, {"url": "https://a/w", "width": 960}],
        orig_photo={"url": "https://a/o", "width": 2000, "height": 3000},
    ),
    _vk_attached("audio_message", link_ogg="https://a/v.ogg", link_mp3="https://a/v.mp3", duration=3),
    _vk_attached("video", id=1, owner_id=523, title="Ролик"),
    _vk_attached("sticker", sticker_id=7, images=[]),
    _vk_attached("link", url="https://example.org", title="Счёт", caption="example.org"),
    _vk_attached("wall", id=1, from_id=5, text="Запись"),
    _vk(geo={"type": "point", "coordinates": {"latitude": 55.75, "longitude": 37.61}}),
    _vk(fwd_messages=[{"text": "Пересланное", "attachments": [], "fwd_messages": [{"text": "Глубже"}]}]),
    _vk(reply_message={"text": "Раньше", "id": 40}, text="Вот это"),
    _vk_event("message_edit", _vk(text="Поправка", update_time=1_795_424_380)["object"]["message"]),
    _vk_event(
        "message_event",
        {
            "user_id": 523,
            "peer_id": 523,
            "event_id": "ev1",
            "payload": {"p": "form:consent:yes:1"},
            "conversation_message_id": 7,
        },
    ),
    _vk_event("message_allow", {"user_id": 523, "key": "k"}),
    _vk_event("message_deny", {"user_id": 523}),
    _vk_event(
        "message_read", {"from_id": 523, "peer_id": 523, "read_message_id": 41, "conversation_message_id": 7}
    ),
)

# ---------------------------------------------------------------------- Viber

_VIBER_PERSON = {"id": "01234567890A=", "name": "Ольга", "language": "ru", "country": "RU", "api_version": 10}


def _viber_event(name: str, **fields: Json) -> Json:
    head = {"event": name, "timestamp": 1_795_424_370_250, "message_token": 5_741_311_803_571_721_091}
    return {**head, "chat_hostname": "SN-CHAT-03_", **fields}


def _viber(**content: Json) -> Json:
    return _viber_event("message", sender=_VIBER_PERSON, message=content, silent=False)


VIBER: tuple[Json, ...] = (
    _viber(type="text", text="Добрый день"),
    _viber(type="text", text="/start X7_a-9"),
    _viber(type="text", text="Согласен [form:consent:yes:1]"),
    _viber(
        type="picture", media="https://dl-media.viber.com/1", file_name="a.jpg", text="до пятницы", size=9
    ),
    _viber(type="file", media="https://dl-media.viber.com/2", file_name="счёт.pdf", size=9),
    _viber(type="video", media="https://dl-media.viber.com/3", duration=3, size=9),
    _viber(type="contact", contact={"name": "Ольга", "phone_number": "+79161112233"}),
    _viber(type="url", media="https://example.org", text="Счёт"),
    _viber(type="location", location={"lat": 55.75, "lon": 37.61}),
    _viber(type="sticker", sticker_id=46105),
    _viber_event("subscribed", user=_VIBER_PERSON),
    _viber_event("unsubscribed", user_id="01234567890A="),
    _viber_event("delivered", user_id="01234567890A="),
    _viber_event("seen", user_id="01234567890A="),
    _viber_event("failed", user_id="01234567890A=", desc="failure description"),
    _viber_event("conversation_started", type="open", context="X7_a-9", user=_VIBER_PERSON, subscribed=False),
    _viber_event("webhook"),
)

# ---------------------------------------------------------------------- WhatsApp


def _whatsapp(**content: str) -> dict[str, str]:
    head = {
        "MessageSid": "SM" + "a1" * 16,
        "AccountSid": "AC" + "c" * 32,
        "From": "whatsapp:+79161112233",
        "To": "whatsapp:+14155238886",
        "ProfileName": "Ольга",
        "Body": "",
        "NumMedia": "0",
    }
    return head | content


WHATSAPP: tuple[dict[str, str], ...] = (
    _whatsapp(Body="Добрый день"),
    _whatsapp(Body="/start X7_a-9"),
    _whatsapp(Body="STOP", OptOutType="STOP"),
    _whatsapp(ButtonPayload="form:consent:yes:1", ButtonText="Согласен", Body="Согласен"),
    _whatsapp(ListId="form:kind:pay:1", ListTitle="Оплатить счёт"),
    _whatsapp(
        Body="счёт.pdf",
        NumMedia="2",
        MediaUrl0="https://api.twilio.com/1",
        MediaContentType0="application/pdf",
        MediaUrl1="https://api.twilio.com/2",
        MediaContentType1="audio/ogg; codecs=opus",
    ),
    _whatsapp(Latitude="55.75", Longitude="37.61", Label="Склад", Address="Лесная, 5"),
    _whatsapp(NumMedia="1", MediaUrl0="https://api.twilio.com/3", MediaContentType0="text/vcard"),
)
WHATSAPP_STATUSES: tuple[dict[str, str], ...] = (
    _whatsapp(MessageStatus="delivered"),
    _whatsapp(MessageStatus="read"),
    _whatsapp(MessageStatus="failed", ErrorCode="63016"),
)
