"""Configs of whole models with one architecture, and the short texts they leave as."""

import copy

import pytest
from conftest import CONFIGS
from mmengine.config import Config
from mmengine.model import revert_sync_batchnorm
from mmengine.optim import build_optim_wrapper
from tasks import TASKS, write_task

from pinas_mm.engine.config import READ, read_config
from pinas_mm.errors import UserError
from pinas_mm.export import stand_alone_config
from pinas_mm.export.config_text import config_text
from pinas_mm.export.stand_alone_config import without_loads
from pinas_mm.registry import MODELS, dicts, type_name
from pinas_mm.space import SearchSpace

DETECTOR = {
    "optim_wrapper.optimizer.lr": 0.5,
    "model.model.neck.norm_cfg.type": "BN",
    "model.model.neck.norm_cfg.eps": 1e-3,
    "model.model.backbone.frozen_stages": 1,
    "val_dataloader.dataset.pipeline.1.scale": (64, 48),
    "default_hooks.logger.interval": 7,
    "param_scheduler": [dict(type="ConstantLR", factor=float("inf"))],
    "auto_scale_lr": None,
}
OPTIONS = dict(
    fcos={**DETECTOR, "model.model.bbox_head.strides": [8, 16]},
    mask_rcnn={**DETECTOR, "model.model.roi_head.mask_head.num_convs": 2},
    deeplabv3={"model.model.auxiliary_head.type": "PSPHead", "randomness": dict(seed=5)},
    classifier={"model.model.head.loss.type": "LabelSmoothLoss", "env_cfg.dist_cfg.timeout": 3},
)


@pytest.fixture(params=[*TASKS, "classifier"])
def config(request, layouts, monkeypatch, tmp_path):
    """A supernet's config with options merged in."""
    monkeypatch.setenv("PINAS_DATA", str(layouts))
    return read_config(write_task(request.param, tmp_path), copy.deepcopy(OPTIONS[request.param]))


def written(config, folder):
    """What a config's text says when it is read."""
    folder.mkdir(exist_ok=True)
    (folder / "alone.py").write_text(config_text(config, folder))
    return Config.fromfile(folder / "alone.py")


@pytest.mark.parametrize("here", ["project", "elsewhere"])
def test_the_text_says_the_config(config, tmp_path, monkeypatch, here):
    project = tmp_path if here == "project" else tmp_path / "other"
    project.mkdir(exist_ok=True)
    monkeypatch.chdir(project)
    archs = SearchSpace.build(config.space if "space" in config else config.demo_space)
    alone = stand_alone_config(config, [2] * archs.num_blocks)
    assert written(alone, tmp_path / "alone").to_dict() == alone.to_dict()
    text = (tmp_path / "alone" / "alone.py").read_text()
    base = text.splitlines()[0]
    inside = here == "project" and str(tmp_path) in config.filename
    assert base.startswith("_base_ = ['../" if inside else "_base_ = ['/")
    assert len(text.splitlines()) < 90


def test_nothing_is_left_that_needs_the_supernet(config):
    before = config.to_dict()
    alone = stand_alone_config(config, [2] * (3 if "space" in config else 6))
    assert config.to_dict() == before
    read = {key: value for key, value in alone.to_dict().items() if key in READ}
    kinds = {type_name(part) for part in dicts(read)}
    assert "PiNASBackbone" in kinds
    assert not {kind for kind in kinds if "upernet" in kind or "ArchSearch" in kind}
    assert "SinglePath" not in kinds
    assert (alone.val_cfg.type, alone.test_cfg.type) == ("ValLoop", "TestLoop")
    assert alone.test_cfg.get("fp16") == config.test_cfg.get("fp16")
    assert alone.search is None
    assert alone.model_wrapper_cfg is None
    assert "init_cfg" not in alone.model.backbone
    network = config.model.model.backbone
    for name in ("strides", "dilations", "norm_cfg", "frozen_stages"):
        if name != "strides" or "dilations" not in network:
            assert alone.model.backbone.get(name) == network.get(name)
    changed = {"model", "val_cfg", "test_cfg", "search", "model_wrapper_cfg", "custom_hooks"}
    assert {key for key in alone if alone[key] != config[key]} <= changed


def test_strides_that_the_supernet_has_no_pools_for_are_the_space_s(layouts, monkeypatch, tmp_path):
    monkeypatch.setenv("PINAS_DATA", str(layouts))
    config = read_config(write_task("mask_rcnn", tmp_path))
    space = dict(candidates=[(1, 1, 64), (2, 1, 64)], depths=(1, 1, 1), widths=(16, 16, 32))
    space = Config(dict(space=dict(space, strides=(1, 2, 2)))).space
    config.model.model.backbone.update(space=space, strides=(1, 2, 1))
    backbone = stand_alone_config(config, "000").model.backbone
    assert "strides" not in backbone
    assert backbone.space.strides == [1, 2, 1]
    # A top-level space, which the tools hold against the network's, goes along.
    config.space = space
    assert stand_alone_config(config, "000").space == backbone.space


def test_initializations_that_draw_stay():
    load, draw = (dict(type=kind) for kind in ("pinas_mm.FromSupernet", "Normal"))
    inits = dict(a=load, b=draw, c=[draw, load], d=[load], e=[draw], f=None, g=[], h=(draw, load))
    model = dict(part=[dict(name=name, init_cfg=init) for name, init in inits.items()])
    without_loads(model)
    left = {part["name"]: part["init_cfg"] for part in model["part"] if "init_cfg" in part}
    assert left == dict(b=draw, c=[draw], e=[draw], f=None, g=[], h=[draw])


def test_what_stood_around_the_model_goes_in(config):
    config.model.data_preprocessor = config.model.model.pop("data_preprocessor")
    config.model.model.init_cfg = [dict(type="Pretrained", checkpoint="supernet.pth")]
    config.model.freeze_backbone = True
    config.resume = True
    config.custom_imports = dict(imports=["mine"])
    config.model_wrapper_cfg = dict(type="MMDistributedDataParallel")
    alone = stand_alone_config(config, [2] * (3 if "space" in config else 6))
    assert alone.model.data_preprocessor == config.model.data_preprocessor
    assert not {"init_cfg", "freeze_backbone", "paths"} & {*alone.model}
    assert alone.resume is False
    assert alone.custom_imports == dict(imports=["mine", "pinas_mm"])
    assert alone.model_wrapper_cfg == config.model_wrapper_cfg


def test_a_single_import_is_kept_as_it_is_named():
    config = read_config(CONFIGS / "small_search.py")
    for name, imports in (("pinas_mm", "pinas_mm"), ("mine", ["mine", "pinas_mm"])):
        config.custom_imports = dict(imports=name, allow_failed_imports=False)
        alone = stand_alone_config(config, "312")
        assert alone.custom_imports == dict(imports=imports, allow_failed_imports=False)


def test_parameters_keep_the_settings_that_their_names_give_them(tmp_path):
    config = read_config(CONFIGS / "small_search.py")
    config.model.freeze_backbone = False
    keys = {"model.backbone": 0.1, "backbone": 3, "model.backbone.conv1": 0.2, "fc.bias": 0.3}
    keys = {key: dict(lr_mult=factor) for key, factor in keys.items()}
    config.optim_wrapper.paramwise_cfg = dict(custom_keys=keys)
    alone = written(stand_alone_config(config, "312"), tmp_path)

    def rates(config):
        model = revert_sync_batchnorm(MODELS.build(config.model))
        groups = build_optim_wrapper(model, config.optim_wrapper).optimizer.param_groups
        rate = {group["params"][0]: group["lr"] for group in groups}
        return {name.removeprefix("model."): rate[p] for name, p in model.named_parameters()}

    before, after = rates(config), rates(alone)
    kept = {name: before[name] for name in after if name in before}
    assert len({*kept.values()}) == 4
    assert kept == {name: after[name] for name in kept}
    assert {rate for name, rate in after.items() if "layer" in name} == {
        before["backbone.bn1.bias"]
    }


def test_a_config_of_no_file_is_written_as_a_whole(config, tmp_path):
    config = Config(config.to_dict())
    alone = stand_alone_config(config, [2] * (3 if "space" in config else 6))
    assert written(alone, tmp_path / "alone").to_dict() == alone.to_dict()
    assert "_base_" not in (tmp_path / "alone" / "alone.py").read_text()


def test_other_models_are_refused():
    for name, said in (
        ("small_supernet.py", r"is pinas_mm\.PiNAS: .* the backbone alone .*, by --out"),
        ("small_classifier.py", r"is ImageClassifier: .* give the config that the supernet was"),
    ):
        with pytest.raises(UserError, match=said):
            stand_alone_config(read_config(CONFIGS / name), "000")
    config = read_config(CONFIGS / "small_linear.py")
    with pytest.raises(UserError, match="candidates 0 to 3"):
        stand_alone_config(config, "004")
    config.model.model.neck = [config.model.model.backbone]
    with pytest.raises(UserError, match="has 2 parts of type"):
        stand_alone_config(config, "000")
    with pytest.raises(UserError, match="the model of config None is None"):
        stand_alone_config(Config(), "000")
