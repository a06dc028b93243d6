"""What only a GPU shows: mixed precision, NCCL, mmcv's operators, a search, an exported graph."""

import json

import pytest
import torch
from conftest import CONFIGS, NAMES, save_model
from deployed import run_onnx
from mmengine.optim import OptimWrapper

from pinas_mm.engine.mixed_precision import AmpOptimWrapper
from pinas_mm.models import PiNASBackbone, PiNASSupernet

pytestmark = pytest.mark.gpu


def test_a_step_in_mixed_precision_is_near_the_exact_one(build_pinas, views, at_iteration):
    at_iteration(0, 0)
    logs = {}
    for name, wrapper in (("exact", OptimWrapper), ("amp", AmpOptimWrapper)):
        model = build_pinas().cuda().train()
        before = [parameter.detach().clone() for parameter in model.backbone.parameters()]
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        options = {"loss_scale": 128.0} if name == "amp" else {}
        images = list(views[0].clamp(0, 1).mul(255).byte())
        logs[name] = model.train_step(dict(inputs=images), wrapper(optimizer=optimizer, **options))
        after = model.backbone.parameters()
        assert any(not torch.equal(a, b) for a, b in zip(before, after, strict=True))
    assert float(logs["amp"]["loss"]) == pytest.approx(float(logs["exact"]["loss"]), rel=0.05)


@pytest.mark.slow
def test_two_ranks_train_over_nccl(run_process, tmp_path):
    if torch.cuda.device_count() < 2:
        pytest.skip("NCCL wants a GPU for each of two ranks")
    done = run_process(
        *("-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2", "tools/train.py"),
        *(CONFIGS / "small_supernet.py", "--launcher=pytorch", "--work-dir", tmp_path / "work"),
        *("--cfg-options", "train_cfg.max_epochs=1", "env_cfg.dist_cfg.backend=nccl"),
        "model.backbone.norm_cfg.type=SyncBN",
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "work" / "epoch_1.pth").is_file()


def test_regions_of_a_supernets_features_are_those_of_the_cpu(space):
    from mmcv.ops import RoIAlign

    supernet = PiNASSupernet(space).eval()
    images = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    regions = torch.tensor([[0.0, 3, 5, 40, 50], [1.0, 0, 0, 63, 63]])
    align = RoIAlign(7, spatial_scale=1 / 16, sampling_ratio=2)
    pooled = {}
    for device in ("cpu", "cuda"):
        with torch.no_grad(), supernet.to(device).on("312"):
            (features,) = supernet(images.to(device))
            try:
                pooled[device] = align(features, regions.to(device)).cpu()
            except (RuntimeError, NotImplementedError) as error:
                if "not compiled with GPU support" not in str(error):
                    raise
                pytest.skip("mmcv was compiled here without operators of GPUs")
    torch.testing.assert_close(pooled["cuda"], pooled["cpu"], rtol=1e-3, atol=1e-3)


@pytest.mark.slow
def test_a_search_gives_the_same_twice(tool, tmp_path):
    save_model("small_linear.py", tmp_path / "linear.pth")

    def search(folder):
        quiet = ["--cfg-options", f"experiment_name={next(NAMES)}"]
        where = ["--work-dir", folder, "--trials", 4]
        status, out, err = tool(
            "search.py", CONFIGS / "small_search.py", tmp_path / "linear.pth", *where, *quiet
        )
        assert status == 0, err or out
        return json.loads((folder / "best.json").read_text())

    found = search(tmp_path / "one")
    assert found["trials"]["complete"] == 4
    again = search(tmp_path / "two")
    assert [row["arch"] for row in again["best"]] == [row["arch"] for row in found["best"]]


def test_an_exported_graph_gives_what_the_gpu_gives(tool, space, tmp_path):
    supernet = PiNASSupernet(space)
    supernet.init_weights()
    state = {f"backbone.{name}": value for name, value in supernet.state_dict().items()}
    torch.save({"state_dict": state}, tmp_path / "supernet.pth")
    out, graph = tmp_path / "subnet.pth", tmp_path / "subnet.onnx"
    status, _, errors = tool(
        *("export.py", "--arch", "312", "--config", CONFIGS / "small_supernet.py"),
        *("--supernet", tmp_path / "supernet.pth", "--out", out, "--onnx", graph, "--size", 32),
    )
    assert status == 0, errors
    backbone = PiNASBackbone("312", space).eval()
    backbone.load_state_dict(torch.load(out, weights_only=True)["state_dict"])
    images = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = backbone.cuda()(images.cuda())[-1].cpu()
    *_, found = run_onnx(graph, images).values()
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-3)
