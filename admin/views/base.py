"""What all sections have in common: who may open them, and how their forms end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, TypeVar

from flask import abort, flash
from flask_admin import BaseView
from flask_admin import expose as flask_admin_expose
from flask_login import current_user

from admin.auth import StaffUser, me
from admin.rights import Area, may_change
from admin.shown import say
from forms.texts import Text

F = TypeVar("F", bound=Callable[..., Any])


def expose(url: str = "/", methods: tuple[str, ...] = ("GET",)) -> Callable[[F], F]:
    """Flask-Admin's `expose` with the types that it lacks."""
    marked: Callable[[F], F] = flask_admin_expose(url, methods)
    return marked


class PanelView(BaseView):  # type: ignore[misc]  # Flask-Admin has no types
    """A section of the panel. Only signed-in staff come this far; `area` says which roles go on."""

    area: ClassVar[Area]

    def is_accessible(self) -> bool:
        """Whether the role of whoever is signed in may see this section; hides it in the menu too."""
        return _allowed(self.area)

    def _run_view(self, fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        # Flask-Admin calls the view a second time after any TypeError inside it, hiding the first.
        return fn(self, *args, **kwargs)

    @property
    def may_change(self) -> bool:
        """Whether whoever is signed in may change anything here."""
        return may_change(me().role, self.area)

    def require_change(self) -> None:
        """Refuse a writing request of somebody who only reads."""
        if not self.may_change:
            abort(403)

    def page(self, template: str, **values: Any) -> str:
        """Render a template of this section."""
        return str(self.render(template, me=me(), may_change=self.may_change, **values))


def _allowed(area: Area) -> bool:
    user = current_user._get_current_object()
    return isinstance(user, StaffUser) and user.may_see(area)


def tell(text: Text | str) -> None:
    """Say on the next page that something was done."""
    flash(say(text) if isinstance(text, Text) else text, "success")


def warn(text: Text | str) -> None:
    """Say on the next page what was not done, and why."""
    flash(say(text) if isinstance(text, Text) else text, "error")
