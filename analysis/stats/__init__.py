"""The statistics of perceptual ratings: numpy, SciPy and pandas, no Django.

Import the module you need (``analysis.stats.mos``, ``.screening``, ``.recovery``, …):
this package itself stays empty so that importing it costs nothing.
``docs/reference/statistics.md`` says which method is where and which standard it
follows. The modules say ``import scipy`` and ``scipy.stats.x``: SciPy loads its slow
part only when something asks for it.
"""

from __future__ import annotations
