# What a developer runs. `make check` is exactly what the CI runs.

PYTHON ?= python
BABEL = $(PYTHON) -m babel.messages.frontend
LOCALE = notifications/locale
EXTRACT = $(BABEL) --quiet extract --mapping-file $(LOCALE)/babel.cfg --no-location --sort-output \
	--project priem --copyright-holder "the authors of Priem" --msgid-bugs-address "see README"
UPDATE = $(BABEL) --quiet update --domain priem --output-dir $(LOCALE) --no-fuzzy-matching \
	--ignore-obsolete --ignore-pot-creation-date --no-wrap

.PHONY: help
help: ## Show this list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

.PHONY: check
check: lint types imports test ## Everything the CI checks

.PHONY: lint
lint: ## Style
	$(PYTHON) -m ruff check
	$(PYTHON) -m ruff format --check

.PHONY: format
format: ## Put the style right
	$(PYTHON) -m ruff check --fix
	$(PYTHON) -m ruff format

.PHONY: types
types: ## Types
	$(PYTHON) -m mypy

.PHONY: imports
imports: ## Who may import whom
	lint-imports

.PHONY: test
test: ## All tests
	$(PYTHON) -m pytest

.PHONY: audit
audit: ## Known holes in what we install (asks the Internet; pip install pip-audit)
	$(PYTHON) -m pip_audit --requirement constraints.txt --no-deps --disable-pip --progress-spinner off

.PHONY: texts
texts: ## Bring the translations up to date with the code and compile them
	mkdir -p build
	$(EXTRACT) --output-file build/priem.pot --keywords n_:1,2 --keywords _l .
	$(EXTRACT) --output-file build/plurals.pot --no-default-keywords --keywords n_:1,2 --keywords ngettext:1,2 .
	$(UPDATE) --input-file build/priem.pot --locale en
	$(UPDATE) --input-file build/plurals.pot --locale ru
	$(BABEL) compile --domain priem --directory $(LOCALE) --statistics

.PHONY: revision
revision: ## Write a migration from the changed models: make revision message="…"
	$(PYTHON) -m storage.migrate "$(message)"

.PHONY: first-revision
first-revision: ## Write the first migration anew: only while nothing is released
	$(PYTHON) -m storage.migrate --first "First tables"

.PHONY: hooks
hooks: ## Check every commit before it is made
	$(PYTHON) -m pre_commit install
