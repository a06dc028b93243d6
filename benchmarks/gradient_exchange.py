#!/usr/bin/env python
"""Counts what two processes exchange in training steps, by our wrapper and by PyTorch's.

    python benchmarks/gradient_exchange.py [--out FILE.json] [--steps 5]

The paper's supernet (configs/pinas_supernet.py) takes real steps in two gloo processes, on images
of 32 pixels: the bytes of gradients do not depend on the images.
"""

import argparse
import json
import statistics
import sys
import tempfile
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPOSITORY))

import torch
from mmengine.config import Config
from mmengine.logging import MessageHub
from mmengine.optim import OptimWrapper
from mmengine.registry import init_default_scope
from results import facts
from rich.console import Console
from rich.table import Table
from torch import distributed, multiprocessing
from torch.distributed.algorithms.ddp_comm_hooks import default_hooks

from pinas_mm.engine import CPUDistributedDataParallel, PathDataParallel
from pinas_mm.files import write_json
from pinas_mm.registry import MODELS

WRAPPERS = ("PathDataParallel", "DistributedDataParallel")


def sent(rank: int, folder: str, steps: int) -> None:
    """Bytes that a process gives to each step's exchanges, by wrapper; rank 0 writes them."""
    torch.set_num_threads(1)
    init_default_scope("mmpretrain")
    distributed.init_process_group("gloo", f"file://{folder}/store", rank=rank, world_size=2)
    found = {name: _of(name, steps) for name in WRAPPERS}
    if rank == 0:
        write_json(f"{folder}/sent.json", found)
    distributed.barrier()
    distributed.destroy_process_group()


def _of(name: str, steps: int) -> list[int]:
    torch.manual_seed(0)
    model = MODELS.build(Config.fromfile(REPOSITORY / "configs/pinas_supernet.py").model)
    counts: list[int] = []
    plain = distributed.all_reduce
    if name == "PathDataParallel":
        wrapped = PathDataParallel(model)

        def counted(tensor: torch.Tensor, *args: object, **options: object) -> object:
            counts[-1] += tensor.nbytes
            return plain(tensor, *args, **options)

        distributed.all_reduce = counted
    else:
        # What it needs where a step leaves parameters unused.
        options = dict(find_unused_parameters=True, broadcast_buffers=False)
        wrapped = CPUDistributedDataParallel(model, **options)

        def hook(_: object, bucket: distributed.GradBucket) -> torch.futures.Future[torch.Tensor]:
            counts[-1] += bucket.buffer().nbytes
            return default_hooks.allreduce_hook(None, bucket)

        wrapped.register_comm_hook(None, hook)
    optimizer = OptimWrapper(torch.optim.SGD(model.parameters(), lr=0.01))
    hub = MessageHub.get_instance(name)
    hub.update_info("seed", 0)
    images = [torch.randint(0, 256, (3, 32, 32), dtype=torch.uint8) for _ in range(2)]
    for step in range(steps):
        hub.update_info("iter", step)
        counts.append(0)
        wrapped.train().train_step(dict(inputs=images), optimizer)
    distributed.all_reduce = plain
    return counts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--out", help="file for the figures, as JSON")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        multiprocessing.spawn(sent, args=(folder, args.steps), nprocs=2)
        found = json.loads(Path(folder, "sent.json").read_text())
    means = {name: statistics.mean(found[name]) for name in WRAPPERS}
    ours, theirs = means.values()
    table = Table("wrapper", "MB a step")
    for name, mean in means.items():
        table.add_row(name, f"{mean / 1e6:.1f}")
    Console().print(table, f"{100 * ours / theirs:.0f} % of the bytes")
    if args.out:
        write_json(args.out, facts(__file__) | dict(bytes=found, share=ours / theirs))


if __name__ == "__main__":
    main()
