"""Mixed precision on a CPU; no loss scaler where nothing needs one."""

import pytest
import torch
from mmengine.config import Config
from mmengine.optim import OptimWrapper
from torch import nn

from pinas_mm.engine import AmpOptimWrapper, launch
from pinas_mm.errors import UserError
from pinas_mm.registry import OPTIM_WRAPPERS


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 1))


def stepped(wrapper, model):
    inputs = torch.randn(16, 8, generator=torch.Generator().manual_seed(1))
    with wrapper.optim_context(model):
        outputs = model(inputs)
    wrapper.update_params(outputs.float().square().mean())
    return outputs


def test_a_step_computes_in_bfloat16_and_moves_weights_in_float32():
    model, exact = network(), network()
    options = dict(clip_grad=dict(max_norm=1.0))
    wrapper = AmpOptimWrapper(optimizer=torch.optim.SGD(model.parameters(), lr=0.1), **options)
    assert stepped(wrapper, model).dtype == torch.bfloat16
    stepped(OptimWrapper(torch.optim.SGD(exact.parameters(), lr=0.1), **options), exact)
    for found, expected in zip(model.parameters(), exact.parameters(), strict=True):
        assert found.dtype == torch.float32
        assert not torch.equal(found, expected)
        torch.testing.assert_close(found, expected, rtol=0.02, atol=1e-3)


def test_gradients_are_accumulated_and_the_state_survives():
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    wrapper = AmpOptimWrapper(optimizer=optimizer, accumulative_counts=2, dtype=torch.bfloat16)
    wrapper.initialize_count_status(model, 0, 4)
    before = model[0].weight.clone()
    stepped(wrapper, model)
    assert torch.equal(model[0].weight, before)
    stepped(wrapper, model)
    assert not torch.equal(model[0].weight, before)
    again = AmpOptimWrapper(optimizer=torch.optim.SGD(model.parameters(), lr=1.0, momentum=0.9))
    # Of a run with a GPU: its loss scaler is none of ours.
    again.load_state_dict(wrapper.state_dict() | dict(loss_scaler=dict(scale=65536.0)))
    assert again.optimizer.param_groups[0]["lr"] == 0.1
    assert again.optimizer.state_dict()["state"].keys() == optimizer.state_dict()["state"].keys()


def test_a_run_goes_on_in_the_other_precision(printed):
    if not hasattr(torch.amp, "GradScaler"):
        pytest.skip("loss scalers of this PyTorch want a GPU")

    def wrapper(scaled):
        sgd = torch.optim.SGD(network().parameters(), lr=0.1 if scaled else 0.2, momentum=0.9)
        made = AmpOptimWrapper(optimizer=sgd)
        if scaled:  # As float16 has it on a GPU.
            made.loss_scaler = torch.amp.GradScaler("cpu", init_scale=8.0)
        return made

    for before, after, said in (
        (False, True, "did not scale its losses: scaling begins anew"),
        (True, False, "loss scale is not taken: bfloat16 needs none"),
        (True, True, ""),
        (False, False, ""),
    ):
        state, resumed = wrapper(before).state_dict(), wrapper(after)
        keys = list(state)
        resumed.load_state_dict(dict(state))
        assert list(state) == keys
        assert resumed.optimizer.param_groups[0]["lr"] == (0.1 if before else 0.2)
        assert resumed.loss_scaler.is_enabled() == after
        text = printed()
        assert said in text
        assert ("scal" in text) == bool(said)
    # Of a run without mixed precision.
    plain = OptimWrapper(torch.optim.SGD(network().parameters(), lr=0.3)).state_dict()
    resumed = wrapper(True)
    resumed.load_state_dict(plain)
    assert resumed.optimizer.param_groups[0]["lr"] == 0.3
    assert resumed.loss_scaler.get_scale() == 8.0


def test_a_cpu_refuses_half_precision():
    optimizer = torch.optim.SGD(network().parameters(), lr=0.1)
    with pytest.raises(UserError, match=r"dtype is float16: a CPU computes .* in bfloat16 alone"):
        AmpOptimWrapper(optimizer=optimizer, dtype="float16")


@pytest.mark.parametrize("fast", [True, False])
def test_a_config_for_gpus_is_what_the_cpu_can_do(runner, monkeypatch, fast):
    said = []
    monkeypatch.setattr(launch, "fast_bfloat16", lambda: fast)
    monkeypatch.setattr(launch, "_notice", said.append)
    options = {"optim_wrapper.type": "AmpOptimWrapper", "optim_wrapper.dtype": "float16"}
    wrapper = runner("small_supernet.py", **options).cfg.optim_wrapper
    if fast:
        assert wrapper.type == "pinas_mm.AmpOptimWrapper"
        assert wrapper.dtype == "bfloat16"
        assert said == ["no GPU: mixed precision is in bfloat16 here, not in float16"]
    else:
        assert wrapper.type == "OptimWrapper"
        assert not {"dtype", "loss_scale"} & set(wrapper)
        assert "a CPU without bfloat16" in said[0]


@pytest.mark.gpu
def test_bfloat16_has_no_loss_scaler_on_a_gpu():
    for dtype, scaled in (("bfloat16", False), ("float16", True), (None, True)):
        model = network().cuda()
        config = dict(type="pinas_mm.AmpOptimWrapper", dtype=dtype)
        config["optimizer"] = torch.optim.SGD(model.parameters(), lr=0.1)
        assert OPTIM_WRAPPERS.build(Config(config)).loss_scaler.is_enabled() == scaled
