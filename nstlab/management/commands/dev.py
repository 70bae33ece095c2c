"""`manage.py dev`: a whole lab for a developer, with Django's reloading server."""

from __future__ import annotations

import sys
import time
from typing import Any

from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError, CommandParser

from generation.queueing.reap import reap
from nstlab.core.broker import BrokerUnavailable
from nstlab.roles import researchers
from nstlab.supervisor import MANAGE, Lab
from survey.housekeeping import purge_due


class Command(BaseCommand):
    help = "Migrates, then runs broker, workers and web server until Ctrl-C."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--port", type=int, default=8000)

    def handle(self, *args: Any, **options: Any) -> None:
        call_command("migrate", verbosity=0)
        researchers()
        address = f"127.0.0.1:{options['port']}"
        lab = Lab(
            web_command=[sys.executable, str(MANAGE), "runserver", address],
            environment={"NSTLAB_DEBUG": "1", "NSTLAB_HTTPS": "0"},
            reap=reap,
            purge=purge_due,
        )
        try:
            with lab:
                self.stdout.write(f"http://{address}/admin/ (Ctrl-C stops everything)")
                while True:
                    lab.keep()
                    time.sleep(0.5)
        except BrokerUnavailable as error:
            raise CommandError(str(error)) from error
        except KeyboardInterrupt:
            self.stdout.write("Stopped.")
