"""Gatys-family neural style transfer, exact and reproducible, without Django.

Nothing is imported here, so that the web process can validate and digest
settings (`generation.engine.settings`) without loading torch.
"""

from __future__ import annotations
