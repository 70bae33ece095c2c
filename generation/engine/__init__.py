"""Style transfer as pure code: torch, torchvision, Pillow, numpy, SciPy; no Django."""

from __future__ import annotations
