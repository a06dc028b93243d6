"""Zero-cost measures on made networks whose values are computed by hand."""

import math

import pytest
import torch
from evaluations import assert_unchanged, snapshot
from spaces import SPACES, archs
from torch import nn
from torch.nn import functional as F

from pinas_mm.analysis.zero_cost import grad_norm, naswot, synflow
from pinas_mm.errors import UserError
from pinas_mm.models import PiNASBackbone, PiNASSupernet
from pinas_mm.models.cost import Part
from pinas_mm.registry import MODELS
from pinas_mm.weights.initializers import load_subnet


def shaken(network, seed=0):
    """All weights moved, zeros and ones of norms too; in training mode."""
    random = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=random))
    return network.train()


def images(number, side=16, seed=1):
    return torch.randn(number, 3, side, side, generator=torch.Generator().manual_seed(seed))


class TestSynFlow:
    def test_two_linear_layers_by_hand(self):
        first, second = torch.tensor([[1.0, -2.0], [3.0, 0.5]]), torch.tensor([[-4.0, 2.0]])
        network = nn.Sequential(
            nn.Flatten(), nn.Linear(2, 2, bias=False), nn.ReLU(), nn.Linear(2, 1, bias=False)
        )
        with torch.no_grad():
            network[1].weight.copy_(first)
            network[3].weight.copy_(second)
        # R = 4 (1 + 2) + 2 (3 + 0.5) = 19, and each layer's sum is R.
        assert synflow(network, (1, 1, 2)) == pytest.approx(math.log(2 * 19), rel=1e-12)
        with torch.no_grad():
            network[3].weight.neg_()
            network[1].weight.mul_(10)
        assert synflow(network, (1, 1, 2)) == pytest.approx(math.log(2 * 190), rel=1e-12)

    def test_a_convolution_and_a_bias_by_hand(self):
        network = nn.Conv2d(2, 1, 3, padding=1)
        with torch.no_grad():
            network.weight.fill_(-0.5)
            network.bias.fill_(-3.0)
        # On 3 x 3 ones: 4 corners see 4 pixels, 4 edges 6, the middle 9; the bias is in all nine.
        flow = 0.5 * 2 * (4 * 4 + 4 * 6 + 9) + 3 * 9
        assert synflow(network, (2, 3, 3)) == pytest.approx(math.log(flow), rel=1e-12)

    @pytest.mark.parametrize("norm", [nn.BatchNorm2d, lambda c: nn.GroupNorm(2, c)])
    def test_norms_are_taken_out(self, norm):
        conv = nn.Conv2d(3, 4, 3)
        network = shaken(nn.Sequential(conv, norm(4), nn.ReLU()))
        assert synflow(network, (3, 8, 8)) == synflow(nn.Sequential(conv, nn.ReLU()), (3, 8, 8))

    def test_beyond_what_float32_holds(self):
        layers = [nn.Linear(1, 1, bias=False) for _ in range(20)]
        for layer in layers:
            nn.init.constant_(layer.weight, 1e10)
        flow = synflow(nn.Sequential(*layers), (1, 1, 1))
        assert flow == pytest.approx(math.log(20) + 200 * math.log(10), rel=1e-6)

    @pytest.mark.parametrize("name", ["resnest", "mixed", "mobilenet_skips", "convnext"])
    @pytest.mark.parametrize("options", [{}, dict(with_cp=True)])
    def test_a_path_has_what_the_stand_alone_network_of_its_weights_has(self, name, options):
        space = SPACES[name]
        supernet = shaken(PiNASSupernet(space, **options))
        before = snapshot(supernet)
        found = set()
        for arch in archs(space, 3):
            alone = PiNASBackbone(arch, space)
            load_subnet(alone, supernet.state_dict(), "the supernet")
            expected = synflow(alone, (3, 32, 32))
            with supernet.on(arch):
                assert synflow(supernet, (3, 32, 32)) == pytest.approx(expected, rel=1e-12)
            part = Part(supernet.path_modules(arch), lambda x, arch=arch: supernet(x, arch))
            assert synflow(part, (3, 32, 32)) == pytest.approx(expected, rel=1e-12)
            found.add(expected)
        assert len(found) == 3
        assert_unchanged(supernet, before)

    @pytest.mark.parametrize("value", [0.0, math.nan, 1e300])
    def test_what_has_no_logarithm_is_one_line(self, value):
        network = nn.Sequential(*(nn.Linear(1, 1, bias=False).double() for _ in range(2)))
        for layer in network:
            nn.init.constant_(layer.weight, value)
        with pytest.raises(UserError, match="SynFlow of the Sequential is the logarithm of"):
            synflow(network, (1, 1, 1))

    def test_a_network_without_weights_is_one_line(self):
        with pytest.raises(UserError, match=r"logarithm of 0"):
            synflow(nn.Identity(), (1, 2, 2))


def kernel(codes):
    """The plain way: for each two images, how many units are in the same state."""
    return torch.tensor([[float((a == b).sum()) for b in codes] for a in codes]).double()


class TestNASWOT:
    def test_a_hand_made_kernel(self):
        network = nn.Sequential(nn.Flatten(), nn.Linear(3, 24), nn.ReLU(inplace=True))
        inputs = images(4, side=1)
        codes = F.linear(inputs.flatten(1), network[1].weight, network[1].bias) > 0
        expected = torch.linalg.slogdet(kernel(codes))[1]
        assert len(codes.unique(dim=0)) == 4
        assert naswot(network, inputs) == pytest.approx(float(expected), rel=1e-10)

    @pytest.mark.parametrize("kind", [nn.ReLU6, nn.LeakyReLU, nn.GELU, nn.SiLU, nn.Hardswish])
    def test_modules_of_its_kind_switch_where_it_does(self, kind):
        conv = nn.Conv2d(3, 4, 3)
        assert naswot(nn.Sequential(conv, kind()), images(4)) == naswot(
            nn.Sequential(conv, nn.ReLU()), images(4)
        )

    def test_batch_norms_use_the_images_and_do_not_count_them(self):
        network = shaken(nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU()))
        network[1].running_mean.fill_(1e3)
        with torch.no_grad():
            codes = (network.train()(images(5)) > 0).flatten(1)
        before = snapshot(network.eval())
        expected = torch.linalg.slogdet(kernel(codes))[1]
        assert naswot(network, images(5)) == pytest.approx(float(expected), rel=1e-10)
        assert_unchanged(network, before)

    def test_equal_images_are_very_low_and_finite(self):
        network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())
        different, inputs = naswot(network, images(4)), images(4)
        inputs[3] = inputs[0]
        equal = naswot(network, inputs)
        assert -math.inf < equal < different - 20
        assert naswot(network, inputs.flip(0)) == pytest.approx(equal, abs=1e-6)

    def test_refusals(self):
        with pytest.raises(UserError, match="got 1: give at least 2"):
            naswot(nn.ReLU(), images(1))
        with pytest.raises(UserError, match="the network runs none: of ReLU, ReLU6"):
            naswot(nn.Conv2d(3, 4, 3), images(2))


class TestGradNorm:
    def test_by_hand(self):
        network = nn.Linear(2, 1)
        inputs = torch.tensor([[3.0, 4.0], [3.0, 4.0]])
        # The weight's gradient is (3, 4), the bias's 1.
        assert grad_norm(network(inputs).mean(), network.parameters()) == pytest.approx(6.0)
        assert network.weight.grad is None

    def test_as_a_backward_pass_has_it(self):
        network = shaken(nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU()))
        unused = nn.Parameter(torch.ones(3))
        loss = network(images(4)).square().mean()
        found = grad_norm(loss, [*network.parameters(), unused])
        network(images(4)).square().mean().backward()
        expected = sum(float(p.grad.norm()) for p in network.parameters())
        assert found == pytest.approx(expected, rel=1e-5)


def test_an_exported_backbone_is_measured_by_itself():
    backbone = MODELS.build(
        dict(type="pinas_mm.PiNASBackbone", arch="00-0", space=SPACES["resnest"].to_dict())
    )
    before = snapshot(backbone)
    first = synflow(backbone, (3, 32, 32)), naswot(backbone, images(6, 32))
    assert first == (synflow(backbone, (3, 32, 32)), naswot(backbone, images(6, 32)))
    assert_unchanged(backbone, before)
    assert all(map(math.isfinite, first))
