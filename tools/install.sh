#!/usr/bin/env bash
# Installs a pinned stack into a virtual environment: [STACK=classic] tools/install.sh [VENV]
#
# STACK is one of constraints/: default, classic (torch 2.1) or forks (the onedl packages); VENV is
# .venv, .venv-classic or .venv-forks where none is given.
#
# mmcv's compiled operators load only under the torch they were built against, and pip's own cache
# does not know that. They are taken where they are: an mmcv in VENV whose operators load, or a wheel
# in PINAS_WHEELS (default ~/.cache/pinas_mm). Else they are built once, and the wheel is kept there,
# in a folder named after mmcv, torch, Python, machine and CPU, or CUDA and compute capability.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
stack=${STACK:-default}
pins=constraints/$stack.txt
[ -f "$pins" ] && [ "$stack" != libraries ] || {
  echo "there is no stack $stack: STACK is default, classic or forks" >&2
  exit 2
}
default_venv=.venv-$stack
venv=${1:-${default_venv%-default}}
python=${PYTHON:-python3}
kept=${PINAS_WHEELS:-${XDG_CACHE_HOME:-$HOME/.cache}/pinas_mm}
newest=12
[ "$stack" = classic ] && newest=11 # Newer ones have no torch 2.1.
stamp=$venv/.pinas_installed
gpus=$(nvidia-smi --query-gpu=name,compute_cap --format=csv,noheader 2>/dev/null || true)
wanted=$({ cat requirements/*.txt constraints/*.txt tools/install.sh pyproject.toml &&
  echo "$stack $gpus $PWD"; } | sha256sum)
if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$wanted" ]; then exit 0; fi

say() { printf '%s  %s\n' "$(date +%T)" "$*"; }
missing=()
stop_if_missing() {
  [ ${#missing[@]} -eq 0 ] && return
  printf 'missing: %s\n' "${missing[@]}" >&2
  exit 2
}

[ -x "$venv/bin/python" ] && python=$venv/bin/python
has=$("$python" -V 2>/dev/null) || true
"$python" -c "import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, $newest))" \
  2>/dev/null || {
  echo "the $stack stack is for Python 3.10 to 3.$newest, $python is ${has:-none}: set" \
    "PYTHON=/path/to/python3.11" >&2
  exit 2
}
"$python" -c 'import ensurepip' 2>/dev/null || [ "$python" = "$venv/bin/python" ] ||
  missing+=("Python's ensurepip, which makes environments (Debian: apt-get install python3-venv)")
stop_if_missing
[ -x "$venv/bin/python" ] || "$python" -m venv "$venv"
pip() { "$venv/bin/python" -m pip --disable-pip-version-check "$@"; }

# The forks' packages are of other names; the pins say their versions.
named() {
  if [ "$stack" = forks ]; then
    sed -E 's/^(mmcv|mmengine|mmpretrain|mmsegmentation)[^ ]*/onedl-\1/
      s/^mmdet[^ ]*/onedl-mmdetection/' "$@"
  else
    cat "$@"
  fi
}
# Else pip says so in the middle, in one of many lines. Not refused: a torch for CPUs takes 5 GB less.
room() { df -Pk "$1" | awk 'NR == 2 { print int($4 / 1048576) }'; }
unpacks=${TMPDIR:-/tmp}
if ! "$venv/bin/python" -c 'import torch' 2>/dev/null &&
  { [ "$(room "$venv")" -lt 11 ] || [ "$(room "$unpacks")" -lt 3 ]; }; then
  say "little room: with a torch for CUDA, which PyPI's is, the stack takes 8 GB in $venv (free:" \
    "$(room "$venv") GB), and pip 3 GB more in $unpacks while it unpacks (free: $(room "$unpacks") GB)"
fi

lists=$(mktemp -d)
trap 'rm -rf "$lists"' EXIT
named requirements/mmcv.txt >"$lists/mmcv.txt"
named requirements/{torch,build,runtime,det,seg,search,deploy,tests}.txt >"$lists/rest.txt"

say "torch and build tools of the $stack stack"
pip install --quiet -c "$pins" -r requirements/torch.txt -r requirements/build.txt

# device: cpu, or CUDA's or ROCm's version; key: what a wheel fits.
read -r device key < <("$venv/bin/python" - "$pins" <<'PY'
import platform, re, sys, torch
name, version = re.search(r"^(\S*mmcv)==(\S+)", open(sys.argv[1]).read(), re.M).groups()
build = f"cuda{torch.version.cuda}" if torch.version.cuda else f"rocm{torch.version.hip}"
device = build if torch.cuda.is_available() else "cpu"
cards = range(torch.cuda.device_count())
kinds = sorted({"sm%d%d" % torch.cuda.get_device_capability(card) for card in cards})
python = f"cp{sys.version_info[0]}{sys.version_info[1]}"
fits = [f"{name}-{version}", f"torch-{torch.__version__}", python, platform.machine(), device]
print(device, "_".join([*fits, *kinds]))
PY
)

# Whether an mmcv is installed whose operators load, and on a GPU run there.
works() {
  "$venv/bin/python" - "$device" <<'PY'
import sys
import torch
from mmcv.ops import get_compiling_cuda_version

built = get_compiling_cuda_version()
if sys.argv[1].startswith("cuda") and built == "not available":
    sys.exit("its operators are for CPUs alone")
PY
}

ask_for_compilers() {
  command -v "${CXX:-c++}" >/dev/null ||
    missing+=("a C++ compiler (Debian: apt-get install g++)")
  "$venv/bin/python" -c 'import os, sys, sysconfig
sys.exit(not os.path.isfile(os.path.join(sysconfig.get_path("include"), "Python.h")))' ||
    missing+=("the headers of $("$venv/bin/python" -V) (Debian: apt-get install python3-dev)")
  if [[ $device = cuda* ]]; then
    local nvcc=${CUDA_HOME:-${CUDA_PATH:-}}
    nvcc=${nvcc:+$nvcc/bin/}nvcc
    local has
    has=$("$nvcc" --version 2>/dev/null | sed -nE 's/.*release ([0-9]+).*/\1/p' || true)
    local needs=${device#cuda}
    [ "$has" = "${needs%%.*}" ] ||
      missing+=("nvcc of CUDA $needs, for which this torch is built (found: ${has:-none}): set \
CUDA_HOME, or put a prebuilt mmcv wheel into $kept")
  fi
  stop_if_missing
}

# What the user has in PINAS_WHEELS itself is for this torch, or it is said.
wheels=$kept/$key
own=("$kept"/*mmcv*.whl)
if ! ls "$wheels"/*mmcv-*.whl >/dev/null 2>&1; then
  if works >/dev/null 2>&1; then
    wheels=
    say "mmcv is in $venv already"
  elif [ -f "${own[0]}" ]; then
    wheels=$kept
  else
    ask_for_compilers
    say "compiling mmcv's operators (once, about 10 minutes on 2 cores) for $wheels"
    mkdir -p "$wheels"
    building=$(mktemp -d "$wheels/building.XXXXXX")
    # Where it builds, so that what is done can be counted.
    MMCV_WITH_OPS=1 MAX_JOBS=${MAX_JOBS:-$(nproc)} TMPDIR=$building pip wheel --quiet \
      --no-cache-dir --no-deps --no-build-isolation --wheel-dir "$building" -c "$pins" \
      -r "$lists/mmcv.txt" &
    builder=$! seconds=0
    trap 'kill "$builder" 2>/dev/null || true; rm -rf "$building" "$lists"' EXIT
    while kill -0 "$builder" 2>/dev/null; do
      sleep 2
      if [ $((seconds += 2)) -ge 30 ]; then
        seconds=0
        say "  $(find "$building" -name '*.o' 2>/dev/null | wc -l) source files are compiled"
      fi
    done
    wait "$builder"
    mv "$building"/*mmcv-*.whl "$wheels"/
    rm -rf "$building"
  fi
fi
if [ -n "$wheels" ]; then
  say "mmcv from $wheels"
  # The same version built for another torch counts as installed for pip.
  pip install --quiet --force-reinstall --no-deps "$wheels"/*mmcv-*.whl
fi

say "the OpenMMLab stack and the rest"
pip install --quiet -c "$pins" -r requirements/torch.txt -r "$lists/rest.txt"
fault=$(works 2>&1) || {
  echo "mmcv from ${wheels:-$venv} does not work with torch here: ${fault##*$'\n'}: remove it" >&2
  exit 2
}
# Its requirements are the originals' names, which would go over the forks.
pip install --quiet --no-deps --no-build-isolation --editable .
"$venv/bin/python" -c 'import pinas_mm; print("pinas_mm", pinas_mm.__version__)'
printf '%s' "$wanted" > "$stamp"
say "done: $venv"
