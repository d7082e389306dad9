"""What the panel calls things: short labels for codes that the tables keep."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from forms.kinds import BY_CODE
from forms.request_form import BY_NAME
from forms.texts import Text, _, plain
from router.model import Role, Stage, Status
from storage.firm_settings import LABELS
from storage.times import Measure

STATUSES: Mapping[str, Text] = MappingProxyType(
    {
        Status.NEW: _("Не назначена"),
        Status.ASSIGNED: _("Назначена"),
        Status.ACCEPTED: _("В работе"),
        Status.WAITING_CLIENT: _("Ждёт клиента"),
        Status.DONE: _("Готово"),
        Status.CLOSED: _("Закрыта"),
        Status.CANCELLED: _("Отменена"),
    }
)

STAGES: Mapping[str, Text] = MappingProxyType(
    {
        Stage.QUEUE: _("в очереди"),
        Stage.PROCESSING: _("обработка: назначена, ещё не принята"),
        Stage.CLIENT: _("ответ за клиентом"),
        Stage.CLARIFICATION: _("уточнение: клиент написал"),
        Stage.EXECUTION: _("исполнение"),
        Stage.THIRD_PARTY: _("ждём других: банк, налоговую"),
    }
)

NEXT_STEPS: Mapping[str, Text] = MappingProxyType(
    {
        Status.NEW: _("назначить исполнителя"),
        Status.ASSIGNED: _("исполнитель примет или откажется"),
        Status.ACCEPTED: _("исполнитель закончит работу"),
        Status.WAITING_CLIENT: _("клиент ответит на вопрос"),
        Status.DONE: _("клиент подтвердит результат; без возражений закроется сама"),
        Status.CLOSED: _("ничего; клиент ещё может вернуть её в работу"),
        Status.CANCELLED: _("ничего"),
    }
)

MEASURES: Mapping[str, Text] = MappingProxyType(
    {
        Measure.FIRST_RESPONSE: _("Первый ответ клиенту"),
        Measure.ACCEPTANCE: _("Взяли в работу"),
        Measure.QUEUE: _("В очереди"),
        Measure.PROCESSING: _("Обработка"),
        Measure.CLARIFICATION: _("Уточнение"),
        Measure.EXECUTION: _("Исполнение"),
        Measure.WHOLE: _("Всего у фирмы"),
        Measure.CLIENT: _("Ждали клиента"),
        Measure.THIRD_PARTY: _("Ждали других"),
        Measure.RESOLUTION: _("От заявки до результата"),
    }
)

MEASURES_EXPLAINED: Mapping[str, Text] = MappingProxyType(
    {
        Measure.FIRST_RESPONSE: _("от отправки до первого ответа человека"),
        Measure.ACCEPTANCE: _("от отправки до первого «Принять»"),
        Measure.PROCESSING: _("от назначения до «Принять»"),
        Measure.CLARIFICATION: _("клиент написал, исполнитель ещё не ответил или не вернулся к работе"),
        Measure.WHOLE: _("обработка, уточнение и исполнение вместе; только выполненные заявки"),
        Measure.RESOLUTION: _("всё время, включая очередь и ожидание клиента"),
    }
)

ROLES: Mapping[str, Text] = MappingProxyType(
    {
        Role.ACCOUNTANT: _("бухгалтер"),
        Role.LAWYER: _("юрист"),
        Role.CONTROLLER: _("контролёр"),
        Role.DEPUTY: _("заместитель"),
        Role.DIRECTOR: _("директор"),
        Role.ADMIN: _("администратор"),
    }
)

DEPARTMENTS: Mapping[str, Text] = MappingProxyType(
    {"finance": _("финансовый отдел"), "legal": _("юридический отдел")}
)

SKILLS: Mapping[str, Text] = MappingProxyType(
    {
        "payments": _("платежи и остатки"),
        "documents": _("документы"),
        "reports": _("отчёты"),
        "contracts": _("договоры и справки"),
        "advice": _("консультации"),
    }
)

CLIENT_KINDS: Mapping[str, Text] = MappingProxyType(
    {"company": _("компания"), "proprietor": _("предприниматель")}
)

THROUGH: Mapping[str, Text] = MappingProxyType(
    {
        "phone": _("телефон"),
        "visit": _("приём в офисе"),
        "panel": _("панель"),
        "command": _("команда на сервере"),
        "timer": _("таймер"),
        "router": _("распределение"),
        "staff": _("сотрудник сам"),
    }
)

LETTERS: Mapping[str, Text] = MappingProxyType(
    {
        "todo": _("ждёт отправки"),
        "doing": _("отправляется"),
        "sent": _("отправлено"),
        "delivered": _("доставлено"),
        "read": _("прочитано"),
        "superseded": _("не отправляли"),
        "failed": _("не доставлено"),
    }
)

PURPOSES: Mapping[str, Text] = MappingProxyType(
    {
        "request": _("с заявкой"),
        "added": _("добавил клиент"),
        "answer": _("с ответом"),
        "result": _("с результатом"),
        "note": _("к заметке"),
    }
)

SHIFTS: Mapping[str, Text] = MappingProxyType(
    {"work": _("на смене"), "pause": _("перерыв"), "": _("не на смене")}
)

ACTIONS: Mapping[str, Text] = MappingProxyType(
    {
        "submitted": _("заявка отправлена"),
        "assigned": _("назначена"),
        "accepted": _("принята в работу"),
        "declined": _("отказ исполнителя"),
        "clarification_asked": _("вопрос клиенту"),
        "clarification_answered": _("клиент уточнил"),
        "answered": _("ответ клиенту"),
        "client_wrote": _("клиент написал"),
        "noted": _("заметка"),
        "passed": _("передана коллеге"),
        "waiting_outside": _("ждём других"),
        "resumed": _("снова в работе"),
        "done": _("выполнена"),
        "reopened": _("возвращена в работу"),
        "closed": _("закрыта"),
        "rated": _("оценка"),
        "cancelled": _("отменена"),
        "reassigned": _("переназначена"),
        "unassigned": _("снята с исполнителя"),
        "escalated": _("не принята вовремя"),
        "confirmed": _("клиент подтвердил запись"),
        "corrected": _("клиент исправил запись"),
        "change_proposed": _("клиент предложил изменение"),
        "change_withdrawn": _("клиент снял своё предложение"),
        "change_agreed": _("изменение приняли"),
        "change_refused": _("изменение не приняли"),
        "deadline_moved": _("срок перенесли"),
        "message_edited": _("клиент исправил сообщение"),
        "message_deleted": _("клиент удалил сообщение"),
        "file_opened": _("открыл файл"),
        "virus_found": _("в файле найден вирус"),
        "exported": _("список выгружен в файл"),
        "archive_ordered": _("приказ об архиве истории"),
        "archive_made": _("архив истории забран"),
        "reminded": _("директор напомнил"),
        "outage": _("были без связи"),
        "maintenance_on": _("объявлено обновление"),
        "maintenance_off": _("обновление закончено"),
        "client_appeared": _("новый клиент из чата"),
        "client_changed": _("карточка клиента изменена"),
        "client_confirmed": _("клиент подтверждён"),
        "imported": _("загружено из файла"),
        "invited": _("приглашение"),
        "staff_changed": _("карточка сотрудника изменена"),
        "absence_added": _("отсутствие добавлено"),
        "absence_ended": _("отсутствие снято"),
        "password_set": _("пароль задан"),
        "calendar_link_made": _("ссылка на календарь сделана"),
        "calendar_link_dropped": _("ссылка на календарь отключена"),
        "signed_in": _("вход в панель"),
        "signed_out": _("выход из панели"),
        "session_ended": _("сеансы завершены"),
        "factor_set": _("включён код при входе"),
        "factor_dropped": _("снят код при входе"),
        "recovery_renewed": _("новые запасные коды"),
        "recovery_used": _("вход по запасному коду"),
        "reset_asked": _("запрошен новый пароль"),
        "profile_changed": _("изменён свой профиль"),
        "client_deleted": _("клиент удалён"),
        "person_erased": _("данные человека удалены"),
        "retention_swept": _("удалено по сроку хранения"),
        "copy_wanted": _("запрошена копия"),
        "copy_made": _("сделана копия"),
        "norms_changed": _("нормы изменены"),
        "consent_given": _("согласие дано"),
        "consent_withdrawn": _("согласие отозвано"),
        "data_asked": _("просит показать свои данные"),
        "data_given": _("данные человека выгружены"),
        "human_called": _("позвал человека"),
        "chat_linked": _("мессенджер подключён"),
        "chat_unlinked": _("мессенджер отвязан"),
        "people_merged": _("двое оказались одним человеком"),
        "call_done": _("звонок закрыт"),
        "call_not_answered": _("на звонок не ответили"),
        "setting_changed": _("настройки изменены"),
        "wording_changed": _("фраза изменена"),
        "reply_changed": _("заготовка ответа изменена"),
        "contact_added": _("контакт добавлен"),
        "contact_changed": _("контакт изменён"),
        "contact_detached": _("контакт откреплён"),
    }
)

SUBJECTS: Mapping[str, Text] = MappingProxyType(
    {
        "request": _("заявки"),
        "client": _("клиенты"),
        "staff": _("сотрудники"),
        "person": _("люди"),
        "chat": _("чаты"),
        "call": _("звонки"),
        "setting": _("настройки"),
        "wording": _("тексты"),
        "reply": _("заготовки ответов"),
        "list": _("выгрузки"),
        "archive": _("архив истории"),
        "outage": _("простои"),
        "file": _("файлы"),
        "firm": _("фирма"),
    }
)

SETTING_PARTS: Mapping[str, Text] = MappingProxyType(
    {
        "hours": _("часы"),
        "terms": _("сроки"),
        "consent": _("согласие"),
        "kinds": _("виды заявок"),
        "routing": _("распределение"),
        "norms": _("нормы"),
        "maintenance": _("обновление программы"),
    }
)

LISTS: Mapping[str, Text] = MappingProxyType(
    {
        "requests": _("заявки"),
        "clients": _("клиенты"),
        "staff": _("сотрудники"),
        "history": _("история"),
        "unassigned": _("неназначенные"),
        "calls": _("звонки"),
        "consents": _("согласия"),
        "duty-list": _("список на день"),
        "times": _("время ответа"),
        "people": _("рабочее время сотрудников"),
        "times-list": _("заявки за цифрой отчёта"),
        "risk": _("под угрозой"),
        "client-requests": _("заявки клиента"),
        "client-files": _("файлы клиента"),
        "calendar": _("календарь"),
        "timeline": _("ход работ"),
        "dry-run": _("проверка правил распределения"),
    }
)

FIELDS: Mapping[str, Text] = MappingProxyType(
    {
        "name": _("Название или имя"),
        "inn": _("ИНН"),
        "company": _("Компания"),
        "kind": _("Вид"),
        "responsible_id": _("Ответственный"),
        "controller_id": _("Контролёр"),
        "substitute_id": _("Заменяет ответственного"),
        "contract": _("Договор"),
        "contract_until": _("Договор действует до"),
        "notes": _("Заметки"),
        "post": _("Кем работает"),
        "contact": _("Контакт"),
        "may_pay": _("Может заказывать платежи"),
        "sees_all": _("Видит все заявки компании"),
        "personal": _("Изменено"),
        "schedule": _("График"),
        "phone": _("Телефон"),
        "email": _("Почта"),
        "confirmed": _("Подтверждён"),
        "role": _("Должность"),
        "department": _("Отдел"),
        "skills": _("Умеет"),
        "capacity": _("Заявок одновременно"),
        "active": _("Работает"),
        "status": _("Состояние"),
        "assignee_id": _("Исполнитель"),
        "comment": _("Комментарий"),
        "text": _("Текст"),
        "file": _("Файл"),
        "files": _("Файлы"),
        "file_id": _("Файл, №"),
        "rows": _("Строк"),
        "until": _("До"),
        "order": _("Приказ, №"),
        "last_hash": _("Последний отпечаток"),
        "sha256": _("Отпечаток файла"),
        "bytes": _("Байт"),
        "whole": _("Копия цела"),
        "second_whole": _("Цела во втором месте"),
        "format": _("Вид файла"),
        "filter": _("Отбор"),
        "reason": _("Причина"),
        "starts_at": _("С"),
        "ends_at": _("По"),
        "rating": _("Оценка"),
        "field": _("Поле"),
        "value": _("Значение"),
        "person_id": _("Человек, №"),
        "invited_as": _("Приглашён как, №"),
        "told": _("Скольким сказали"),
        "outcome": _("Итог"),
        "processing": _("Обработка, мин"),
        "clarification": _("Уточнение, мин"),
        "execution": _("Исполнение, мин"),
        "interaction_percent": _("Общение с клиентами, % смены"),
        "message_minutes": _("На одно сообщение, мин"),
        "call_minutes": _("На один разговор, мин"),
        "channel": _("Откуда"),
        "spoken_at": _("Когда обратился"),
        "how": _("Как"),
        "heard_by": _("Кто услышал"),
        "version": _("Версия"),
        "digest": _("Сводка в мессенджер"),
        "sessions": _("Сеансов"),
        "left": _("Осталось"),
        "requests": _("Заявок"),
        "messages": _("Сообщений"),
        "letters": _("Писем"),
        "drafts": _("Черновиков"),
        "calls": _("Звонков"),
        "chats": _("Чатов"),
        "kept_files": _("Оставлено файлов"),
    }
)

_TABLES: Mapping[str, Mapping[str, Text]] = MappingProxyType(
    {
        "status": STATUSES,
        "stage": STAGES,
        "next": NEXT_STEPS,
        "measure": MEASURES,
        "role": ROLES,
        "department": DEPARTMENTS,
        "skill": SKILLS,
        "client_kind": CLIENT_KINDS,
        "channel": THROUGH,
        "letter": LETTERS,
        "purpose": PURPOSES,
        "shift": SHIFTS,
        "action": ACTIONS,
        "subject": SUBJECTS,
        "setting_part": SETTING_PARTS,
        "list": LISTS,
        "kind": MappingProxyType({code: kind.label for code, kind in BY_CODE.items()}),
        "field": MappingProxyType(
            {**LABELS, **FIELDS, **{name: field.title for name, field in BY_NAME.items()}}
        ),
    }
)


def word(code: str | None, table: str) -> Text:
    """The label of a code; a code that is not known yet is shown as it is."""
    return _TABLES[table].get(code or "", plain(code or ""))
