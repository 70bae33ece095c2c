"""The ways to ask about pictures: one file and one template each.

A method says what a trial asks about (its items), which answers it offers, and with
which template it is shown. Everything else, from planning to storing, is common.
"""

from __future__ import annotations

from survey.methods.acr import ACR, ACRHiddenReference
from survey.methods.base import CannotAsk, Choice, Method
from survey.methods.dcr import DCR
from survey.methods.pairs import Pairs
from survey.models import Study

METHODS: dict[str, Method] = {
    Study.Method.ACR: ACR(),
    Study.Method.ACR_HR: ACRHiddenReference(),
    Study.Method.DCR: DCR(),
    Study.Method.PAIRS: Pairs(),
}


def method_of(study: Study) -> Method:
    return METHODS[study.method]


__all__ = ["METHODS", "CannotAsk", "Choice", "Method", "method_of"]
