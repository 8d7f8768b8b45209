#!/usr/bin/env bash
# Makes .venv-cogvlm for the paper's captioner, whose code needs an older transformers than the rest of this repository.
#   bash scripts/cogvlm_environment.sh
#   python data_curation/build.py ... --captioner cogvlm --captioner_python .venv-cogvlm/bin/python
#   PYTHON   the interpreter to use: Python 3.11, the last version that its torch supports (default: python3)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
python="${PYTHON:-python3}" requirements=scripts/cogvlm_requirements.txt installed=.venv-cogvlm/requirements.txt

if ! "$python" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null; then
  echo "error: found $("$python" --version 2>&1), expected Python 3.11; name one with PYTHON=/path/to/python3.11" >&2
  exit 2
fi
if ! cmp --silent "$requirements" "$installed"; then
  "$python" -m venv --clear .venv-cogvlm
  .venv-cogvlm/bin/python -m pip install --quiet --disable-pip-version-check -r "$requirements"
  .venv-cogvlm/bin/python -c 'import torchvision, xformers.ops, transformers, torch; print(torch.__version__)' >/dev/null
  cp "$requirements" "$installed"
fi
echo "ready: --captioner_python $PWD/.venv-cogvlm/bin/python"
