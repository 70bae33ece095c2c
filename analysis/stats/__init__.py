"""Statistics of opinion scores as pure code: numpy, SciPy, pandas; no Django."""

from __future__ import annotations
