"""A path through the supernet runs its own modules only and equals the stand-alone network."""

import numpy as np
import pytest
import torch
from torch import nn

from pinas_mm.errors import UserError
from pinas_mm.models import PiNASBackbone, PiNASSupernet
from pinas_mm.operations.split_attention import SplitAttentionBlock
from pinas_mm.space import SearchSpace


def randomized(module):
    torch.manual_seed(0)
    with torch.no_grad():
        for tensor in module.parameters():
            tensor.uniform_(-0.5, 0.5)
    return module


def selected(supernet, arch):
    """A path's weights under the stand-alone network's names: the candidate index left out."""
    state = {}
    for key, value in supernet.state_dict().items():
        parts = key.split(".")
        if parts[0].startswith("layer"):
            stage, block, choice = int(parts[0][5:]) - 1, int(parts[1]), int(parts[2])
            number = sum(supernet.space.depths[:stage]) + block
            if choice != arch[number]:
                continue
            del parts[2]
        state[".".join(parts)] = value
    return state


@pytest.mark.parametrize("seed", range(4))
def test_a_path_equals_the_stand_alone_network(space, seed):
    arch = space.random(np.random.default_rng(seed))
    supernet = randomized(PiNASSupernet(space, out_indices=(0, 1)))
    alone = PiNASBackbone(arch, space)
    x = torch.randn(3, 3, 33, 47)
    for train in (True, False):
        alone.load_state_dict(selected(supernet, arch))
        for one, other in zip(supernet.train(train)(x, arch), alone.train(train)(x), strict=True):
            torch.testing.assert_close(one, other)


def test_only_a_path_runs_and_only_a_path_learns(space):
    supernet = PiNASSupernet(space)
    ran = set()
    for name, module in supernet.named_modules():
        module.register_forward_hook(lambda *_, name=name: ran.add(name))
    supernet(torch.randn(2, 3, 32, 32), "13-0")[0].sum().backward()
    blocks = {name for name in ran if isinstance(supernet.get_submodule(name), SplitAttentionBlock)}
    assert blocks == {"layer1.0.1", "layer1.1.3", "layer2.0.0"}
    touched = {id(p) for m in supernet.path_modules(space.arch("130")) for p in m.parameters()}
    for parameter in supernet.parameters():
        assert (parameter.grad is not None) == (id(parameter) in touched)


def test_what_comes_after_the_last_stage_returned_is_on_no_path(space):
    supernet = PiNASSupernet(space, out_indices=(0,))
    supernet(torch.randn(2, 3, 32, 32), "13-0")[0].sum().backward()
    modules = supernet.path_modules(space.arch("13-0"))
    assert modules == list(dict.fromkeys(modules))
    along = [p for module in modules for p in module.parameters()]
    assert {id(p) for p in supernet.parameters() if p.grad is not None} == {id(p) for p in along}


def test_a_steps_work_does_not_grow_with_the_number_of_candidates(space):
    def work(number):
        """Modules run and tensors with gradient or changed statistics in a step."""
        wide = {**space.to_dict(), "candidates": [(2, 1, 64)] * number}
        supernet = PiNASSupernet(wide)
        ran = []
        for module in supernet.modules():
            module.register_forward_hook(lambda module, *_: ran.append(type(module)))
        supernet(torch.randn(2, 3, 32, 32), [number - 1] * 3)[0].sum().backward()
        grads = [p.shape for p in supernet.parameters() if p.grad is not None]
        norms = [m for m in supernet.modules() if isinstance(m, nn.BatchNorm2d)]
        return ran, grads, sum(int(norm.num_batches_tracked) for norm in norms)

    assert work(2) == work(8)


def test_all_paths_agree_at_the_start(space):
    supernet = PiNASSupernet(space)
    supernet.init_weights()
    x = torch.randn(2, 3, 32, 32)
    for train in (True, False):
        outs = [supernet.train(train)(x, [choice] * 3)[0] for choice in range(4)]
        assert all(torch.equal(out, outs[0]) for out in outs)
    assert outs[0].std() > 0


def test_the_shortcut_is_one_module_for_all_candidates(space):
    supernet = PiNASSupernet(space)
    assert len({id(candidate.downsample) for candidate in supernet.layer1[0]}) == 1
    assert supernet.layer1[0][0].downsample is not supernet.layer2[0][0].downsample
    keys = [key for key in supernet.state_dict() if key.startswith("layer2.0.")]
    assert sum(key.endswith("downsample.1.weight") for key in keys) == 4


def test_keys_and_size_are_the_releases():
    with torch.device("meta"):
        supernet = PiNASSupernet()
    keys = supernet.state_dict().keys()
    for key in (
        "conv1.0.weight",
        "conv1.6.weight",
        "bn1.running_mean",
        "layer1.0.2.conv2.fc1.weight",
        "layer1.0.2.conv2.bn0.weight",
        "layer4.2.3.bn3.bias",
        "layer3.0.1.downsample.1.weight",
    ):
        assert key in keys
    assert sum(parameter.numel() for parameter in supernet.parameters()) == 91_522_388


@pytest.mark.parametrize("size", [1, 5, 32, 33])
def test_sizes_round_up(space, size):
    out = PiNASSupernet(space).eval()(torch.randn(2, 3, size, 2 * size), "000")[0]
    assert out.shape == (2, 32, -(-size // 8), -(-2 * size // 8))


def test_the_paths_text_is_checked(space):
    with pytest.raises(UserError, match="4 at block 1"):
        PiNASSupernet(space)(torch.zeros(1, 3, 32, 32), "04-0")


@pytest.mark.parametrize("frozen", [0, 1, 2])
def test_frozen_stages_neither_learn_nor_count(space, frozen):
    supernet = PiNASSupernet(space, frozen_stages=frozen).train()
    before = {key: value.clone() for key, value in supernet.state_dict().items()}
    fixed = ("conv1.", "bn1.", *(f"layer{stage + 1}." for stage in range(frozen)))
    out = supernet(torch.randn(2, 3, 32, 32, requires_grad=True), "123")[0]
    out.sum().backward()
    for name, parameter in supernet.named_parameters():
        assert parameter.requires_grad != name.startswith(fixed)
        if name.startswith(fixed):
            assert parameter.grad is None
    changed = {k for k, v in supernet.state_dict().items() if not torch.equal(v, before[k])}
    assert not any(key.startswith(fixed) for key in changed)
    assert bool(changed) == (frozen < 2)


def test_norm_eval_keeps_running_statistics(space):
    supernet = PiNASSupernet(space, norm_eval=True).train()
    before = {key: value.clone() for key, value in supernet.state_dict().items()}
    x = torch.randn(2, 3, 32, 32)
    out = supernet(x, "123")[0]
    assert torch.equal(out, supernet.eval()(x, "123")[0])
    assert all(torch.equal(value, before[key]) for key, value in supernet.state_dict().items())
    assert supernet.train().layer1[0].training


def test_recomputing_blocks_changes_nothing(space):
    results = []
    for with_cp in (False, True):
        supernet = randomized(PiNASSupernet(space, with_cp=with_cp)).train()
        x = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
        outs = []
        for arch in ("123", "130"):
            out = supernet(x, arch)[0]
            out.square().sum().backward()
            outs.append(out)
        grads = {n: p.grad for n, p in supernet.named_parameters() if p.grad is not None}
        results.append((outs, grads, dict(supernet.named_buffers())))
    (outs, grads, buffers), (outs_cp, grads_cp, buffers_cp) = results
    assert all(torch.equal(a, b) for a, b in zip(outs, outs_cp, strict=True))
    for one, other in ((grads, grads_cp), (buffers, buffers_cp)):
        assert one.keys() == other.keys()
        for key in one:
            torch.testing.assert_close(one[key], other[key])
    assert max(int(v) for k, v in buffers_cp.items() if k.endswith("tracked")) == 2


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (dict(out_indices=(1, 0)), "ascending stages from 0 to 1"),
        (dict(out_indices=()), "out_indices"),
        (dict(out_indices=(0, 2)), "out_indices"),
        (dict(frozen_stages=3), "allowed are -1 to 2"),
        (dict(strides=(1,)), "strides"),
    ],
)
def test_wrong_options_are_refused(space, wrong, said):
    with pytest.raises(UserError, match=said):
        PiNASSupernet(space, **wrong)


def test_the_default_space_is_the_papers():
    with torch.device("meta"):
        assert PiNASSupernet().space == SearchSpace()


@pytest.mark.parametrize("kind", ["supernet", "backbone"])
def test_a_single_image_in_training_mode_is_told_what_to_do(space, kind):
    network = PiNASSupernet(space) if kind == "supernet" else PiNASBackbone("13-2", space)
    arch = ("13-2",) if kind == "supernet" else ()
    image = torch.zeros(1, 3, 32, 32)
    with pytest.raises(UserError, match=r"call \.eval\(\) on the network first, or give it two"):
        network(image, *arch)
    assert network(torch.zeros(2, 3, 32, 32), *arch)[-1].shape == (2, 32, 4, 4)
    assert network.eval()(image, *arch)[-1].shape == (1, 32, 4, 4)
