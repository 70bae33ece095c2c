#!/usr/bin/env python
"""Django's command line for the lab."""

from __future__ import annotations

import os
import sys


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "nstlab.settings")
    try:
        from django.core.management import execute_from_command_line
    except ImportError as missing:
        raise SystemExit(
            f"{missing}. Run `make install`, then `.venv/bin/python manage.py …`."
        ) from missing
    try:
        execute_from_command_line(sys.argv)
    except Exception as error:
        from django.core.exceptions import ImproperlyConfigured

        from nstlab.core.outages import sentence_of

        wrong = isinstance(error, ImproperlyConfigured)
        sentence = str(error) if wrong else sentence_of(error)
        if not sentence or "--traceback" in sys.argv:
            raise
        raise SystemExit(sentence) from error


if __name__ == "__main__":
    main()
