#!/usr/bin/env bash
# Installs the pinned stack into a virtual environment: tools/install.sh [VENV, default .venv]
#
# mmcv's compiled operators load only under the torch they were built against, and pip's own cache
# does not know that. They are built once here and the wheel is kept outside the clone, in a folder
# named after mmcv, torch, Python, machine and CPU or CUDA: PINAS_WHEELS (default ~/.cache/pinas_mm).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
venv=${1:-.venv}
python=${PYTHON:-python3}
stamp=$venv/.pinas_installed
wanted=$(cat requirements/*.txt tools/install.sh pyproject.toml | sha256sum)
if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$wanted" ]; then exit 0; fi

"$python" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || {
  echo "pinas_mm is tested on Python 3.11, $python is $("$python" -V 2>&1): set PYTHON=/path/to/python3.11" >&2
  exit 2
}
[ -x "$venv/bin/python" ] || "$python" -m venv "$venv"
pip() { "$venv/bin/python" -m pip --disable-pip-version-check "$@"; }
say() { printf '%s  %s\n' "$(date +%T)" "$*"; }

say "torch and build tools"
pip install --quiet -r requirements/torch.txt -r requirements/build.txt

key=$("$venv/bin/python" - <<'PY'
import platform, re, sys, torch
mmcv = re.search(r"==(\S+)", open("requirements/mmcv.txt").read())[1]
device = f"cuda{torch.version.cuda}" if torch.cuda.is_available() else "cpu"
python = f"cp{sys.version_info[0]}{sys.version_info[1]}"
print(f"mmcv-{mmcv}_torch-{torch.__version__}_{python}_{platform.machine()}_{device}")
PY
)
wheels=${PINAS_WHEELS:-${XDG_CACHE_HOME:-$HOME/.cache}/pinas_mm}/$key
if ! ls "$wheels"/mmcv-*.whl >/dev/null 2>&1; then
  say "compiling mmcv's operators (once, about 10 minutes on 2 cores) for $wheels"
  mkdir -p "$wheels"
  building=$(mktemp -d "$wheels/building.XXXXXX")
  trap 'rm -rf "$building"' EXIT
  # Where it builds, so that what is done can be counted.
  MMCV_WITH_OPS=1 MAX_JOBS=${MAX_JOBS:-$(nproc)} TMPDIR=$building pip wheel --quiet --no-cache-dir \
    --no-deps --no-build-isolation --wheel-dir "$building" -r requirements/mmcv.txt &
  builder=$! seconds=0
  trap 'kill "$builder" 2>/dev/null || true; rm -rf "$building"' EXIT
  while kill -0 "$builder" 2>/dev/null; do
    sleep 2
    if [ $((seconds += 2)) -ge 30 ]; then
      seconds=0
      say "  $(find "$building" -name '*.o' 2>/dev/null | wc -l) source files are compiled"
    fi
  done
  wait "$builder"
  mv "$building"/mmcv-*.whl "$wheels"/
fi
say "mmcv from $wheels"
# The same version built for another torch counts as installed for pip.
pip install --quiet --force-reinstall --no-deps "$wheels"/mmcv-*.whl

say "the OpenMMLab stack and the rest"
pip install --quiet -r requirements/torch.txt -r requirements/build.txt -r requirements/mmcv.txt \
  -r requirements/runtime.txt -r requirements/deploy.txt -r requirements/tests.txt
pip install --quiet --no-deps --no-build-isolation --editable .
"$venv/bin/python" -c 'import pinas_mm; print("pinas_mm", pinas_mm.__version__)'
printf '%s' "$wanted" > "$stamp"
say "done: $venv"
