"""What a client may ask for. A kind is one declaration: its button, its words, its extra questions."""

from __future__ import annotations

from dataclasses import dataclass

from forms.texts import Text, _


@dataclass(frozen=True, slots=True)
class RequestKind:
    """One kind of work.

    `stems` are beginnings of words by which the kind is recognised in free text. `question` asks for
    the details. `extras` name further fields of `request_form` that only this kind needs.
    `department` and `skill` are what the router looks for.
    """

    code: str
    label: Text
    question: Text
    department: str
    skill: str
    stems: tuple[str, ...] = ()
    extras: tuple[str, ...] = ()


FINANCE = "finance"
LEGAL = "legal"

KINDS: tuple[RequestKind, ...] = (
    RequestKind(
        "pay", _("Оплатить счёт"),
        _("Кому и сколько заплатить? Можно прислать счёт файлом или фото. Например: ООО «Свет», 12 345 ₽ по счёту 15."),
        FINANCE, "payments", ("оплат", "заплат", "платёж", "платеж", "перевед"),
    ),
    RequestKind(
        "balance", _("Узнать остаток"),
        _("По какому счёту или банку узнать остаток? Например: расчётный счёт в Сбере."),
        FINANCE, "payments", ("остат", "баланс", "сколько денег"),
    ),
    RequestKind(
        "waybill", _("Выписать накладную/УПД"),
        _("Кому выписать? Товары можно прислать сразу, каждый с новой строки: наименование; количество; цена."),
        FINANCE, "documents", ("наклад", "упд", "отгруз"), extras=("goods",),
    ),
    RequestKind(
        "report", _("Сдать отчёт"),
        _("Какой отчёт и за какой период? Например: декларация по УСН за 2026 год."),
        FINANCE, "reports", ("отчёт", "отчет", "деклар", "сдать в налог"),
    ),
    RequestKind(
        "document", _("Подготовить документ"),
        _("Какой документ нужен и для кого? Например: договор аренды с ИП Ивановым."),
        LEGAL, "documents", ("договор", "документ", "справк", "доверен", "акт сверки"),
    ),
    RequestKind(
        "advice", _("Консультация"),
        _("О чём ваш вопрос? Напишите своими словами."),
        LEGAL, "advice", ("консульт", "вопрос", "посовет", "подскаж"),
    ),
    RequestKind(
        "other", _("Другое"),
        _("Что нужно сделать? Напишите своими словами."),
        FINANCE, "", ("друго",),
    ),
)

BY_CODE = {kind.code: kind for kind in KINDS}
