# hcompress: set-up and the main jobs. `make help` lists them.
# Needs Python >= 3.11, make and pip; everything else goes into .venv.

PYTHON ?= python3
VENV ?= .venv
# Handed to pip, e.g. PIP_FLAGS="--extra-index-url https://download.pytorch.org/whl/cpu"
PIP_FLAGS ?=
PYTEST_FLAGS ?=
SHRINK_FLAGS ?=

BIN := $(VENV)/bin
HCOMPRESS := $(BIN)/hcompress
# -qq: errors only. --no-compile: Python compiles what is used at first import, which is far less.
INSTALL := $(BIN)/python -m pip install -qq --progress-bar off --disable-pip-version-check \
	--no-compile --prefer-binary $(PIP_FLAGS) -c constraints.txt
REQUIREMENTS := pyproject.toml constraints.txt $(wildcard hcompress/search/native/*.[ch])

# The 20,948-character teacher: the one that lies there, else the one that teacher-full makes; or
# FULL_TEACHER=... on the command line.
TEACHER_FULL := runs/teacher-full
TEACHER_REGROWN := runs/teacher-regrown
FULL_TEACHER := $(firstword $(wildcard recipes/teacher/gbk21k.safetensors \
	$(TEACHER_FULL)/4-finetuned/model.safetensors))

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup setup-dev shrink shrink-full test check table1 docs clean
.PHONY: teacher teacher-full teacher-regrown shrink-ppocr shrink-ppocr-full

help: ## Show this list
	@echo "Usage: make TARGET"
	@echo
	@sed -n 's/^\([a-z0-9-]*\):.*## \(.*\)/\1\t\2/p' Makefile | \
		while IFS="$$(printf '\t')" read -r name text; do printf '  %-18s %s\n' "$$name" "$$text"; done
	@echo
	@echo "Variables: PYTHON=python3.12 (which Python), PIP_FLAGS=... (handed to pip),"
	@echo "           PYTEST_FLAGS=... (handed to pytest), SHRINK_FLAGS=... (handed to hcompress shrink),"
	@echo "           FULL_TEACHER=... (what shrink-full starts from)"

shrink: $(VENV)/.run ## Set up, then shrink the shipped teacher to a small ONNX (the main job)
	$(HCOMPRESS) shrink recipes/teacher/latin.safetensors --recipe recipes/hamming-ocr.toml \
		--out runs/latin $(SHRINK_FLAGS)

# What is missing is said before anything is installed.
shrink-full: $(if $(FULL_TEACHER),,.no-full-teacher) $(VENV)/.cjk ## Set up, then shrink the 20,948-character teacher to a small ONNX (hours; fonts as for teacher-full)
	$(HCOMPRESS) shrink $(FULL_TEACHER) --recipe recipes/gbk21k.toml --out runs/gbk21k $(SHRINK_FLAGS)

.PHONY: .no-full-teacher
.no-full-teacher:
	$(error no 20,948-character teacher: make teacher-full trains one, or put yours at \
		recipes/teacher/gbk21k.safetensors)

# What the package rapidocr brings, PP-OCRv6 small, shrunk; then RapidOCR itself reads with it.
PPOCR := runs/ppocr
PPOCR_DISTILLED := runs/ppocr-distilled

shrink-ppocr: $(VENV)/.rapidocr ## Set up, then shrink RapidOCR's recogniser, and read with it in RapidOCR (minutes)
	$(HCOMPRESS) shrink rapidocr --recipe recipes/foreign.toml --out $(PPOCR) $(SHRINK_FLAGS)
	$(BIN)/python docs/rapidocr_reads.py $(PPOCR)/04-drop-in/model.onnx

shrink-ppocr-full: $(VENV)/.rapidocr ## The same, distilled into 3 and 4 bits (fewer bytes, more minutes)
	$(HCOMPRESS) shrink rapidocr --recipe recipes/foreign-distilled.toml --out $(PPOCR_DISTILLED) \
		$(SHRINK_FLAGS)
	$(BIN)/python docs/rapidocr_reads.py $(PPOCR_DISTILLED)/04-drop-in/model.onnx

# A file of tests is one process's from its first test to its last.
test: $(VENV)/.dev ## Set up, then run every test, a file on each processor (up to eight)
	$(BIN)/python -m pytest -n auto --maxprocesses 8 --dist loadfile $(PYTEST_FLAGS)

check: $(VENV)/.dev ## Set up, then ruff, mypy --strict and the fast tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -m 'not slow and not gpu' $(PYTEST_FLAGS)

table1: $(VENV)/.run ## Set up, then build the paper's Table 1 at 20,948 characters
	$(HCOMPRESS) table1 --out runs/table1

teacher: $(VENV)/.run ## Set up, then train the shipped teacher again from its seed (seven hours or more)
	$(HCOMPRESS) train --charset recipes/charsets/latin.txt --data recipes/data/latin-train.toml \
		--glyphs recipes/data/latin-train-glyphs.toml --glyph-steps 450 \
		--validation recipes/data/latin-validation.toml --validate-every 150 --steps 1550 \
		--snapshot-every 100 --precision fp32 --seed 1 --threads 1 --out runs/teacher/1-trained
	$(HCOMPRESS) finetune runs/teacher/1-trained --data recipes/data/latin-train.toml \
		--validation recipes/data/latin-validation.toml --validation-images 1000 \
		--validate-every 500 --steps 500 --batch 64 --learning-rate 5e-4 --matrix-rate 0 \
		--backbone-rate 1 --distil 0 --precision fp32 --seed 2 --threads 2 \
		--out runs/teacher/2-finetuned
	$(HCOMPRESS) finetune runs/teacher/2-finetuned --data recipes/data/latin-train-more.toml \
		--validation recipes/data/latin-validation.toml --validation-images 500 \
		--validate-every 600 --steps 1800 --batch 64 --learning-rate 6e-4 --matrix-rate 0 \
		--backbone-rate 1 --distil 0 --patience 0 --precision fp32 --seed 3 --threads 1 \
		--out runs/teacher/3-finetuned
	$(HCOMPRESS) finetune runs/teacher/3-finetuned --data recipes/data/latin-train-bent.toml \
		--validation recipes/data/latin-validation.toml --validation-images 500 \
		--validate-every 700 --steps 1400 --batch 64 --learning-rate 6e-4 --matrix-rate 0 \
		--backbone-rate 1 --distil 0 --slim-routes 1 --patience 0 --precision fp32 --seed 4 \
		--threads 1 --out runs/teacher/4-finetuned
	$(HCOMPRESS) finetune runs/teacher/4-finetuned --teacher runs/teacher/4-finetuned \
		--data recipes/data/latin-train-bent.toml \
		--validation recipes/data/latin-validation.toml --validation-images 500 \
		--validate-every 2000 --lines 24576 --steps 4000 --batch 64 --learning-rate 8e-4 \
		--matrix-rate 0 --distil 4 --distil-layers 0 --slim-routes 1 --patience 0 \
		--precision fp32 --seed 5 --threads 2 --out runs/teacher/5-finetuned
	$(HCOMPRESS) finetune runs/teacher/5-finetuned --data recipes/data/latin-train-bent.toml \
		--validation recipes/data/latin-validation.toml --validation-images 500 \
		--validate-every 2000 --steps 2000 --batch 64 --learning-rate 6e-4 --matrix-rate 2e-3 \
		--backbone-rate 1 --distil 0 --slim-routes 1 --patience 0 --snapshot-every 100 \
		--precision fp32 --seed 6 --threads 1 --out runs/teacher/6-finetuned
	$(HCOMPRESS) finetune runs/teacher/6-finetuned --data recipes/data/latin-train-bent-more.toml \
		--validation recipes/data/latin-validation.toml --validation-images 500 \
		--validate-every 2000 --steps 2000 --batch 64 --learning-rate 5e-4 --matrix-rate 1.5e-3 \
		--backbone-rate 1 --distil 0 --slim-routes 3 --patience 0 --snapshot-every 100 \
		--precision fp32 --seed 7 --threads 1 --out runs/teacher/7-finetuned

# Single characters, lines, and lines along shortened ways: docs/training.md says why.
teacher-full: $(VENV)/.cjk ## Set up, then train the 20,948-character teacher (hours; Debian's fonts: docs/data.md)
	$(HCOMPRESS) train --charset recipes/charsets/gbk21k.txt --data recipes/data/gbk21k-train.toml \
		--glyphs recipes/data/gbk21k-train-glyphs.toml --glyph-width 32 \
		--glyph-first 1500 --glyph-first-steps 1000 --glyph-means 3 \
		--glyph-steps 6000 --glyph-batch 128 --glyph-learning-rate 2e-3 --glyph-column-rate 0.5 \
		--steps 0 --snapshot-every 150 --precision fp32 --seed 1 --threads 1 --workers 0 \
		--out $(TEACHER_FULL)/1-trained
	$(HCOMPRESS) finetune $(TEACHER_FULL)/1-trained --data recipes/data/gbk21k-train.toml \
		--validation recipes/data/gbk21k-validation.toml --validation-images 500 \
		--validate-every 100 --steps 300 --batch 64 --learning-rate 1e-3 --matrix-rate 5e-3 \
		--backbone-rate 0.5 --distil 0 --patience 0 --snapshot-every 100 --precision fp32 \
		--seed 2 --threads 1 --workers 0 --out $(TEACHER_FULL)/2-finetuned
	$(HCOMPRESS) finetune $(TEACHER_FULL)/2-finetuned --data recipes/data/gbk21k-train.toml \
		--validation recipes/data/gbk21k-validation.toml --validation-images 500 \
		--validate-every 250 --steps 1000 --batch 64 --learning-rate 1e-3 --matrix-rate 4e-3 \
		--backbone-rate 1 --distil 0 --slim-routes 1 --patience 0 --snapshot-every 100 \
		--precision fp32 --seed 3 --threads 1 --workers 0 --out $(TEACHER_FULL)/3-finetuned
	$(HCOMPRESS) finetune $(TEACHER_FULL)/3-finetuned --data recipes/data/gbk21k-train-more.toml \
		--validation recipes/data/gbk21k-validation.toml --validation-images 500 \
		--validate-every 300 --steps 900 --batch 64 --learning-rate 5e-4 --matrix-rate 2e-3 \
		--backbone-rate 1 --distil 0 --slim-routes 1 --patience 0 --snapshot-every 50 \
		--precision fp32 --seed 5 --threads 2 --workers 1 --out $(TEACHER_FULL)/4-finetuned

# The packaged model's backbone has seen more lines than its teacher: the next teacher starts there.
teacher-regrown: $(VENV)/.cjk ## Set up, then grow the packaged model back into a teacher and train it (an hour; fonts as for teacher-full)
	$(HCOMPRESS) regrow hcompress/models/gbk21k.onnx --data recipes/data/gbk21k-train.toml \
		--seed 1 --threads 2 --out $(TEACHER_REGROWN)/1-regrown
	$(HCOMPRESS) finetune $(TEACHER_REGROWN)/1-regrown --data recipes/data/gbk21k-train-regrown.toml \
		--validation recipes/data/gbk21k-validation.toml --validation-images 1000 \
		--validate-every 550 --steps 2200 --batch 64 --learning-rate 4e-4 --matrix-rate 1.5e-3 \
		--backbone-rate 1 --distil 0 --slim-routes 1 --patience 0 --snapshot-every 100 \
		--seed 6 --threads 2 --workers 1 --out $(TEACHER_REGROWN)/2-finetuned
	$(HCOMPRESS) half $(TEACHER_REGROWN)/2-finetuned --no-fold-batch-norm \
		--seed 1 --threads 2 --out $(TEACHER_REGROWN)/3-half

docs: $(VENV)/.run ## Set up, then write docs/stages.md again from the stages
	$(HCOMPRESS) stages --markdown > docs/stages.md

setup: $(VENV)/.run ## Only set up what the jobs need

setup-dev: $(VENV)/.dev ## Only set up what the tests need

clean: ## Remove .venv and caches; leaves runs/ alone
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis

# Stamps: set-up is done again only when the requirements, or the C code, change. One pip call each.
# Chinese fonts and words, a download of 104 MB, are for the tests and for what has 20,948 characters.
$(VENV)/.python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "error: hcompress needs Python >= 3.11: make PYTHON=python3.11 ..." >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.run: $(VENV)/.python $(REQUIREMENTS)
	@echo "Installing into $(VENV) (a minute or two) ..."
	$(INSTALL) -e '.[train,synth,report]'
	@touch $@

$(VENV)/.cjk: $(VENV)/.run
	@echo "Installing Chinese fonts and words into $(VENV) (104 MB) ..."
	$(INSTALL) -e '.[synth-cjk,report]'
	@touch $@

$(VENV)/.rapidocr: $(VENV)/.cjk
	@echo "Installing RapidOCR into $(VENV) (with OpenCV, which it reads with) ..."
	$(INSTALL) rapidocr
	@touch $@

$(VENV)/.dev: $(VENV)/.python $(REQUIREMENTS)
	@echo "Installing into $(VENV) (a minute or two) ..."
	$(INSTALL) -e '.[synth-cjk,report,tensorrt,dev]'
	@touch $@ $(VENV)/.run $(VENV)/.cjk $(VENV)/.rapidocr
