"""Recomputed statistics equal a computation by hand, and the network is left as it was."""

import pytest
import torch
from torch import distributed, multiprocessing, nn
from torch.nn import functional as F

from pinas_mm.models.batch_norm import Statistics, batch_statistics, uncounted_batches

BATCHES = list(torch.randn(5, 6, 4, 3, 3, generator=torch.Generator().manual_seed(0)) * 3 + 1)


@pytest.fixture
def network():
    """Two batch norms that a run uses, one in evaluation mode, and one that no run uses."""
    torch.manual_seed(0)
    used = nn.Sequential(nn.BatchNorm2d(4), nn.Conv2d(4, 5, 1), nn.BatchNorm2d(5, momentum=0.3))
    network = nn.ModuleDict({"used": used, "other": nn.BatchNorm2d(2)})
    for norm in (used[0], used[2], network["other"]):
        norm.running_mean.normal_()
        norm.running_var.uniform_(1, 2)
        norm.num_batches_tracked.fill_(7)
    used[2].eval()
    return network


def test_a_device_is_waited_for_once(network, monkeypatch):
    before, read = state(network), []

    def number(tensor):
        read.append(tensor)
        return 0.0

    monkeypatch.setattr(torch.Tensor, "__float__", number)
    monkeypatch.setattr(torch.Tensor, "item", number)
    # No batch: of the norms' own, each reads its count too.
    Statistics(network, network["used"], [])
    assert not read
    monkeypatch.undo()
    assert_state(network, before)


def test_a_network_without_batch_norms_has_none_to_recompute():
    network = nn.Conv2d(1, 1, 1)
    before = state(network)
    with Statistics(network, network, [torch.zeros(1, 1, 2, 2)]).applied():
        assert_state(network, before)


def state(network):
    modes = [(name, module.training) for name, module in network.named_modules()]
    momenta = [m.momentum for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
    buffers = {name: value.clone() for name, value in network.state_dict().items()}
    return modes, momenta, buffers


def assert_state(network, before):
    modes, momenta, buffers = state(network)
    assert (modes, momenta) == before[:2]
    assert all(torch.equal(buffers[name], before[2][name]) for name in before[2])


def by_hand(network):
    """Mean of each batch's mean and unbiased variance at the inputs of both norms."""
    first, conv, _ = network["used"]
    inputs = [[], []]
    for batch in BATCHES:
        normal = F.batch_norm(batch, None, None, first.weight, first.bias, training=True)
        inputs[0].append(batch)
        inputs[1].append(conv(normal))
    means = [torch.stack([x.mean((0, 2, 3)) for x in xs]).mean(0) for xs in inputs]
    variances = [torch.stack([x.var((0, 2, 3)) for x in xs]).mean(0) for xs in inputs]
    return list(zip(means, variances, strict=True))


def test_statistics_equal_a_computation_by_hand(network):
    with torch.no_grad():
        expected = by_hand(network)
    before = state(network)
    statistics = Statistics(network, network["used"], BATCHES)
    assert_state(network, before)
    with statistics.applied():
        for norm, (mean, variance) in zip(network["used"][::2], expected, strict=True):
            torch.testing.assert_close(norm.running_mean, mean)
            torch.testing.assert_close(norm.running_var, variance)
            assert int(norm.num_batches_tracked) == len(BATCHES)
        assert torch.equal(network["other"].running_mean, before[2]["other.running_mean"])
    assert_state(network, before)
    statistics.write()
    torch.testing.assert_close(network["used"][0].running_mean, expected[0][0])
    assert torch.equal(network["other"].running_var, before[2]["other.running_var"])


class Sometimes(nn.Module):
    """Its second norm runs on bright batches alone, its third on none."""

    def __init__(self):
        super().__init__()
        self.norms = nn.ModuleList(nn.BatchNorm2d(4) for _ in range(3))

    def forward(self, x):
        self.norms[0](x)
        if x.mean() > 0:
            self.norms[1](x)


def batches_of(rank):
    """Both processes have a dark batch; the first has a bright one more, the second three."""
    random = torch.Generator().manual_seed(rank)
    means = ([-9, 9], [-9, 9, 9, 9], [-9], [-9])[rank]
    return [torch.randn(6, 4, 3, 3, generator=random) + mean for mean in means]


def statistics_of(rank, folder, first):
    """What a process of two has of its batches and the other's."""
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", f"file://{folder}/store", rank=rank, world_size=2)
    networks = [Sometimes(), nn.Conv2d(4, 4, 1)]
    # The second has no batch norm at all.
    for network in networks:
        Statistics(network, network, batches_of(first + rank)).write()
    torch.save(networks[0].state_dict(), f"{folder}/{rank}.pth")
    distributed.barrier()
    distributed.destroy_process_group()


@pytest.mark.slow
@pytest.mark.parametrize("first", [0, 1, 2])
def test_norms_that_run_in_some_processes_alone_are_averaged_over_their_batches(tmp_path, first):
    multiprocessing.spawn(statistics_of, args=(str(tmp_path), first), nprocs=2)
    one, other = (torch.load(tmp_path / f"{rank}.pth") for rank in range(2))
    batches = batches_of(first) + batches_of(first + 1)
    untouched = Sometimes().state_dict()
    for number, seen in enumerate((batches, [x for x in batches if x.mean() > 0], [])):
        for name, of in (("mean", torch.mean), ("var", torch.var)):
            key = f"norms.{number}.running_{name}"
            assert torch.equal(one[key], other[key])
            expected = [of(x, (0, 2, 3)) for x in seen]
            expected = torch.stack(expected).mean(0) if seen else untouched[key]
            torch.testing.assert_close(one[key], expected)


def test_an_error_on_the_way_leaves_the_network_as_it_was(network):
    before = state(network)

    def fail(batch):
        network["used"](batch)
        raise KeyError("stop")

    with pytest.raises(KeyError):
        Statistics(network, fail, BATCHES)
    assert_state(network, before)
    with pytest.raises(KeyError), Statistics(network, network["used"], BATCHES).applied():
        raise KeyError("stop")
    assert_state(network, before)


def test_inside_batch_statistics_a_batch_normalizes_itself(network):
    before = state(network)
    with batch_statistics(network):
        out = network["used"](BATCHES[0])
        assert not out.requires_grad
        torch.testing.assert_close(out.mean((0, 2, 3)), torch.zeros(5), atol=1e-5, rtol=0)
    assert_state(network, before)


def test_uncounted_batches_leave_statistics_and_change_no_gradient(network):
    network.train()
    norm = network["used"][2]
    before = state(network)
    grads = []
    for context in (uncounted_batches(network), torch.enable_grad()):
        norm.weight.grad = None
        with context:
            out = network["used"](BATCHES[0])
        out.square().sum().backward()
        grads.append(norm.weight.grad)
        if len(grads) == 1:
            assert_state(network, before)
    assert torch.equal(*grads)
    assert int(norm.num_batches_tracked) == 8
