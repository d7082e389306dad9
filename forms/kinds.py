"""What a client may ask for. A kind is one declaration: its button, its words, its extra questions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from forms.texts import Text, _, plain


@dataclass(frozen=True, slots=True)
class RequestKind:
    """One kind of work.

    `question` asks for the details. `department` and `skill` are what the router looks for. `stems` are
    beginnings of words, ё written as е, by which the kind is recognised in free text. `extras` name
    further fields of `request_form` that only this kind needs.
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
ANY_DEPARTMENT = ""
"""Skills alone choose: in a small firm an accountant gives advice and drafts contracts, too."""

KINDS: tuple[RequestKind, ...] = (
    RequestKind(
        "pay",
        _("Оплатить счёт"),
        _(
            "Кому и сколько заплатить? Можно прислать счёт файлом или фото. "
            "Например: ООО «Свет», 12 345 ₽ по счёту 15."
        ),
        FINANCE,
        "payments",
        ("оплат", "заплат", "платеж", "перевед", "перевест"),
    ),
    RequestKind(
        "balance",
        _("Узнать остаток"),
        _("По какому счёту или банку узнать остаток? Например: расчётный счёт в Сбере."),
        FINANCE,
        "payments",
        ("остат", "баланс", "сколько денег"),
    ),
    RequestKind(
        "waybill",
        _("Выписать накладную/УПД"),
        _(
            "Кому выписать? Товары можно прислать сразу, каждый с новой строки: "
            "наименование; количество; цена."
        ),
        FINANCE,
        "documents",
        ("наклад", "упд", "отгруз"),
        extras=("goods",),
    ),
    RequestKind(
        "report",
        _("Сдать отчёт"),
        _("Какой отчёт и за какой период? Например: декларация по УСН за 2026 год."),
        FINANCE,
        "reports",
        ("отчет", "деклар", "сдать в налог"),
    ),
    RequestKind(
        "document",
        _("Подготовить документ"),
        _("Какой документ нужен и для кого? Например: договор аренды с ИП Ивановым."),
        ANY_DEPARTMENT,
        "contracts",
        ("договор", "документ", "справк", "доверен", "акт сверки"),
    ),
    RequestKind(
        "advice",
        _("Консультация"),
        _("О чём ваш вопрос? Напишите своими словами."),
        ANY_DEPARTMENT,
        "advice",
        ("консульт", "вопрос", "посовет", "подскаж"),
    ),
    RequestKind(
        "other",
        _("Другое"),
        _("Что нужно сделать? Напишите своими словами."),
        ANY_DEPARTMENT,
        "",
        ("друго",),
    ),
)

BY_CODE = {kind.code: kind for kind in KINDS}

OTHER = "other"
"""What is meant when nothing else is; always offered."""


@dataclass(frozen=True, slots=True)
class Kinds:
    """What this firm's clients may ask for: `known` in the order of the buttons, some not offered now.

    A kind that is no longer offered is still the kind of older requests.
    """

    known: tuple[RequestKind, ...] = KINDS
    switched_off: frozenset[str] = frozenset()
    by_code: Mapping[str, RequestKind] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        by_code = MappingProxyType({kind.code: kind for kind in self.known})
        object.__setattr__(self, "by_code", by_code)

    @property
    def offered(self) -> tuple[RequestKind, ...]:
        """The kinds a client may choose now."""
        return tuple(kind for kind in self.known if kind.code not in self.switched_off)

    def offers(self, code: str) -> bool:
        """Whether a client may choose it now."""
        return code in self.by_code and code not in self.switched_off

    def label(self, code: str) -> Text:
        """What people call it; a kind that nobody knows any more is shown by its code."""
        return self.by_code[code].label if code in self.by_code else plain(code)


OUR_KINDS = Kinds()
