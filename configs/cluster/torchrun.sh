#!/usr/bin/env bash
# Start this on every node, with its own NODE_RANK (0 on HEAD, then 1, 2, …) and otherwise the same words; see
# docs/cluster.md:
#   HEAD=10.0.0.1 NODES=2 DEVICES=8 NODE_RANK=0 configs/cluster/torchrun.sh fit --config configs/base.yaml \
#     --config configs/data/cifar10.yaml --config configs/model/resnet20.yaml --config configs/cluster/ddp.yaml
# HEAD         address of node 0, as the other nodes reach it
# NODES        number of nodes; NODE_RANK the number of this one
# DEVICES      devices of each node, one process for each
# PORT         port that is free on HEAD (29500)
# JOIN_TIMEOUT seconds to wait for nodes that have not come (300)
# INTERFACE    network interface between the nodes, such as eth0 or ib0; found by the libraries if not given
set -euo pipefail
: "${HEAD:?is the address of node 0}" "${NODES:?is the number of nodes}" "${DEVICES:?is the devices of each node}"
: "${NODE_RANK:?is the number of this node, from 0}"
cd "$(dirname "$0")/../.."
if [ -n "${INTERFACE:-}" ]; then
  export GLOO_SOCKET_IFNAME="$INTERFACE" NCCL_SOCKET_IFNAME="$INTERFACE"
fi
# A fixed address, not torchrun's --rdzv-endpoint: with that, the node of rank 0 is known to the others by its host name
# only, which they can often not resolve.
exec "${PYTHON:-.venv/bin/python}" -m torch.distributed.run \
  --nnodes "$NODES" --node-rank "$NODE_RANK" --nproc-per-node "$DEVICES" \
  --master-addr "$HEAD" --master-port "${PORT:-29500}" --rdzv-conf "timeout=${JOIN_TIMEOUT:-300}" \
  main.py "$@" --trainer.num_nodes "$NODES" --trainer.devices "$DEVICES"
