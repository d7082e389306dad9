"""How long requests take, and how the people work on them, in the firm's working time.

Every figure is made from a list of events, and the list can be asked for with the same filter:
recomputing it gives the figure, because both come from the same reading. Whole seconds are added up;
minutes are made of them only to be shown.
"""

from __future__ import annotations

from storage.times.absent import Absence, Missed, without_us
from storage.times.clarifications import Clarified, clarified
from storage.times.conduct import IN_SECONDS, Conduct, PersonReport, conduct_events, people_report
from storage.times.measures import (
    BEFORE,
    OWN_STAGES,
    Event,
    Figure,
    Measure,
    Sent,
    TimesFilter,
    figure,
    figure_of,
)
from storage.times.norms import DEFAULT_NORMS, Norms, NormsChanged, WrongNorms, read_norms, save_norms
from storage.times.spans import clients_of, staff_names
from storage.times.summaries import By, Group, HeatCell, Times, Week, events, response_times, sent

__all__ = [
    "BEFORE",
    "DEFAULT_NORMS",
    "IN_SECONDS",
    "OWN_STAGES",
    "Absence",
    "By",
    "Clarified",
    "Conduct",
    "Event",
    "Figure",
    "Group",
    "HeatCell",
    "Measure",
    "Missed",
    "Norms",
    "NormsChanged",
    "PersonReport",
    "Sent",
    "Times",
    "TimesFilter",
    "Week",
    "WrongNorms",
    "clarified",
    "clients_of",
    "conduct_events",
    "events",
    "figure",
    "figure_of",
    "people_report",
    "read_norms",
    "response_times",
    "save_norms",
    "sent",
    "staff_names",
    "without_us",
]
