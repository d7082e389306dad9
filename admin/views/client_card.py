"""What stands around a client's card: the contacts, the requests, the correspondence, the files."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from flask import abort, redirect, request, url_for
from flask_babel import lazy_gettext as _l
from sqlmodel import Session
from werkzeug.wrappers import Response

from admin import asked, exporting
from admin.auth import act, me
from admin.doors import doors
from admin.request_sheet import HEADINGS, as_row
from admin.rights import Area, sees_contents
from admin.shown import label
from admin.typed import email_of, person_name_of, phone_of
from admin.views.base import PanelView, expose, tell, warn
from admin.views.requests import is_viewable
from forms.answers import AnswerError
from forms.texts import Text, _
from router.model import Status
from storage import clients, correspondence, listing, reading, roster
from storage.clients import ContactFields
from storage.reading import RequestFilter
from storage.roster import CardChanged, ClientRow, NoSuchCard
from storage.sheets import Row

_MAX_POST = 100
_MAX_TYPED = 400
_OPEN = tuple(status.value for status in Status if status.is_open)
_ENDED = (Status.CLOSED.value, Status.CANCELLED.value)


class ClientCardView(PanelView):
    """`/panel/client/<number>/…`; the card itself is `/panel/clients/<number>/`."""

    area = Area.CLIENTS

    def __init__(self) -> None:
        super().__init__(name=_l("Клиент"), endpoint="client", url="/panel/client")

    def is_visible(self) -> bool:
        """Whether the menu names it: no, the cards lead here."""
        return False

    @expose("/")
    def index(self) -> Response:
        """Nothing of its own to see: the list of clients."""
        return redirect(url_for("clients.index"))

    @expose("/<int:client_id>/requests")
    def requests(self, client_id: int) -> str | Response:
        """The client's requests: those that go on, or those that have ended."""
        card, ended = _readable(client_id), asked.flag("ended")
        wanted = RequestFilter(client_id=client_id, statuses=_ENDED if ended else _OPEN)
        if kind := exporting.asked_for():
            return exporting.export(
                kind,
                "client-requests",
                HEADINGS,
                lambda session: (as_row(*each) for each in listing.every_request(session, wanted)),
            )
        with doors().database.read() as session:
            found = reading.find_requests(session, wanted, place=asked.place())
        return self.page("client_requests.html", card=card, found=found, ended=ended, now=doors().now())

    @expose("/<int:client_id>/correspondence")
    def correspondence(self, client_id: int) -> str:
        """What was said to and by all who speak for the client, in all messengers."""
        card = _readable(client_id)
        before = correspondence.Place.parse(request.args.get("before", ""))
        with doors().database.read() as session:
            found = correspondence.client_correspondence(session, client_id, before)
        return self.page("client_correspondence.html", card=card, found=found, viewable=is_viewable)

    @expose("/<int:client_id>/files")
    def files(self, client_id: int) -> str | Response:
        """The files of the client's requests; opening one is written to the history of its request."""
        card = _readable(client_id)
        if kind := exporting.asked_for():
            return exporting.export(
                kind, "client-files", _FILE_HEADINGS, lambda session: _file_rows(session, client_id)
            )
        before = asked.number("before")
        with doors().database.read() as session:
            found, older = clients.files_of(session, client_id, before)
        return self.page("client_files.html", card=card, found=found, older=older)

    @expose("/<int:client_id>/contacts", methods=("POST",))
    def add(self, client_id: int) -> Response | tuple[str, int]:
        """Write down somebody who will speak for the client."""
        return self._change(
            client_id,
            None,
            lambda session, fields: clients.add_contact(session, act(), client_id, fields),
            _("Контакт добавлен. Чтобы человек писал нам в чат, отправьте ему приглашение."),
        )

    @expose("/<int:client_id>/contacts/<int:person_id>", methods=("POST",))
    def change(self, client_id: int, person_id: int) -> Response | tuple[str, int]:
        """Change a contact and what they may."""
        stamp = request.form.get("stamp", "")
        person_id = min(person_id, asked.MAX_NUMBER)
        return self._change(
            client_id,
            person_id,
            lambda session, fields: clients.change_contact(
                session, act(), client_id, person_id, stamp, fields
            ),
            _("Сохранено."),
        )

    @expose("/<int:client_id>/contacts/<int:person_id>/detach", methods=("POST",))
    def detach(self, client_id: int, person_id: int) -> Response:
        """Let a person speak for the client no more."""
        self.require_change()
        card = _card(client_id)
        if request.form.get("sure") != "1":
            warn(_("Поставьте отметку «Да, открепить» и нажмите ещё раз."))
            return _back(card)
        stamp, number = request.form.get("stamp", ""), min(person_id, asked.MAX_NUMBER)
        try:
            with doors().database.begin() as session:
                clients.detach_contact(session, act(), client_id, number, stamp)
        except NoSuchCard:
            abort(404)
        except CardChanged:
            warn(_STALE)
            return _back(card)
        tell(_("Контакт откреплён. Его прежние заявки остались."))
        return _back(card)

    def _change(
        self,
        client_id: int,
        person_id: int | None,
        change: Callable[[Session, ContactFields], object],
        done: Text,
    ) -> Response | tuple[str, int]:
        self.require_change()
        card = _card(client_id)
        try:
            fields = _fields()
            with doors().database.begin() as session:
                change(session, fields)
        except AnswerError as refused:
            return self._again(card, person_id, refused.text), 422
        except NoSuchCard:
            abort(404)
        except CardChanged:
            return self._again(card, person_id, _STALE), 409
        tell(done)
        return _back(card)

    def _again(self, card: ClientRow, person_id: int | None, refusal: Text) -> str:
        """The form with what was typed, what is wrong with it, and what is kept now."""
        with doors().database.read() as session:
            known = clients.contacts(session, card.client_id, doors().now())
        kept = next((contact.fields for contact in known if contact.person_id == person_id), None)
        if person_id is not None and kept is None:
            abort(404)
        return self.page(
            "client_contact.html",
            card=card,
            person_id=person_id,
            typed=_typed(),
            kept=kept if refusal is _STALE else None,
            stamp=kept.stamp if kept and refusal is _STALE else request.form.get("stamp", ""),
            refusal=refusal,
        )


_STALE = _("Этот контакт изменили, пока вы его правили. Проверьте его и повторите.")


def _card(client_id: int) -> ClientRow:
    known = 0 < client_id <= asked.MAX_NUMBER
    with doors().database.read() as session:
        found = roster.read_client(session, client_id, me().reach) if known else None
    if found is None:
        abort(404)
    return found


def _readable(client_id: int) -> ClientRow:
    """The card, for whoever may read what clients write."""
    if not (me().may_see(Area.REQUESTS) and sees_contents(me().role)):
        abort(404)
    return _card(client_id)


def _back(card: ClientRow) -> Response:
    return redirect(url_for("clients.one", client_id=card.client_id, _anchor="contacts"))


def _typed() -> ContactFields:
    """What was typed, as it was typed."""
    form = request.form
    return ContactFields(
        **{name: form.get(name, "")[:_MAX_TYPED] for name in ("name", "phone", "email", "post")},
        may_pay=form.get("may_pay") == "1",
        sees_all=form.get("sees_all") == "1",
    )


def _fields() -> ContactFields:
    form = request.form
    post = " ".join(asked.clean(form.get("post", ""), _MAX_POST).split())
    return ContactFields(
        name=person_name_of(form.get("name", "")),
        phone=phone_of(form.get("phone", "")),
        email=email_of(form.get("email", "")),
        post=post,
        may_pay=form.get("may_pay") == "1",
        sees_all=form.get("sees_all") == "1",
    )


_FILE_HEADINGS = (_("Файл"), _("Откуда"), _("Заявка"), _("Когда"), _("Размер, байт"))


def _file_rows(session: Session, client_id: int) -> Iterator[Row]:
    older: int | None = None
    while True:
        found, older = clients.files_of(session, client_id, older)
        for each in found:
            file = each.file
            sent = exporting.moment(file.created_at)
            yield file.name, label(file.purpose, "purpose"), each.number, sent, file.size_bytes
        if older is None:
            return
