# `make demo` shows the lab, `make test` proves it. Everything lives in .venv and var/.
PYTHON ?= python3
PORT ?= 8000
BIN := .venv/bin
# All but one of Django's own, whose tags are opened under one condition and closed under
# another: the formatter does not read that.
TEMPLATES = $(filter-out %/edit_inline/tabular.html,$(shell git ls-files '*/templates/*.html'))

.PHONY: help install demo dev test test-servers hooks lint format messages browser screenshots clean
help:
	@echo "make demo         install, paint four pictures, serve a study (PORT=8000, LAN=1 for phones)"
	@echo "make dev          broker, workers and a reloading web server"
	@echo "make test         lint, types, layers and every test (COVERAGE=1: and what they reach)"
	@echo "make test-servers tests of database and broker on PostgreSQL and Redis"
	@echo "make hooks        have every commit checked (pre-commit)"
	@echo "make messages     collect what is to be translated, compile what is"
	@echo "make browser      download Chromium for the browser tests"
	@echo "make screenshots  paint the README's screenshots anew"

install: .venv/installed
.venv/installed: requirements.txt requirements-dev.txt constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt -c constraints.txt
	touch $@

demo: install
	@PORT=$(PORT) $(BIN)/python manage.py demo $(if $(LAN),--lan)

dev: install
	@$(BIN)/python manage.py dev --port $(PORT)

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/djangofmt --check $(TEMPLATES)
	$(BIN)/mypy
	$(BIN)/lint-imports
	NSTLAB_VAR=$$(mktemp -d) $(BIN)/python manage.py makemigrations --check --dry-run

# COVERAGE=1 adds what the tests reach, and fails under the floor of pyproject.toml.
test: lint
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder $(if $(COVERAGE),--cov --cov-report=term:skip-covered) $(ARGS)

hooks: install
	$(BIN)/pre-commit install

test-servers: install
	$(BIN)/python -m tests.servers -n 2 --dist loadfile --no-loadscope-reorder $(ARGS)

format: install
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/djangofmt $(TEMPLATES)

messages: install
	$(BIN)/python -m tests.survey.messages

browser: install
	$(BIN)/python -m playwright install chromium

screenshots: install
	$(BIN)/python -m tests.e2e.screenshots

clean:
	rm -rf .venv var
