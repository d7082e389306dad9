"""What a client says about a form that is all but ready: that it is right, or what in it is not.

Words that are about the form itself must not end up in the task. Everything else in them stays words for
the accountant: «компания просит чек» changes no company.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from forms.deadline import is_deadline, speaks_of_time
from forms.fields import Answers, Field, Form, FormContext
from forms.inn import split_company
from forms.messages import loosely
from forms.request_form import has_legal_form, names_kind
from forms.vocabulary import Vocabulary, words_of

MAX_CHARS = 300
"""Whoever writes more does not speak of one field."""


@dataclass(frozen=True, slots=True)
class Change:
    """The field that is wrong, and its new answer if that was said along."""

    name: str
    answer: str = ""


def wanted(
    text: str, form: Form, answers: Answers, context: FormContext, *, asked: bool = False
) -> Change | None:
    """What these words want changed: «срок», «поменяйте срок на завтра», «не та компания», «до четверга».

    None when they are about nothing in the form. `asked`: the client was asked what to change, so that a
    field's name needs no verb with it.
    """
    if len(text) > MAX_CHARS:
        return None
    words = list(_WORD.finditer(text))
    begin, is_meant = _skipped(words, 0)
    for length, named in _names(form, answers):
        if [_stem(word[0]) for word in words[begin : begin + len(length)]] == length:
            after, says_so = _skipped(words, begin + len(length))
            answer = _rest(text, words, after)
            return _change(named, answer, context, is_meant=is_meant or says_so or asked)
    answer = _rest(text, words, begin)
    is_asked = any(each.name == "deadline" for each in form)
    if not (is_asked and answer):
        return None
    is_moved = any(_MOVE.match(_plain(word[0])) for word in words[:begin])
    knows = speaks_of_time if is_moved else is_deadline
    return Change("deadline", answer) if knows(answer, context.now, context.calendar) else None


def is_assent(text: str) -> bool:
    """Whether these words, or this sign, say that all is right and may go."""
    return _sign(text) in _ASSENT_SIGNS or loosely(text) in _ASSENT_PHRASES or _ASSENT.speaks(text)


def is_command_to_send(text: str) -> bool:
    """Whether they say so unmistakably, whatever was asked: a lone «да» does not."""
    words = set(loosely(text).split())
    return bool(words) and is_assent(text) and not words <= _MERE_ASSENT


def is_objection(text: str) -> bool:
    """Whether these words say that something is wrong, but not what."""
    return _OBJECTION.speaks(text)


# --- Words -----------------------------------------------------------------------------------------

_ASSENT = Vocabulary.of(
    "да верно правильно ок окей ok хорошо ага угу готово подтверждаю согласен согласна подходит устраивает "
    "отлично супер конечно отправить отправь отправьте отправляй отправляйте отправляем отправлять "
    "посылай посылайте yes send done",
    "все так это и можно теперь заявку мою пожалуйста спасибо давайте меня сделано смело",
)
_ASSENT_PHRASES = ("все так", "так и есть", "да все так")
_MERE_ASSENT = words_of("да ок окей ok хорошо ага угу конечно отлично супер спасибо yes")
_ASSENT_SIGNS = frozenset("+👍👌✅✔")
_OBJECTION = Vocabulary.of(
    "нет не неверно неправильно ошибка ошибся ошиблась опечатка изменить измени измените поменять поменяй "
    "поменяйте исправить исправь исправьте поправить поправь поправьте edit change",
    "верно правильно так то все это и тут здесь там у меня вас в заявке заявку данные кое что хочу надо "
    "нужно можно есть я пожалуйста да пока отправлять отправляй отправляйте",
)


_MODIFIERS = re.compile("[\\s\ufe0f\U0001f3fb-\U0001f3ff]+")


def _sign(text: str) -> str:
    """«+++» and «👍🏻👍🏻» are one sign."""
    signs = set(_MODIFIERS.sub("", text[:MAX_CHARS]))
    return signs.pop() if len(signs) == 1 else ""


_WORD = re.compile(r"[^\W_]+")
_COURTESY = words_of(
    "нет ой а ну но и пожалуйста давай давайте лучше можно хочу хотим надо нужно нужна нужен прошу извините "
    "простите тогда там тут здесь у меня нас мне вы я будет должен должна быть"
)
_VERB = re.compile(
    r"измени(?:ть?|м|те)?|(?:по|за|с)?меня(?:ть|й|йте|ем)|(?:с|за|пере)мени(?:ть?|те)?|исправ(?:ь|ить|ьте|им)|"
    r"поправ(?:ь|ить|ьте|им)|перенес(?:и|ите|ти|ем)|сдвин(?:ь|уть|ьте|ем)|убер(?:и|ите)|убрать|удали(?:ть?|те)?|"
    r"неверн\w{1,3}|неправильн\w{1,3}|не правильн\w{1,3}|друг(?:ой|ая|ое|ие|ую|ого)|change|edit"
)
_MOVE = re.compile("перенес|сдвин")
"""Only a deadline is moved."""
_TWO_WORDS = re.compile(r"не (?:та|тот|то|те|ту|так|верн\w{1,3}|правильн\w{1,3})|ошиб\w{2,4} в")


def _skipped(words: list[re.Match[str]], begin: int) -> tuple[int, bool]:
    """Past courtesy and words like «измените», «не та»; whether there was any of the latter."""
    is_meant = False
    while begin < len(words):
        word = _plain(words[begin][0])
        pair = f"{word} {_plain(words[begin + 1][0])}" if begin + 1 < len(words) else ""
        if _TWO_WORDS.fullmatch(pair):
            begin, is_meant = begin + 2, True
        elif _VERB.fullmatch(word):
            begin, is_meant = begin + 1, True
        elif word in _COURTESY:
            begin += 1
        else:
            break
    return begin, is_meant


def _rest(text: str, words: list[re.Match[str]], begin: int) -> str:
    if begin >= len(words):
        return ""
    # «+7», «№ 5», «(до пятницы)»: the sign before the word may matter, what separated it does not.
    after = words[begin - 1].end() if begin else 0
    return text[after:].strip(" \t\n,.:;!?—–-=")


def _names(form: Form, answers: Answers) -> Iterator[tuple[list[str], Field]]:
    """The stems of every name by which a field that is asked may be called, long names first."""
    by_name = {each.name: each for each in form}
    named = [
        ([_stem(word[0]) for word in _WORD.finditer(label)], by_name[each.part_of or each.name])
        for each in form
        if each.asked_if(answers)
        for label in (each.title.msgid, *each.labels)
    ]
    yield from sorted(named, key=lambda item: -len(item[0]))


def _plain(word: str) -> str:
    return word.casefold().replace("ё", "е")


_ENDING = re.compile("[аеиоуыэюяйь]+$")


def _stem(word: str) -> str:
    """«Компания» and «компанию» are one name, «срок» and «сроки» too."""
    word = _plain(word)
    return _ENDING.sub("", word) or word


# --- A name and what stands behind it --------------------------------------------------------------


def _change(named: Field, answer: str, context: FormContext, *, is_meant: bool) -> Change | None:
    if not answer:
        return Change(named.name)
    answer = answer if named.name == "deadline" else re.sub(r"^на[\s:]+", "", answer, flags=re.IGNORECASE)
    if named.name == "kind" and not names_kind(answer, context):
        return Change(named.name) if is_meant else None
    if named.name == "files":
        return Change(named.name) if is_meant else None
    return Change(named.name, answer) if is_meant or _fits(named.name, answer, context) else None


def _fits(name: str, answer: str, context: FormContext) -> bool:
    """Whether words behind a mere name can only be its answer."""
    if name == "deadline":
        return speaks_of_time(answer, context.now, context.calendar)
    if name == "inn":
        inn, company = split_company(answer)
        # «ИНН получателя 7707083893» is a detail of the task.
        return inn is not None and (company is None or answer[0].isdigit() or has_legal_form(company))
    return name == "kind"
