from __future__ import annotations

import sys

from generation.engine.commands import main

sys.exit(main())
