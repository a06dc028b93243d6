#!/usr/bin/env bash
# Trains on several GPUs of one machine, or of many (NNODES, NODE_RANK, MASTER_ADDR, PORT):
#   tools/dist_train.sh CONFIG GPUS [options of tools/train.py]
set -euo pipefail
[ $# -ge 2 ] || { echo "usage: tools/dist_train.sh CONFIG GPUS [options of tools/train.py]" >&2; exit 2; }
config=$1 gpus=$2
shift 2
tools=$(dirname "${BASH_SOURCE[0]}")
exec "${PYTHON:-python}" "$tools/torchrun.py" \
  --nnodes="${NNODES:-1}" --node_rank="${NODE_RANK:-0}" --nproc_per_node="$gpus" \
  --master_addr="${MASTER_ADDR:-127.0.0.1}" --master_port="${PORT:-29500}" \
  "$tools/train.py" "$config" --launcher pytorch "$@"
