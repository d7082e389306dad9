"""Charts as pictures: SVG made on the server, without scripts, styles or another host.

Pure functions of values that were rounded and put into words before; beside each chart the page has a
table with the same figures. Colours are classes of times.css, so that they follow the dark scheme and
survive paper; whatever matters is told by form or number too. `name` makes the ids unique on a page.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil, log10

from markupsafe import Markup

_WIDTH = 640
_LABELS = 180
_LABEL_LETTERS = 26
_FIGURES = 52
"""The values stand in a column of their own, so that nothing is drawn over them."""
_EDGE = 16
"""Room for half of the last figure of the axis."""
_ROW = 34
_BAR = 16
_TICKS = 4
_LEAST = 1.0
"""The least that an axis shows: a minute, a per cent."""


@dataclass(frozen=True, slots=True)
class Bar:
    """One value with its label. `norm` and `before` are drawn behind it as stretches, (from, to)."""

    label: str
    value: float | None
    shown: str
    norm: tuple[float, float] | None = None
    before: tuple[float, float] | None = None
    late: bool = False


@dataclass(frozen=True, slots=True)
class Point:
    """One moment of a trend: what happens mostly (the median) and at worst (the ninth decile)."""

    label: str
    middle: float | None
    high: float | None


def bars(name: str, title: str, description: str, values: Sequence[Bar]) -> Markup:
    """Bars one below the other, from a common zero."""
    most = max([_LEAST, *(reach for bar in values for reach in _reaches(bar))])
    top = _round_up(most)
    start = _LABELS + _FIGURES
    room = _WIDTH - start - _EDGE
    height = len(values) * _ROW + 24

    def across(value: float) -> float:
        return round(value / top * room, 1)

    drawn = [_grid(top, start, across, height - 22)]
    for number, bar in enumerate(values):
        y = number * _ROW + 8
        middle = y + _BAR / 2
        drawn.append(
            Markup(
                '<text class="what" x="{}" y="{}" text-anchor="end">{}</text>'
                '<text class="value" x="{}" y="{}" text-anchor="end">{}</text>'
            ).format(_LABELS - 10, middle + 4, _short(bar.label), start - 10, middle + 4, bar.shown)
        )
        for stretch, style, edge in ((bar.before, "before", 7), (bar.norm, "norm", 4)):
            if stretch is not None:
                drawn.append(
                    Markup('<rect class="{}" x="{}" y="{}" width="{}" height="{}" rx="2"/>').format(
                        style,
                        start + across(stretch[0]),
                        y - edge,
                        max(across(stretch[1]) - across(stretch[0]), 2),
                        _BAR + 2 * edge,
                    )
                )
        if bar.value is not None:
            length = max(across(bar.value), 1)
            drawn.append(
                Markup('<rect class="gauge{}" x="{}" y="{}" width="{}" height="{}" rx="2"/>').format(
                    " late" if bar.late else "", start, y, length, _BAR
                )
            )
    return _svg(name, "bars", title, description, (_WIDTH, height), drawn)


def line(
    name: str, title: str, description: str, points: Sequence[Point], norm: tuple[float, float] | None = None
) -> Markup:
    """A trend: a full line for the middle, a broken one for the worst, a stretch for the norm."""
    left, right, above, below, height = 44, 16, 12, 28, 220
    found = [value for point in points for value in (point.middle, point.high) if value is not None]
    top = _round_up(max([_LEAST, *found, *(norm or ())]))
    room = _WIDTH - left - right
    step = room / max(len(points) - 1, 1)

    def x_of(number: int) -> float:
        return round(left + (step * number if len(points) > 1 else room / 2), 1)

    def y_of(value: float) -> float:
        return round(height - below - value / top * (height - above - below), 1)

    drawn = []
    if norm is not None:
        drawn.append(
            Markup('<rect class="norm" x="{}" y="{}" width="{}" height="{}"/>').format(
                left, y_of(norm[1]), room, round(y_of(norm[0]) - y_of(norm[1]), 1)
            )
        )
    for tick in range(_TICKS + 1):
        value = top / _TICKS * tick
        drawn.append(
            Markup('<line class="grid" x1="{}" x2="{}" y1="{}" y2="{}"/>').format(
                left, _WIDTH - right, y_of(value), y_of(value)
            )
            + Markup('<text x="{}" y="{}" text-anchor="end">{}</text>').format(
                left - 6, y_of(value) + 4, _number(value)
            )
        )
    every = ceil(len(points) / 9)
    for number, point in enumerate(points):
        if number % every == 0:
            drawn.append(
                Markup('<text x="{}" y="{}" text-anchor="middle">{}</text>').format(
                    x_of(number), height - 8, point.label
                )
            )
    drawn.append(_path("high", [(x_of(n), y_of(p.high)) for n, p in enumerate(points) if p.high is not None]))
    middle = [(x_of(n), y_of(p.middle)) for n, p in enumerate(points) if p.middle is not None]
    drawn.append(_path("middle", middle))
    drawn += [Markup('<circle class="middle" cx="{}" cy="{}" r="4"/>').format(x, y) for x, y in middle]
    return _svg(name, "line", title, description, (_WIDTH, height), drawn)


def heat_map(
    name: str,
    title: str,
    description: str,
    rows: Sequence[str],
    columns: Sequence[str],
    values: Mapping[tuple[int, int], tuple[float, str]],
) -> Markup:
    """Cells by (row, column): the darker the more; each holds its number too."""
    left, above, cell = 40, 22, 30
    width = max((_WIDTH - left) / max(len(columns), 1), 24)
    most = max([1e-9, *(value for value, _shown in values.values())])
    drawn = [
        Markup('<text x="{}" y="14" text-anchor="middle">{}</text>').format(
            round(left + width * (number + 0.5), 1), label
        )
        for number, label in enumerate(columns)
    ]
    for row, label in enumerate(rows):
        y = above + row * cell
        drawn.append(Markup('<text class="what" x="0" y="{}">{}</text>').format(y + 20, label))
        for column in range(len(columns)):
            x = round(left + width * column, 1)
            value, shown = values.get((row, column), (0.0, ""))
            share = value / most if shown else 0.0
            drawn.append(
                Markup('<rect class="cell" x="{}" y="{}" width="{}" height="{}" rx="3"/>').format(
                    x + 1, y + 1, round(width - 2, 1), cell - 2
                )
            )
            if not shown:
                continue
            drawn.append(
                Markup(
                    '<rect class="heat" x="{}" y="{}" width="{}" height="{}" rx="3" fill-opacity="{}"/>'
                    '<text class="{}" x="{}" y="{}" text-anchor="middle">{}</text>'
                ).format(
                    x + 1,
                    y + 1,
                    round(width - 2, 1),
                    cell - 2,
                    # Dark text stays readable on the lighter cells, light text on the darker ones.
                    round(0.12 + 0.33 * share, 2) if share < _DARK else 1,
                    "on-light" if share < _DARK else "on-dark",
                    round(x + width / 2, 1),
                    y + 20,
                    shown,
                )
            )
    return _svg(name, "heat", title, description, (_WIDTH, above + len(rows) * cell + 2), drawn)


_DARK = 0.8


def _short(label: str) -> str:
    return label if len(label) <= _LABEL_LETTERS else f"{label[: _LABEL_LETTERS - 1]}…"


def _reaches(bar: Bar) -> list[float]:
    ends = [bar.value, bar.norm[1] if bar.norm else None, bar.before[1] if bar.before else None]
    return [end for end in ends if end is not None]


def _grid(top: float, start: int, across: Callable[[float], float], height: int) -> Markup:
    drawn = Markup("")
    for tick in range(_TICKS + 1):
        value = top / _TICKS * tick
        x = start + across(value)
        drawn += Markup('<line class="grid" x1="{}" x2="{}" y1="0" y2="{}"/>').format(x, x, height)
        drawn += Markup('<text x="{}" y="{}" text-anchor="middle">{}</text>').format(
            x, height + 16, _number(value)
        )
    return drawn


def _path(style: str, points: Sequence[tuple[float, float]]) -> Markup:
    if not points:
        return Markup("")
    joined = " ".join(f"{x},{y}" for x, y in points)
    return Markup('<polyline class="{}" points="{}"/>').format(style, joined)


def _round_up(value: float) -> float:
    """The next of the round numbers 1, 2, 4, 8, 10, 20, 40 and so on, which four steps divide well."""
    power = 10.0 ** int(log10(value) // 1)
    for factor in (1, 2, 4, 8, 10):
        if value <= factor * power:
            return factor * power
    raise AssertionError(value)


def _number(value: float) -> str:
    return f"{value:g}".replace(".", ",")


def _svg(
    name: str, kind: str, title: str, description: str, size: tuple[int, int], drawn: Sequence[Markup]
) -> Markup:
    return Markup(
        '<svg class="chart chart-{kind}" role="img" aria-labelledby="{name}-title {name}-desc" '
        'viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg">'
        '<title id="{name}-title">{title}</title><desc id="{name}-desc">{description}</desc>{drawn}</svg>'
    ).format(
        kind=kind,
        name=name,
        title=title,
        description=description,
        width=size[0],
        height=size[1],
        drawn=Markup("").join(drawn),
    )
