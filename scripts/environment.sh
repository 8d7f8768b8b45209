# Makes .venv with the pinned packages and this repository, once, and activates it. quickstart.sh and test.sh source it.
#   PYTHON   the interpreter to use (default python3; 3.11 or newer)
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
cd "$root"
python="${PYTHON:-python3}"

if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
  echo "error: found $("$python" --version 2>&1), expected Python 3.11 or newer; name one with PYTHON=/path/to/python" >&2
  exit 2
fi

# install MARKER PIP-ARGUMENTS...: runs pip unless it did so before with the same files
install() {
  local marker=".venv/installed-$1" files
  shift
  files="$(cat requirements*.txt constraints.txt | sha256sum) $*"
  [[ -f "$marker" && "$(cat "$marker")" == "$files" ]] && return
  echo "installing: pip install $*"
  .venv/bin/python -m pip install --quiet --disable-pip-version-check "$@" ||
    { echo "error: pip could not install the packages; its messages above say why" >&2; exit 2; }
  echo "$files" >"$marker"
}

if [[ ! -x .venv/bin/python ]]; then
  echo "making .venv with $("$python" --version)"
  "$python" -m venv .venv || { echo "error: python cannot make a venv; install its venv module (Debian: python3-venv)" >&2; exit 2; }
fi
install main -r requirements.txt -c constraints.txt
install offline --no-deps -r requirements-offline.txt
install package --no-deps -e .
# shellcheck disable=SC1091
source .venv/bin/activate

# Threads left to guess fight each other, and glibc returns large tensors to the system after each use: both cost more
# than any kernel (benchmarks/hyperformer.py).
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-$(nproc)}"
export MALLOC_MMAP_THRESHOLD_=17179869184 MALLOC_TRIM_THRESHOLD_=34359738368 MALLOC_TOP_PAD_=1073741824
export GLIBC_TUNABLES="${GLIBC_TUNABLES:-glibc.malloc.hugetlb=1}"
export OMP_WAIT_POLICY=PASSIVE TOKENIZERS_PARALLELISM=false
