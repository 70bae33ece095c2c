"""What other apps may want to hear of."""

from __future__ import annotations

from django.dispatch import Signal

answers_withdrawn = Signal()
"""Answers of `study` were deleted: what was computed from them is out of date."""
