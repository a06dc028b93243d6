"""What training changes and what it leaves, and what recomputing blocks must not change."""

import pytest
import torch
from mmengine.model import revert_sync_batchnorm
from mmengine.optim import build_optim_wrapper

from pinas_mm.models import PiNASBackbone
from pinas_mm.models.batch_norm import batch_norms
from pinas_mm.space import SearchSpace

# As the demo's: four stages, of which the second has no projection.
SPACE = SearchSpace(
    candidates=[(1, 1, 64), (2, 1, 64), (1, 2, 48), (2, 2, 32)],
    depths=(1, 1, 2, 1),
    widths=(16, 16, 32, 32),
    strides=(2, 1, 2, 1),
    expansion=2,
    stem_widths=(8, 8, 16),
    stem_pool=False,
)
STAGES = [("conv1.", "bn1."), ("layer1.",), ("layer2.",), ("layer3.",), ("layer4.",)]
X = torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))
NORMS = [dict(type="BN"), dict(type="SyncBN"), dict(type="GN", num_groups=4)]


def backbone_of(**options):
    torch.manual_seed(0)
    backbone = PiNASBackbone("3-1-20-2", SPACE, **options)
    backbone.init_weights()
    with torch.no_grad():  # Of biases and of norms too, so that weight decay moves everything.
        for parameter in backbone.parameters():
            parameter.add_(torch.rand_like(parameter), alpha=0.1)
    return backbone


def steps(backbone, number=2):
    """Training steps; returns the outputs, and the gradients of the last."""
    optimizer = dict(type="SGD", lr=1e-3, momentum=0.9, weight_decay=0.1)
    optimizer = build_optim_wrapper(backbone, dict(optimizer=optimizer))
    outs = []
    for _ in range(number):
        backbone.eval().train()
        # Of images with gradient, so that there is one where all stages are frozen.
        outs += backbone(X.clone().requires_grad_())
        # Without batch statistics features grow from stage to stage.
        loss = sum((out / out.detach().max()).mean() for out in outs[-4:])
        optimizer.backward(loss)
        gradients = {name: p.grad for name, p in backbone.named_parameters()}
        gradients = {name: g.clone() for name, g in gradients.items() if g is not None}
        optimizer.step()
        optimizer.zero_grad()
    assert all(out.isfinite().all() for out in outs)
    return outs, gradients


def changed(backbone, before):
    after = backbone.state_dict()
    assert after.keys() == before.keys()
    return {name for name, value in after.items() if not torch.equal(value, before[name])}


@pytest.mark.parametrize("norm_eval", [False, True])
@pytest.mark.parametrize("frozen", range(-1, 5))
def test_steps_change_exactly_what_is_neither_frozen_nor_kept(frozen, norm_eval):
    backbone = backbone_of(frozen_stages=frozen, norm_eval=norm_eval)
    before = {name: value.clone() for name, value in backbone.state_dict().items()}
    gradients = steps(backbone)[1]
    fixed = tuple(prefix for prefixes in STAGES[: frozen + 1] for prefix in prefixes)
    parameters = {n for n, _ in backbone.named_parameters() if not n.startswith(fixed)}
    buffers = {n for n, _ in backbone.named_buffers() if not n.startswith(fixed)}
    assert gradients.keys() == parameters
    assert changed(backbone, before) == (parameters if norm_eval else parameters | buffers)


def test_frozen_stages_are_kept_before_the_first_call_of_train_too():
    backbone = backbone_of(frozen_stages=2)
    before = {name: value.clone() for name, value in backbone.state_dict().items()}
    backbone(X)
    kept = ("conv1.", "bn1.", "layer1.", "layer2.")
    assert changed(backbone, before) == {
        name for name, _ in backbone.named_buffers() if not name.startswith(kept)
    }


@pytest.mark.parametrize("frozen", [-1, 2])
@pytest.mark.parametrize("norm_cfg", NORMS, ids=lambda cfg: cfg["type"])
def test_recomputing_blocks_changes_nothing(norm_cfg, frozen):
    options = dict(norm_cfg=norm_cfg, frozen_stages=frozen)
    plain, recomputed = (backbone_of(**options, with_cp=with_cp) for with_cp in (False, True))
    (outs, gradients), (outs_cp, gradients_cp) = steps(plain), steps(recomputed)
    assert all(torch.equal(one, other) for one, other in zip(outs, outs_cp, strict=True))
    assert gradients.keys() == gradients_cp.keys()
    for name, gradient in gradients.items():
        assert torch.equal(gradient, gradients_cp[name]), name
    assert not changed(plain, recomputed.state_dict())
    counts = [int(norm.num_batches_tracked) for norm in batch_norms(recomputed)]
    assert max(counts, default=2) == 2


def test_blocks_are_recomputed():
    calls = []
    for with_cp in (False, True):
        backbone = backbone_of(with_cp=with_cp)
        calls.append(0)
        for block in (block for stage in backbone.stages for block in stage):
            block.register_forward_pre_hook(lambda *_: calls.append(calls.pop() + 1))
        steps(backbone, number=1)
    assert calls == [5, 10]


def test_sync_bn_reverted_for_the_cpu_is_bn():
    plain, reverted = (backbone_of(norm_cfg=cfg, frozen_stages=1) for cfg in NORMS[:2])
    reverted = revert_sync_batchnorm(reverted)
    outs, outs_reverted = steps(plain)[0], steps(reverted)[0]
    assert all(torch.equal(one, other) for one, other in zip(outs, outs_reverted, strict=True))
    assert not changed(plain, reverted.state_dict())
