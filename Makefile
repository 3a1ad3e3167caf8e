# Two commands: `make demo` trains on the handwritten digits that come with scikit-learn, `make test` runs all tests.
# Both set up everything first: a virtual environment in .venv with the exact versions of constraints.txt.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
EXTRAS := dev,export,serve,zh,private,hf,text,excel,sql,datasets,remote,tensorboard,mlflow,gguf,constrain,medical,video
WORKERS ?= 2
# one thread a process: the tests run side by side. A process that dies ends them, instead of files that nobody runs any more
THREADS := OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1

.PHONY: demo test lint format schema clean

demo: .venv/.ready
	$(BIN)/dapeng train recipe:digits --runs demo
	@echo "Open the report: $$(ls -td demo/digits-* | head -1)/report.html"

test: lint
	$(THREADS) $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder --max-worker-restart=0

# llama.cpp is built from source, for minutes: where that fails, its tests skip and say so
.venv/.llama: .venv/.ready
	-CMAKE_ARGS="-DLLAMA_BUILD_TOOLS=OFF -DLLAMA_BUILD_EXAMPLES=OFF -DLLAMA_BUILD_SERVER=OFF" CMAKE_BUILD_PARALLEL_LEVEL=2 \
		$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt 'llama-cpp-python'
	touch $@

lint: .venv/.ready
	$(BIN)/ruff check src tests bench
	$(BIN)/ruff format --check src tests bench
	$(BIN)/lint-imports
	$(BIN)/pyright

format: .venv/.ready
	$(BIN)/ruff check --fix src tests bench
	$(BIN)/ruff format src tests bench

schema: .venv/.ready
	$(BIN)/python -m dapeng.core.schema > .schema.tmp && mv .schema.tmp schema/dapeng.schema.json

.venv/.ready: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[$(EXTRAS)]'
	touch $@

clean:
	rm -rf .venv demo runs build dist
