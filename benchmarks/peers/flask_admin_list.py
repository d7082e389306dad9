"""The list of requests as Flask-Admin's own ModelView makes it, over the same database."""

from __future__ import annotations

from flask import Flask
from flask_admin import Admin
from flask_admin.contrib.sqla import ModelView
from flask_babel import Babel
from sqlalchemy import Engine
from sqlalchemy.orm import scoped_session, sessionmaker

from storage.models import Request


class RequestList(ModelView):  # type: ignore[misc]  # Flask-Admin has no types
    """What its documentation says: columns, words to search in, fifty rows a page."""

    can_create = can_edit = can_delete = False
    page_size = 50
    column_list = ("id", "company", "inn", "kind", "task", "status", "deadline", "submitted_at", "channel")
    column_searchable_list = ("company", "inn", "task")
    column_default_sort = ("id", True)


def create_app(engine: Engine) -> Flask:
    """The application; the list is at `/admin/request/`."""
    app = Flask(__name__)
    app.config["SECRET_KEY"] = "a benchmark's"
    Babel(app)
    session = scoped_session(sessionmaker(engine))
    admin = Admin(app)
    admin.add_view(RequestList(Request, session, endpoint="request"))

    @app.teardown_appcontext
    def let_go(_error: BaseException | None) -> None:
        session.remove()

    return app
