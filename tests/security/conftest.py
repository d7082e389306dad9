"""The firm and its panel, as the panel's own tests have them."""

from tests.admin.conftest import busy, busy_template, empty_database, office

__all__ = ["busy", "busy_template", "empty_database", "office"]
