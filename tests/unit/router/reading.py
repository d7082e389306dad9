"""Read a sentence as the tests need it: in Russian, without catalogues."""

from forms.texts import Clock, Day, Text


def read(value: object) -> str:
    match value:
        case Text():
            shown = {name: read(param) for name, param in value.params.items()}
            return value.msgid.format(**shown)
        case Clock():
            return f"{value.at:%H:%M}"
        case Day():
            return f"{value.date:%d.%m.%Y}"
        case _:
            return str(value)
