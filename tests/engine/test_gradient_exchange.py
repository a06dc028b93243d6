"""Gradients are averaged whatever else the processes exchange, and start from the same numbers."""

import datetime

import pytest
import torch
from mmengine.logging import MessageHub
from mmengine.model import BaseModel
from torch import distributed, multiprocessing, nn

from pinas_mm.engine import PathDataParallel

pytestmark = pytest.mark.slow


class Exchanged(torch.autograd.Function):
    """Sums something over the processes in the backward pass, as synchronized norms do."""

    @staticmethod
    def forward(ctx, x):
        return x.view_as(x)

    @staticmethod
    def backward(ctx, grad):
        total = grad.sum(0)
        distributed.all_reduce(total)
        return grad * total.isfinite()


class SyncBatchNorm(nn.Module):
    """PyTorch's wants a GPU; as mmcv's, it is no kind of that."""

    def forward(self, x):
        return Exchanged.apply(x)


class Gathering(nn.Module):
    """What no name tells."""

    def forward(self, x):
        return Exchanged.apply(x)


class Algorithm(BaseModel):
    """Has a parameter that the last process alone uses; some tensors do not lie in one piece."""

    def __init__(self, kind):
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.ModuleList(nn.Linear(4, 4) for _ in range(3))
        self.norm = kind()
        self.seldom = nn.Parameter(torch.ones(3))

    def step_paths(self, *state):
        return [None]

    def path_parameters(self, path):
        return list(self.parameters())

    def forward(self, x, mode="loss", last=False):
        for layer in self.layers:
            x = self.norm(layer(x))
        loss = x.square().sum()
        return dict(loss=loss + self.seldom.square().sum() if last else loss)


def gradients(model):
    return {n: p.grad for n, p in model.named_parameters()}


def start(rank, folder):
    torch.set_num_threads(1)
    distributed.init_process_group(
        "gloo",
        f"file://{folder}/store",
        rank=rank,
        world_size=2,
        timeout=datetime.timedelta(seconds=20),
    )
    hub = MessageHub.get_instance("exchange")
    hub.update_info("seed", 1)
    hub.update_info("iter", 0)


def synchronized(rank, folder):
    start(rank, folder)
    images = torch.randn(5, 4, generator=torch.Generator().manual_seed(rank))
    record = []
    for kind, options in ((SyncBatchNorm, {}), (Gathering, dict(overlap=False))):
        alone = Algorithm(nn.Identity)
        alone(images, last=rank == 1)["loss"].backward()
        model = Algorithm(kind)
        wrapped = PathDataParallel(model, bucket_mb=16 / 2**20, **options)
        wrapped(images, mode="loss", last=rank == 1)["loss"].backward()
        record.append((gradients(alone), gradients(model)))
    torch.save(record, f"{folder}/{rank}.pth")
    distributed.barrier()
    distributed.destroy_process_group()


def test_a_gradient_of_one_process_alone_beside_synchronized_norms(tmp_path):
    multiprocessing.spawn(synchronized, args=(str(tmp_path),), nprocs=2)
    for one, other in zip(
        *(torch.load(tmp_path / f"{rank}.pth") for rank in range(2)), strict=True
    ):
        assert one[0]["seldom"] is None
        for name, shared in one[1].items():
            own = one[0][name] if one[0][name] is not None else torch.zeros(3)
            torch.testing.assert_close(shared, (own + other[0][name]) / 2)
            assert torch.equal(shared, other[1][name])


def in_pieces(rank, folder):
    start(rank, folder)
    model = Algorithm(nn.Identity)
    whole = 10.0 * rank + torch.arange(24.0)
    model.turned = nn.Parameter(whole[:12].clone().view(3, 4).t())
    model.register_buffer("every_second", whole[12:][::2])
    PathDataParallel(model)
    torch.save((model.turned, model.every_second, whole[12:]), f"{folder}/{rank}.pth")
    distributed.barrier()
    distributed.destroy_process_group()


def test_tensors_that_do_not_lie_in_one_piece_start_as_rank_0s(tmp_path):
    multiprocessing.spawn(in_pieces, args=(str(tmp_path),), nprocs=2)
    for rank in range(2):
        turned, every_second, whole = torch.load(tmp_path / f"{rank}.pth")
        assert torch.equal(turned, torch.arange(12.0).view(3, 4).t())
        assert turned.stride() == (1, 4)
        assert torch.equal(every_second, torch.arange(12.0, 24.0)[::2])
        # What lies between them is nobody's to change.
        assert torch.equal(whole[1::2], 10.0 * rank + torch.arange(12.0, 24.0)[1::2])
