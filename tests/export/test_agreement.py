"""What does not compute what PyTorch does is refused."""

import pytest
import torch
from deployed import photographs, trained

from pinas_mm.errors import UserError
from pinas_mm.export import Deployable, write_onnx, write_torchscript
from pinas_mm.export.agreement import largest_difference
from pinas_mm.models import PiNASBackbone


@pytest.fixture
def deployable(space):
    return Deployable.of(trained(PiNASBackbone("31-2", space)))


def difference(deployable, run):
    return largest_difference(deployable, run, 32, "it")


def test_the_network_itself_agrees(deployable):
    assert difference(deployable, deployable.module) == 0


def shifted(deployable, by):
    return lambda images: [out + by * max(1, out.abs().max()) for out in deployable.module(images)]


def test_differences_are_over_the_largest_value(deployable):
    assert deployable.module(photographs("val", 1, 3, 32, 32))[0].max() > 1
    assert difference(deployable, shifted(deployable, 5e-5)) == pytest.approx(5e-5, rel=0.1)
    with pytest.raises(
        UserError, match=r"^it is not written: at 1 x 3 x 32 x 32 it .* by 2\.0e-04"
    ):
        difference(deployable, shifted(deployable, 2e-4))


def test_small_outputs_are_compared_as_they_are(deployable):
    for stage in deployable.module.stages:
        stage[-1].register_forward_hook(lambda module, images, out: out * 1e-3)
    assert deployable.module(photographs("val", 1, 3, 32, 32))[0].max() < 0.1
    assert difference(deployable, shifted(deployable, 5e-5)) == pytest.approx(5e-5, rel=0.01)


@pytest.mark.parametrize(("fault", "said"), [(1.0, r"\d\.\de-01"), (float("nan"), "inf")])
def test_one_fault_in_one_output_at_the_odd_size_is_found(deployable, fault, said):
    def run(images):
        outputs = [out.clone() for out in deployable.module(images)]
        if images.shape[-1] % 2:
            outputs[1][2, 3, -1, -1] += fault
        return outputs

    with pytest.raises(UserError, match=rf"at 3 x 3 x 25 x 41 it differs from PyTorch by {said}"):
        difference(deployable, run)


def test_a_size_fixed_by_tracing_is_found(deployable):
    def run(images):
        return deployable.module(images[..., :32, :32])

    with pytest.raises(UserError, match="at 3 x 3 x 25 x 41 it has other shapes than PyTorch's"):
        difference(deployable, run)


def test_broken_weights_are_refused_and_nothing_is_written(deployable, tmp_path):
    deployable.module.bn1.running_var.fill_(float("nan"))
    with pytest.raises(UserError, match="values are not finite"):
        write_torchscript(tmp_path / "a.pt", deployable, 32)
    assert not list(tmp_path.iterdir())


class BatchFixed(torch.nn.Module):
    """What tracing takes for a constant."""

    def forward(self, x):
        return torch.cat([x, torch.zeros(len(x), 1, x.shape[2], x.shape[3])], dim=1)


@pytest.mark.parametrize("write", [write_onnx, write_torchscript])
def test_a_file_that_does_not_run_is_refused(tmp_path, write):
    with pytest.raises(UserError, match="is not written: at 1 x 3 x 32 x 32 it fails, as"):
        write(tmp_path / "a", Deployable(BatchFixed(), ("stage1",), 3, {}), 32)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("write", [write_onnx, write_torchscript])
def test_a_size_that_leaves_no_pixel_is_refused_by_its_name(tmp_path, write):
    patches = Deployable(torch.nn.Conv2d(3, 4, 4, 4), ("stage1",), 3, {})
    with pytest.raises(UserError, match=r"fails at 1 x 3 x 1 x 1 .*: is --size 1 too small"):
        write(tmp_path / "a", patches, 1)
    with pytest.raises(UserError, match=r"fails at 3 x 3 x 3 x 7 .*: is --size 5 too small"):
        write(tmp_path / "a", patches, 5)
    assert not list(tmp_path.iterdir())
    assert write(tmp_path / "a", patches, 6) < 1e-4


def test_one_pixel_is_compared_where_the_network_takes_it(tmp_path):
    backbone = PiNASBackbone("00", dict(depths=(1, 1), widths=(16, 32), strides=(1, 2)))
    assert write_torchscript(tmp_path / "a.pt", Deployable.of(trained(backbone)), 1) < 1e-4


@pytest.mark.parametrize("channels", [1, 3, 5])
def test_images_are_smooth_normalized_and_the_same_each_time(channels):
    mean, std = [120.0] * channels, [60.0] * channels
    seen = []

    def compare(known):
        network = Deployable(torch.nn.Identity(), ("stage1",), channels, known)
        return largest_difference(network, lambda images: seen.append(images) or images, 64, "it")

    assert compare({}) == compare({}) == compare(dict(mean=mean, std=std)) == 0
    first, second, normalized = seen[::2]
    assert torch.equal(first, second)
    for images in seen[:2]:
        assert images.mean((0, 2, 3)).abs().max() < 1e-5
        torch.testing.assert_close(images.std((0, 2, 3), correction=0), torch.ones(channels))
    pixels = normalized * 60 + 120
    assert pixels.min() >= 0
    assert pixels.max() <= 255
    # Of noise without areas it would be as large as the deviation itself.
    assert (first[..., 1:] - first[..., :-1]).abs().mean() < 0.3
