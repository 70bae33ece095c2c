from __future__ import annotations

import sys

from generation.engine.cli.main import main

sys.exit(main())
