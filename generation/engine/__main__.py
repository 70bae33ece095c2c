from __future__ import annotations

import sys

from generation.engine.cli.commands import main

sys.exit(main())
