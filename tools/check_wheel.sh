#!/usr/bin/env bash
# The wheel as a stranger has it: [STACK=classic] tools/check_wheel.sh VENV
#
# Makes an environment in a temporary folder with the torch and the compiled mmcv of VENV, which
# `make install` has made, and what else the wheel itself requires (the classic stack's pins, where
# STACK says so). There it trains a supernet and a classifier, searches, exports, and trains a
# detector whose config inherits from an installed one, all in a few iterations.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
stack=${STACK:-default}
case $stack in default | classic) ;; *)
  echo "STACK is $stack: the wheel requires the originals of the forks' packages" >&2
  exit 2
  ;;
esac
python=$(cd "$1" && pwd)/bin/python
kept=${PINAS_WHEELS:-${XDG_CACHE_HOME:-$HOME/.cache}/pinas_mm}
key=$("$python" -c 'import sys, torch
print(f"torch-{torch.__version__}_cp{sys.version_info[0]}{sys.version_info[1]}")')
mmcv=$(find "$kept" -path "*$key*" -name 'mmcv-*.whl' -print -quit)
[ -n "$mmcv" ] || {
  echo "no mmcv wheel for $key in $kept: make install compiles one" >&2
  exit 2
}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
pins=$PWD/constraints/$stack.txt
if [ "$stack" = default ]; then
  pins=$folder/torch.txt
  grep -E '^torch(vision)?==' constraints/default.txt >"$pins"
fi

"$python" -m venv "$folder/env"
pip() { "$folder/env/bin/python" -m pip --disable-pip-version-check --quiet "$@"; }
# Built in the clone it would have what another build has left there.
mkdir "$folder/source"
git ls-files -z | xargs -0 cp -d --parents -t "$folder/source"
pip wheel --no-deps --wheel-dir "$folder/dist" "$folder/source"
pip install -c "$pins" torch torchvision 'setuptools<82'
pip install -c "$pins" "$mmcv"
pip install -c "$pins" "$(ls "$folder"/dist/pinas_mm-*.whl)[search,det]"
export PINAS_DATA=$folder/data PATH=$folder/env/bin:$PATH
pinas-prepare-digits "$folder/data" --layouts fragments coco --train 100 --val 20
mkdir "$folder/work" && cd "$folder/work"
few=(train_cfg.max_epochs=2 train_dataloader.dataset.dataset.indices=64)
pinas-train pinas_mm::demo/digits_supernet.py --cfg-options "${few[@]}"
pinas-train pinas_mm::demo/digits_linear.py --cfg-options "${few[@]}"
pinas-search pinas_mm::demo/digits_search.py work_dirs/digits_linear --trials 2 \
  --cfg-options search.calibration_batches=2 search.calibration_dataloader.batch_size=10
pinas-export --best work_dirs/digits_search --supernet work_dirs/digits_supernet --out winner.pth
cat >detector.py <<PY
_base_ = ["pinas_mm::demo/transfer_mask_rcnn.py"]
arch = "$(cat work_dirs/digits_search/best.txt)"
model = dict(backbone=dict(arch=arch, init_cfg=dict(type="Pretrained", checkpoint="winner.pth")))
train_cfg = dict(max_iters=2)
PY
pinas-train detector.py
[ -f work_dirs/detector/iter_2.pth ]
python -c 'import mmcv, numpy, torch
print(f"the wheel works: torch {torch.__version__}, mmcv {mmcv.__version__}, NumPy {numpy.__version__}")'
