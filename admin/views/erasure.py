"""A person's data: given out, and deleted; a client's record; what is older than it need be.

What is deleted is shown first and confirmed, at last by hand.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta

from flask import abort, redirect, request, url_for
from flask_babel import lazy_gettext as _l
from itsdangerous import BadData, URLSafeSerializer
from sqlmodel import Session
from werkzeug.datastructures import MultiDict
from werkzeug.wrappers import Response

from admin import asked, exporting
from admin.auth import act, me
from admin.doors import doors
from admin.rights import Area
from admin.views.base import PanelView, expose, tell
from forms.texts import Text, _
from storage import erasure, person_export, retention, roster
from storage.erasure import ClientRecord, NotErasable, PersonErasure
from storage.retention import Retention
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
        answer = self._until_confirmed(subject, "erase_client.html", record)
        if answer is not None:
            return answer
        try:
            with doors().database.begin() as writing:
                erasure.delete_client(writing, act(), client_id, record.version)
        except (NotErasable, CardChanged):
            return self.page("erase_client.html", found=_record(client_id), subject=subject), 409
        tell(_("Клиент удалён."))
        return redirect(url_for("clients.index"))

    @expose("/client/<int:client_id>/person/<int:person_id>", methods=("GET", "POST"))
    def person(self, client_id: int, person_id: int) -> Response | str | tuple[str, int]:
        """What erasing the person would mean; a POST is one of the confirmations."""
        found = _person(client_id, person_id)
        back = url_for("clients.one", client_id=client_id)
        subject = _Subject(f"person:{person_id}", found.name, back)
        answer = self._until_confirmed(subject, "erase_person.html", found)
        if answer is not None:
            return answer
        try:
            with doors().database.begin() as writing:
                done = erasure.erase_person(writing, act(), person_id, doors().house.calendar.zone)
        except NotErasable:
            return self.page("erase_person.html", found=_person(client_id, person_id), subject=subject), 409
        erasure.forget_files(doors().database, doors().files, doors().now())
        tell(
            _(
                "Данные удалены. Сообщений и писем: {words}, файлов: {files}.",
                words=done.messages + done.letters, files=done.files,
            )
        )  # fmt: skip
        return redirect(back)

    @expose("/client/<int:client_id>/person/<int:person_id>/data", methods=("POST",))
    def data(self, client_id: int, person_id: int) -> Response:
        """Everything that is kept about the person, as a ZIP to give to them."""
        self.require_change()
        doing = act()
        with exporting.new_file() as out:
            with doors().database.read() as reading:
                if not _speaks(reading, _number(client_id), _number(person_id)):
                    abort(404)
                try:
                    given = person_export.write(
                        reading, doors().files, doors().house, person_id, doing.now, out.file
                    )
                except NoSuchCard:
                    abort(404)
            with doors().database.begin() as writing:
                person_export.note_given(writing, doing.who, person_id, given, doing.now)
            return out.sent("application/zip", f"priem-person-{person_id}-{exporting.stamp()}.zip")

    @expose("/retention", methods=("GET", "POST"))
    def retention(self) -> Response | str | tuple[str, int]:
        """What is older than so many months: shown first; a POST with the word forgets it."""
        months, refusal = _months(request.values)
        if request.method == "GET" or refusal:
            return self._retention(months, refusal), 422 if refusal else 200
        self.require_change()
        if _loose(request.form.get("typed", "")) != WORD:
            refusal = _("Написано не то. Перепишите без ошибок: {word}.", word=WORD)
            return self._retention(months, refusal), 422
        done = retention.sweep(
            doors().database, doors().files, months, doors().house.calendar.zone, doors().now(), act().who
        )
        tell(
            _(
                "Удалено. Черновиков: {drafts}, сообщений и писем: {words}, звонков: {calls}, "
                "файлов: {files}.",
                drafts=done.drafts, words=done.messages + done.letters, calls=done.calls, files=done.files,
            )
        )  # fmt: skip
        return redirect(url_for("erasure.retention"))

    def _retention(self, months: Retention, refusal: Text | None) -> str:
        with doors().database.read() as reading:
            due = retention.count_due(reading, months, doors().house.calendar.zone, doors().now())
        kinds = [(name, title, getattr(months, name)) for name, title in _KINDS.items()]
        return self.page("retention.html", due=due, kinds=kinds, word=WORD, refusal=refusal)

    def _until_confirmed(
        self, subject: _Subject, template: str, found: ClientRecord | PersonErasure
    ) -> str | tuple[str, int] | None:
        """What to answer before both confirmations have come; None when they have."""
        if request.method == "GET":
            return self.page(template, found=found, subject=subject)
        self.require_change()
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


_KINDS = {
    "drafts_months": _("Недописанные заявки, которых не касались"),
    "messages_months": _("Слова переписки: закрытые заявки и разговоры без заявки"),
    "calls_months": _("Слова о сделанных звонках"),
    "files_months": _("Файлы закрытых заявок и файлы без заявки"),
}
_LEAST_FILES_MONTHS = (erasure.KEEP_YEARS + 1) * 12
"""So old is the work of the last day of a year when its documents may go."""
_MOST_MONTHS = 1200


def _months(form: MultiDict[str, str]) -> tuple[Retention, Text | None]:
    """For how many months each is kept, as it was typed; and what is wrong with it."""
    typed = {name: asked.as_number(form.get(name, "")) or 0 for name in _KINDS}
    months = Retention(**{name: min(number, _MOST_MONTHS) for name, number in typed.items()})
    if 0 < months.files_months < _LEAST_FILES_MONTHS:
        return replace(months, files_months=0), _(
            "Документы хранят пять лет после года работы: для файлов укажите не меньше {count} месяцев.",
            count=_LEAST_FILES_MONTHS,
        )
    return months, None


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
