"""What the engine refuses, each as one sentence a person can act on."""

from __future__ import annotations


class EngineError(Exception):
    """An expected refusal; `str(error)` is a sentence to show."""


class SettingsError(EngineError, ValueError):
    """A setting outside its allowed values; `field` is the setting's name."""

    def __init__(self, field: str, sentence: str) -> None:
        super().__init__(sentence)
        self.field = field


class ImageRefused(EngineError, ValueError):
    """A file that is not a picture the engine can paint with."""


class WeightsMissing(EngineError):
    """Weights that are neither on this machine nor to be had from the network."""


class WeightsRefused(EngineError, ValueError):
    """A weights file that is broken, altered or of another architecture."""


class Cancelled(EngineError):
    """The caller asked to stop."""


class NotFinite(EngineError):
    """The objective became infinite or not a number."""
