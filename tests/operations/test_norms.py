"""Norm layers are BN, SyncBN or GN, and GN's groups fit every norm of the network."""

import itertools

import pytest
import torch
from mmengine.model import revert_sync_batchnorm
from spaces import CONV, PLAIN
from torch import nn

from pinas_mm.errors import UserError
from pinas_mm.models import PiNASBackbone, PiNASSupernet
from pinas_mm.operations import (
    InvertedResidual,
    Module,
    Operation,
    ResNeStBottleneck,
    ResNetBottleneck,
)
from pinas_mm.operations.norms import check_norm, check_same_norm, norm_layer
from pinas_mm.space import SearchSpace

TYPES = {"BN": nn.BatchNorm2d, "SyncBN": nn.SyncBatchNorm, "GN": nn.GroupNorm}


@pytest.mark.parametrize("name", TYPES)
def test_every_norm_is_of_the_type_and_learns(space, name):
    options = dict(num_groups=4) if name == "GN" else dict(eps=1e-3)
    backbone = PiNASBackbone("13-2", space, norm_cfg=dict(type=name, **options))
    norms = [module for module in backbone.modules() if isinstance(module, TYPES[name])]
    # Stem 3; 3 blocks of conv1, bn0 and bn1 of the attention, conv3; 2 shortcuts.
    assert len(norms) == 3 + 3 * 4 + 2
    assert not any("Norm" in type(module).__name__ for module in {*backbone.modules()} - {*norms})
    sum(out.square().mean() for out in backbone(torch.randn(2, 3, 32, 32))).backward()
    assert all(norm.weight.grad.any() for norm in norms)


def test_norms_that_are_not_to_learn_do_not(space):
    backbone = PiNASBackbone("13-2", space, norm_cfg=dict(type="BN", requires_grad=False))
    names = {n for n, parameter in backbone.named_parameters() if not parameter.requires_grad}
    norms = {n for n, module in backbone.named_modules() if isinstance(module, nn.BatchNorm2d)}
    assert names == {f"{norm}.{part}" for norm in norms for part in ("weight", "bias")}


CONVS = Module(CONV, norm_cfg="norm_cfg", residual=True, scale="bn.weight")
OPERATIONS = [ResNeStBottleneck(2, 1, 64), ResNetBottleneck(), InvertedResidual(), CONVS]


NORM_CFGS = [
    dict(type="BN", requires_grad=False),
    dict(type="BN", affine=False),
    dict(type="SyncBN", affine=False),
    dict(type="BN", affine=False, track_running_stats=False),
    dict(type="GN", num_groups=2, affine=False),
]


@pytest.mark.parametrize(
    ("operation", "norm_cfg"),
    # mmcv calls the module's norm by its type.
    [pair for pair in itertools.product(OPERATIONS, NORM_CFGS) if pair != (CONVS, NORM_CFGS[-1])],
    ids=lambda value: value.label if isinstance(value, Operation) else str(value),
)
def test_branches_learn_where_the_norms_do_not(operation, norm_cfg):
    """At zero for good, a last norm's weight would give the branch no gradient ever."""
    space = SearchSpace([operation], (1,), (16,), (2,), skeleton=PLAIN)
    supernet = PiNASSupernet(space, norm_cfg=norm_cfg)
    supernet.init_weights()
    revert_sync_batchnorm(supernet)(torch.randn(4, 3, 9, 9), "0")[0].square().mean().backward()
    branch = {n: p for n, p in supernet.named_parameters() if n.startswith("layer1.0.0.")}
    convs = [p for n, p in branch.items() if p.ndim == 4 and ".conv" in n]
    assert convs
    assert all(conv.grad.any() for conv in convs)


@pytest.mark.parametrize(
    ("norm_cfg", "said"),
    [
        ("BN", "norm_cfg is 'BN': give a dict"),
        ({}, "give a dict with a type"),
        (dict(eps=1e-3), "give a dict with a type"),
        (dict(type="BatchNorm"), "allowed types are BN, SyncBN and GN"),
        (dict(type="LN"), "gives a LayerNorm: allowed types are BN, SyncBN and GN"),
        (dict(type="MMSyncBN"), "allowed types are BN, SyncBN and GN"),
        (dict(type="BN", epsilon=1e-3), "epsilon"),
        (dict(type="GN"), "num_groups None: allowed are 1, 2, 4"),
        (dict(type="GN", num_groups=32), "num_groups 32: allowed are 1, 2, 4"),
        (dict(type="GN", num_groups=0), "num_groups 0: allowed are 1, 2, 4"),
        (dict(type="GN", num_groups="4"), "allowed are 1, 2, 4"),
    ],
)
def test_others_are_refused_in_one_line(norm_cfg, said):
    # Candidate 2 has 84 channels at 64 planes, which no more than 4 groups divide.
    with pytest.raises(UserError, match=said) as caught:
        PiNASBackbone("332-3113-330011-021", norm_cfg=norm_cfg)
    assert "\n" not in str(caught.value)


def test_groups_are_those_of_the_candidates_in_use(space):
    with torch.device("meta"):
        PiNASBackbone("000-0000-000000-000", norm_cfg=dict(type="GN", num_groups=16))
        with pytest.raises(UserError, match="num_groups 16: allowed are 1, 2, which"):
            PiNASSupernet(norm_cfg=dict(type="GN", num_groups=16))


def test_a_pooled_norm_keeps_two_channels_a_group():
    def twin():
        batch_norm = dict(type="BN")
        return nn.ModuleList([norm_layer(batch_norm, 64), norm_layer(batch_norm, 32, pooled=True)])

    check_norm(dict(type="GN", num_groups=16), twin)
    with pytest.raises(UserError, match="allowed are 1, 2, 4, 8, 16, which"):
        check_norm(dict(type="GN", num_groups=32), twin)
    # One channel of one pixel is its own mean.
    out = norm_layer(dict(type="GN", num_groups=32), 32)(torch.randn(2, 32, 1, 1))
    assert out.abs().max() < 1e-3


def network(norm_cfg, norm=nn.BatchNorm2d):
    made = nn.Sequential(norm(4))
    made.norm_cfg = norm_cfg
    return made


def test_what_mmengine_makes_of_syncbn_is_compared_too():
    made = revert_sync_batchnorm(network(dict(type="SyncBN"), nn.SyncBatchNorm))
    assert not isinstance(made[0], nn.BatchNorm2d)
    with pytest.raises(UserError, match=r"eps=0\.001"):
        check_same_norm(made, dict(type="BN", eps=1e-3), "the file")


@pytest.mark.parametrize(
    ("ours", "theirs", "said"),
    [
        (None, dict(type="BN", eps=1e-3), "eps=0.001.* the network has .*eps=1e-05"),
        (dict(type="BN", eps=1e-3), dict(type="SyncBN"), "eps=1e-05.* the network has .*eps=0.001"),
        (dict(type="GN", num_groups=2), dict(type="GN", num_groups=4), "num_groups=4"),
        (dict(type="BN"), dict(type="GN", num_groups=4), "type='GN'.* the network has .*type='BN'"),
    ],
)
def test_norms_that_compute_something_else_are_told(ours, theirs, said):
    with pytest.raises(UserError, match=f"the file was trained with .*{said}"):
        check_same_norm(network(ours), theirs, "the file")


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (dict(type="GN", num_groups=2), None),
        (None, dict(type="SyncBN", momentum=0.01, requires_grad=False)),
        (dict(type="SyncBN", eps=1e-5), dict(type="BN")),
        (dict(type="MMSyncBN", eps=1e-3), dict(type="BN", eps=1e-3)),
        (dict(type="BN2d"), dict(type="BN")),
        (dict(type=nn.BatchNorm2d), dict(type="SyncBN")),
    ],
)
def test_what_shows_in_training_only_may_differ_and_spelling(ours, theirs):
    check_same_norm(network(ours), theirs, "the file")


def test_a_network_without_such_norms_takes_any():
    check_same_norm(network(dict(type="BN"), nn.LayerNorm), dict(type="BN", eps=1), "the file")
