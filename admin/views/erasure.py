"""Deleting a client's record or a person's data: shown first, confirmed twice, the second time by hand."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from flask import abort, redirect, request, url_for
from flask_babel import lazy_gettext as _l
from itsdangerous import BadData, URLSafeSerializer
from sqlmodel import Session
from werkzeug.wrappers import Response

from admin import asked
from admin.auth import act, me
from admin.doors import doors
from admin.rights import Area
from admin.views.base import PanelView, expose, tell
from forms.texts import Text, _
from storage import erasure, roster
from storage.erasure import ClientRecord, NotErasable, PersonErasure
from storage.roster import CardChanged, NoSuchCard

CONFIRMED_FOR = timedelta(minutes=10)
"""How long after the first confirmation the second may come."""
WORD = "удалить"
"""What is typed where there is no name."""


@dataclass(frozen=True, slots=True)
class _Subject:
    """What is to be deleted: what is typed to confirm it, and where to go instead."""

    key: str
    typed: str
    back: str


class ErasureView(PanelView):
    """`/panel/erasure/…`: for directors and administrators."""

    area = Area.ERASURE

    def __init__(self) -> None:
        super().__init__(name=_l("Удаление"), endpoint="erasure", url="/panel/erasure")

    def is_visible(self) -> bool:
        """Whether the menu names it: no, the cards of clients do."""
        return False

    @expose("/")
    def index(self) -> Response:
        """Nothing of its own to see: the list of clients."""
        return redirect(url_for("clients.index"))

    @expose("/client/<int:client_id>", methods=("GET", "POST"))
    def client(self, client_id: int) -> Response | str | tuple[str, int]:
        """What deleting the client would mean; a POST is one of the confirmations."""
        record = _record(client_id)
        subject = _Subject(
            f"client:{client_id}:{record.version}", record.name, url_for("clients.one", client_id=client_id)
        )
        if request.method == "GET":
            return self.page("erase_client.html", record=record, subject=subject)
        self.require_change()
        asked_again = self._asked_again(subject)
        if asked_again is not None:
            return asked_again
        try:
            with doors().database.begin() as writing:
                erasure.delete_client(writing, act(), client_id, record.version)
        except (NotErasable, CardChanged):
            return self.page("erase_client.html", record=_record(client_id), subject=subject), 409
        tell(_("Клиент удалён."))
        return redirect(url_for("clients.index"))

    @expose("/client/<int:client_id>/person/<int:person_id>", methods=("GET", "POST"))
    def person(self, client_id: int, person_id: int) -> Response | str | tuple[str, int]:
        """What erasing the person would mean; a POST is one of the confirmations."""
        found = _person(client_id, person_id)
        back = url_for("clients.one", client_id=client_id)
        subject = _Subject(f"person:{person_id}", found.name, back)
        if request.method == "GET":
            return self.page("erase_person.html", found=found, subject=subject)
        self.require_change()
        asked_again = self._asked_again(subject)
        if asked_again is not None:
            return asked_again
        try:
            with doors().database.begin() as writing:
                done = erasure.erase_person(writing, act(), person_id, doors().house.calendar.zone)
        except NotErasable:
            found = _person(client_id, person_id)
            return self.page("erase_person.html", found=found, subject=subject), 409
        erasure.forget_files(doors().database, doors().files, doors().now())
        tell(
            _(
                "Данные удалены. Сообщений и писем: {words}, файлов: {files}.",
                words=done.messages + done.letters, files=done.files,
            )
        )  # fmt: skip
        return redirect(back)

    def _asked_again(self, subject: _Subject) -> str | tuple[str, int] | None:
        """The page of the second confirmation; None when it has come."""
        word = subject.typed.strip() or WORD
        token = request.form.get("token", "")
        if not token:
            if request.form.get("sure") != "1":
                abort(400)
            return self._second(subject, word, _parcel().dumps(_first(subject)))
        if not _is_confirmed(token, subject):
            refusal = _("Прошло больше 10 минут, или запись изменилась. Начните заново.")
            return self._second(subject, word, "", refusal), 409
        if _loose(request.form.get("typed", "")) != _loose(word):
            refusal = _("Написано не то. Перепишите без ошибок: {word}.", word=word)
            return self._second(subject, word, token, refusal), 422
        return None

    def _second(self, subject: _Subject, word: str, token: str, refusal: Text | None = None) -> str:
        return self.page("erase_again.html", subject=subject, word=word, token=token, refusal=refusal)


def _first(subject: _Subject) -> list[object]:
    return [subject.key, me().member.staff_id, int(doors().now().timestamp())]


def _is_confirmed(token: str, subject: _Subject) -> bool:
    """Whether this person has confirmed the same a moment ago."""
    try:
        key, staff_id, at = _parcel().loads(token)
    except (BadData, ValueError, TypeError):
        return False
    age_seconds = doors().now().timestamp() - at
    return [key, staff_id] == _first(subject)[:2] and 0 <= age_seconds < CONFIRMED_FOR.total_seconds()


def _parcel() -> URLSafeSerializer:
    return URLSafeSerializer(doors().secret_key, salt="priem.panel.erasure")


def _loose(typed: str) -> str:
    """A name as it is compared: quotes and spaces are typed in many ways."""
    return " ".join("".join(letter for letter in typed.casefold() if letter not in "«»“”„\"'").split())


def _record(client_id: int) -> ClientRecord:
    with doors().database.read() as reading:
        try:
            return erasure.preview_client(reading, _number(client_id))
        except NoSuchCard:
            abort(404)


def _person(client_id: int, person_id: int) -> PersonErasure:
    with doors().database.read() as reading:
        if not _speaks(reading, _number(client_id), person_id):
            abort(404)
        try:
            now, zone = doors().now(), doors().house.calendar.zone
            return erasure.preview_person(reading, person_id, now, zone)
        except NoSuchCard:
            abort(404)


def _speaks(reading: Session, client_id: int, person_id: int) -> bool:
    return person_id in {speaker.person_id for speaker in roster.speakers(reading, client_id)}


def _number(value: int) -> int:
    if value > asked.MAX_NUMBER:
        abort(404)
    return value
