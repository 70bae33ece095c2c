"""Neural style transfer, exact and reproducible, without Django.

Importing it makes the methods known that come with it (`generation.engine.methods`)
and loads no torch, so that the web process can validate and digest settings.
"""

from __future__ import annotations

from generation.engine import methods as methods
