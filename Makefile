# Needs make and Python 3.11 or newer. Another Python: make PYTHON=python3.12 demo

PYTHON ?= python3
ARGS ?=

VENV := .venv
RUN := $(VENV)/bin/python
INSTALLED := $(VENV)/.installed
SOURCES := accounts devices telemetry iotplatform manage.py

.PHONY: demo demo-secure test test-all lint format docs fonts screenshots bench messages lock licences

# The whole platform on this machine. Ctrl-C stops all of it.
demo: $(INSTALLED)
	$(RUN) manage.py demo

# The same with Debian's Mosquitto, which admits known devices only, each with its token.
demo-secure: $(INSTALLED)
	$(RUN) manage.py demo --secure

# All that Python alone can run; a line in the summary for each part that it cannot.
test: $(INSTALLED)
	$(RUN) -m pytest -n 2 $(ARGS)

# Everything; fails at once, and says how to get it, where a program of Debian's is missing.
test-all: $(INSTALLED)
	REQUIRE_ALL=1 $(RUN) -m pytest -n 2 $(ARGS)

lint: $(INSTALLED)
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m mypy $(SOURCES)
	$(RUN) manage.py check
	$(RUN) manage.py makemigrations --check --dry-run

format: $(INSTALLED)
	$(RUN) -m ruff check --fix .
	$(RUN) -m ruff format .

# After a change of the API: the answers on docs/api.md, as a server gives them now.
docs: $(INSTALLED)
	WRITE_DOCS=1 $(RUN) -m pytest -q -k every_answer tests/acceptance/test_docs.py

# After a page names an icon that no page had named.
fonts: $(INSTALLED)
	$(RUN) -m tests.iotplatform.fonts

# After a change of the dependencies: their terms on docs/licences.md.
licences: $(INSTALLED)
	$(RUN) -m tests.iotplatform.licences

# The pictures in README and docs, taken of a demo in Debian's chromium.
screenshots: $(INSTALLED)
	$(RUN) -m tests.acceptance.screenshots

bench: $(INSTALLED)
	$(RUN) -m benchmarks $(ARGS)

# After a change of texts that people see: brings new ones into locale/vi, to be filled in there, and
# compiles what is filled in. Needs Debian's gettext.
messages: $(INSTALLED)
	$(RUN) manage.py makemessages --locale vi --no-location --no-wrap --no-obsolete \
		--ignore 'tests/*' --ignore 'benchmarks/*'
	sed -i '/^"POT-Creation-Date/d' locale/vi/LC_MESSAGES/django.po
	$(RUN) manage.py compilemessages --locale vi --ignore .venv

# After a change of the dependencies in pyproject.toml; make lock ARGS=--upgrade takes the newest.
lock: COMPILE = UV_CUSTOM_COMPILE_COMMAND="make lock" $(RUN) -m uv pip compile --quiet \
	--universal --generate-hashes --python-version 3.11 --no-annotate $(ARGS) pyproject.toml
lock: $(INSTALLED)
	$(RUN) -m pip install --quiet uv
	$(COMPILE) -o requirements.txt
	$(COMPILE) --extra dev -c requirements.txt -o requirements-dev.txt

$(INSTALLED): requirements-dev.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is \
	needed, this is %d.%d. Name one: make PYTHON=python3.12" % sys.version_info[:2])'
	$(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install --quiet --disable-pip-version-check --require-hashes \
		-r requirements-dev.txt
	touch $@
