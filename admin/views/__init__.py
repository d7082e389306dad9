"""The sections of the panel, in the order of the menu."""

from __future__ import annotations

from admin.views.access import AccessView
from admin.views.board import BoardView
from admin.views.calendar import CalendarView
from admin.views.calls import CallsView
from admin.views.client_card import ClientCardView
from admin.views.clients import ClientsView
from admin.views.colleague_card import ColleagueCardView
from admin.views.consents import ConsentsView
from admin.views.copies import CopiesView
from admin.views.coverage import CoverageView
from admin.views.erasure import ErasureView
from admin.views.history import HistoryView
from admin.views.messengers import MessengersView
from admin.views.my_calendar import MyCalendarView
from admin.views.profile import ProfileView
from admin.views.recording import RecordingView
from admin.views.replies import RepliesView
from admin.views.requests import RequestsView
from admin.views.routing import RoutingView
from admin.views.settings import SettingsView
from admin.views.staff import StaffView
from admin.views.start import StartView
from admin.views.texts import TextsView
from admin.views.timeline import TimelineView
from admin.views.times import TimesView
from admin.views.unassigned import UnassignedView

VIEWS = (
    RequestsView,
    RecordingView,
    BoardView,
    CalendarView,
    TimelineView,
    UnassignedView,
    CallsView,
    TimesView,
    ClientsView,
    CoverageView,
    ClientCardView,
    ColleagueCardView,
    StaffView,
    MessengersView,
    CopiesView,
    HistoryView,
    SettingsView,
    TextsView,
    RepliesView,
    RoutingView,
    MyCalendarView,
    ProfileView,
    AccessView,
    ErasureView,
    ConsentsView,
)

__all__ = ["VIEWS", "StartView"]
