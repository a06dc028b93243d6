"""A found backbone in the libraries' models: each config is built and learns from one batch."""

import pytest
import torch
from conftest import REPOSITORY
from mmengine.model import revert_sync_batchnorm
from mmengine.registry import init_default_scope
from mmpretrain.structures import DataSample
from whole_models import detections, segments

from pinas_mm.engine.config import read_config
from pinas_mm.export import write_subnet
from pinas_mm.models import PiNASBackbone
from pinas_mm.registry import MODELS
from pinas_mm.space import SearchSpace

CONFIGS = REPOSITORY / "examples" / "configs"
NAMES = sorted(path.stem for path in CONFIGS.glob("*.py") if path.stem != "found")


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """The folder of a found backbone's file, of the paper's widths, and the backbone."""
    folder = tmp_path_factory.mktemp("found")
    torch.manual_seed(0)
    backbone = PiNASBackbone("0-1-2-3", SearchSpace(depths=(1, 1, 1, 1)))
    backbone.init_weights()
    torch.save(dict(state_dict={}), folder / "supernet.pth")
    write_subnet(folder / "winner.pth", backbone, folder / "supernet.pth")
    return folder, backbone


def labelled_images():
    samples = [DataSample().set_gt_label(label) for label in (3, 998)]
    return dict(inputs=list(torch.zeros(2, 3, 64, 64).byte()), data_samples=samples)


BATCHES = dict(mmdet=detections, mmseg=segments, mmpretrain=labelled_images)


def test_there_is_one_of_each_kind():
    tasks = "classifier detr fcos pspnet rtmdet segformer upernet yolox"
    assert tasks.split() == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_step_reaches_the_found_backbone(name, found, monkeypatch, at_iteration):
    folder, backbone = found
    # YOLOX asks which it is.
    at_iteration(0, 0)
    monkeypatch.chdir(folder)
    cfg = read_config(CONFIGS / f"{name}.py")
    init_default_scope(cfg.default_scope)
    if cfg.default_scope == "mmseg":
        cfg.model.data_preprocessor.size = (64, 64)
    preprocessor = cfg.get("data_preprocessor") or cfg.model.data_preprocessor
    cfg.model.setdefault("data_preprocessor", preprocessor)
    # The whole model's initialization would fetch nothing: weights of no other backbone are left.
    assert "checkpoint" not in str({**cfg.model, "backbone": None})
    model = revert_sync_batchnorm(MODELS.build(cfg.model)).train()
    model.backbone.init_weights()
    for key, value in model.backbone.state_dict().items():
        assert torch.equal(value, backbone.state_dict()[key]), key
    # Normalized as it was where it was trained, and red first.
    normalize = model.data_preprocessor
    assert normalize.mean.flatten().tolist() == pytest.approx([123.675, 116.28, 103.53])
    assert normalize.std.flatten().tolist() == pytest.approx([58.395, 57.12, 57.375])
    to_rgb = [getattr(normalize, key, False) for key in ("_channel_conversion", "to_rgb")]
    assert any(to_rgb) or normalize.channel_conversion
    batch = normalize(BATCHES[cfg.default_scope](), True)
    loss, _ = model.parse_losses(model(**batch, mode="loss"))
    loss.backward()
    assert loss.isfinite()
    gradients = [p.grad for p in model.backbone.parameters() if p.requires_grad]
    assert sum(g is not None and bool(g.any()) for g in gradients) > len(gradients) / 2
