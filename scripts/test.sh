#!/usr/bin/env bash
# Everything a change must pass: formatter, linter, type checker, tests. Makes its own environment.
#   bash scripts/test.sh [pytest arguments]
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
install dev -r requirements-dev.txt -c constraints.txt

ruff format --check .
ruff check .
mypy
lint-imports
unset MALLOC_TOP_PAD_ # a gigabyte more for each of many short processes
unset PYTHONDONTWRITEBYTECODE # each of them would compile the repository again
workers=$(($(nproc) < 4 ? $(nproc) : 4)) # a file of tests stays with one of them, which makes what they share once
export OMP_NUM_THREADS=$(($(nproc) / workers))
pytest --numprocesses "$workers" --dist loadfile --durations=40 "$@"
