"""SyncBN in runners without a GPU: the same numbers as BN, one line of notice."""

import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import EMAHook
from mmengine.runner import Runner
from torch import distributed, nn

from pinas_mm.engine import CPUDistributedDataParallel
from pinas_mm.models import PiNASSupernet

NOTICE = "no GPU: SyncBN needs one, its layers are plain BN here"
CUSTOM_HOOKS = [dict(type="pinas_mm.SyncBNOnCPUHook")]


def test_a_sync_bn_config_trains_as_with_bn(runner, capfd, tmp_path):
    results = {}
    for norm in ("BN", "SyncBN"):
        changes = {"model.backbone.norm_cfg": dict(type=norm), "custom_hooks": CUSTOM_HOOKS}
        run = runner(**changes, work_dir=str(tmp_path / norm))
        run.train()
        results[norm] = run.model.state_dict()
        assert capfd.readouterr().out.count(NOTICE) == (norm == "SyncBN")
    assert results["BN"].keys() == results["SyncBN"].keys()
    for key, value in results["BN"].items():
        assert torch.equal(value, results["SyncBN"][key]), key
    # What is kept of the config is still good for a GPU.
    kept = Config.fromfile(tmp_path / "SyncBN" / "small_supernet.py")
    assert kept.model.backbone.norm_cfg.type == "SyncBN"


def test_hooks_that_copy_the_model_copy_plain_bn(capfd, space, tmp_path):
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.backbone = PiNASSupernet(space, norm_cfg=dict(type="SyncBN"))

    hooks = [dict(type="EMAHook"), *CUSTOM_HOOKS]
    run = Runner(Model(), str(tmp_path), custom_hooks=hooks, experiment_name="copied")
    # As a wrapper of another library would leave it.
    run.model = Model()
    run.call_hook("before_run")
    assert capfd.readouterr().out.count(NOTICE) == 1
    (average,) = [hook.ema_model for hook in run.hooks if isinstance(hook, EMAHook)]
    for module in (*run.model.modules(), *average.modules()):
        assert not isinstance(module, nn.SyncBatchNorm)


@pytest.fixture
def process_group(tmp_path):
    distributed.init_process_group(
        "gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1
    )
    yield
    distributed.destroy_process_group()


def test_the_wrapper_takes_what_pytorchs_own_refuses(process_group, space):
    supernet = PiNASSupernet(space, norm_cfg=dict(type="SyncBN"))
    parameters = dict(supernet.named_parameters())
    with pytest.raises(ValueError, match="SyncBatchNorm layers only work with GPU"):
        nn.parallel.DistributedDataParallel(supernet, find_unused_parameters=True)
    wrapped = CPUDistributedDataParallel(supernet, find_unused_parameters=True)
    assert not any(isinstance(module, nn.SyncBatchNorm) for module in wrapped.modules())
    for name, parameter in wrapped.module.named_parameters():
        assert parameter is parameters[name]
    wrapped(torch.randn(2, 3, 32, 32), "123")[0].sum().backward()
    assert wrapped.module.layer1[0][1].bn1.weight.grad is not None
