"""The style-transfer methods that come with the engine, registered on import."""

from __future__ import annotations

from generation.engine.methods.gatys import Gatys
from generation.engine.registry import register

register(Gatys())
