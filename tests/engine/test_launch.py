"""Options become config settings; what cannot be done is said in one line."""

import argparse
import re

import pytest
from conftest import CONFIGS
from mmengine.config import Config, ConfigDict
from mmengine.optim import AmpOptimWrapper

from pinas_mm.algorithms import PiNAS
from pinas_mm.commands.options import add_run_options, load_config
from pinas_mm.engine import SafeCheckpointHook, launch
from pinas_mm.errors import UserError


def arguments(*words):
    parser = argparse.ArgumentParser()
    add_run_options(parser)
    return parser.parse_args(list(map(str, words)))


def test_settings_and_work_dir_are_merged():
    config = load_config(
        arguments(CONFIGS / "small_supernet.py", "--cfg-options", "model.paths.num_paths=3")
    )
    assert config.model.paths.num_paths == 3
    assert config.work_dir == "work_dirs/small_supernet"
    config = load_config(arguments(CONFIGS / "small_supernet.py", "--work-dir", "here"))
    assert config.work_dir == "here"


def test_configs_are_found_from_any_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert load_config(arguments("configs/pinas_supernet.py")).model.type == "pinas_mm.PiNAS"
    assert (
        "ResNet"
        in load_config(
            arguments("mmpretrain::resnet/resnet18_8xb16_cifar10.py")
        ).model.backbone.type
    )
    with pytest.raises(UserError, match=r"config configs/other\.py does not exist"):
        load_config(arguments("configs/other.py"))


def test_mixed_precision_is_turned_on_only_where_it_can_be():
    config = Config(dict(optim_wrapper=dict(optimizer=dict(type="SGD"))))
    launch.use_amp(config)
    assert config.optim_wrapper.type == "AmpOptimWrapper"
    assert config.optim_wrapper.loss_scale == "dynamic"
    with pytest.raises(UserError, match="cannot change a ApexOptimWrapper"):
        launch.use_amp(Config(dict(optim_wrapper=dict(type="ApexOptimWrapper"))))


def test_a_config_may_name_classes(monkeypatch, digits, tmp_path):
    monkeypatch.setenv("PINAS_DATA", str(digits))
    text = Config.fromfile(CONFIGS / "small_supernet.py").pretty_text
    for name in ("PiNAS", "SafeCheckpointHook", "OptimWrapper"):
        text = re.sub(rf"type='(pinas_mm\.)?{name}'", f"type={name}", text)
    (tmp_path / "new.py").write_text(
        "from mmengine.optim import OptimWrapper\nfrom pinas_mm.algorithms import PiNAS\n"
        f"from pinas_mm.engine import SafeCheckpointHook\n{text}"
    )
    config = load_config(arguments(tmp_path / "new.py", "--work-dir", tmp_path / "work"))
    assert config.model.type is PiNAS
    launch.use_amp(config)
    assert config.optim_wrapper.type == "AmpOptimWrapper"
    config.optim_wrapper.type = AmpOptimWrapper
    monkeypatch.setattr(launch, "fast_bfloat16", lambda: False)
    runner = launch.build_runner(config)
    assert isinstance(runner.model, PiNAS)
    assert config.model_wrapper_cfg.type == "pinas_mm.PathDataParallel"
    assert config.optim_wrapper.type == "OptimWrapper"
    assert [type(hook) for hook in runner.hooks].count(SafeCheckpointHook) == 1


def test_a_wrapper_of_none_is_the_usual_one(runner):
    """As a stand-alone model's config says, which inherits its supernet's."""
    built = runner("small_classifier.py", model_wrapper_cfg=None)
    assert built.cfg.model_wrapper_cfg is None
    options = {"model_wrapper_cfg": None, "model.model.backbone.init_cfg": None}
    built = runner("small_linear.py", **options)
    assert built.cfg.model_wrapper_cfg.type == "pinas_mm.PathDataParallel"


def test_augmentation_in_the_test_wraps_the_model_and_every_pipeline():
    inner = dict(type="CocoDataset", pipeline=[dict(type="Resize")])
    config = Config(
        dict(
            model=dict(type="EncoderDecoder"),
            tta_model=dict(type="SegTTAModel"),
            tta_pipeline=[dict(type="TestTimeAug")],
            test_dataloader=dict(dataset=dict(type="CachedDataset", dataset=inner)),
        )
    )
    launch.use_tta(config)
    assert config.model == dict(type="SegTTAModel", module=dict(type="EncoderDecoder"))
    assert config.test_dataloader.dataset.dataset.pipeline == config.tta_pipeline
    with pytest.raises(UserError, match="--tta needs tta_model and tta_pipeline in the config"):
        launch.use_tta(Config(dict(model=dict())))


def test_scaling_the_learning_rate_needs_a_base():
    config = Config(dict(auto_scale_lr=dict(base_batch_size=64, enable=False)))
    launch.use_auto_scale_lr(config)
    assert config.auto_scale_lr.enable
    with pytest.raises(UserError, match="base_batch_size"):
        launch.use_auto_scale_lr(Config({}))


def test_resuming_without_a_checkpoint_starts_anew(tmp_path):
    config = Config(dict(work_dir=str(tmp_path), load_from="elsewhere.pth"))
    launch.use_resume(config, "auto")
    # mmengine would look for one by itself.
    assert not config.resume
    # What a requeued job begins with is what it began with.
    assert config.load_from == "elsewhere.pth"


@pytest.mark.parametrize(
    ("dataset", "missing"),
    [
        (dict(type="CocoDataset", ann_file="annotations/a.json"), "annotations/a.json"),
        (dict(type="ADE20KDataset", data_prefix=dict(img_path="images", seg="none")), "none"),
        (dict(type="ImageNet", split="train"), "train"),
        (dict(type="RepeatDataset", dataset=dict(data_root="elsewhere")), "elsewhere"),
    ],
)
def test_parts_of_a_data_set_that_are_missing_are_named(tmp_path, dataset, missing):
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "a.jpg").write_text("an image")
    loader = dict(dataset=dict(data_root=str(tmp_path), **dataset))
    with pytest.raises(UserError, match=rf"{missing} of the val set is missing or empty"):
        launch.build_runner(Config(dict(val_dataloader=loader)))


@pytest.mark.parametrize("launcher", ["slurm", "mpi"])
def test_launchers_that_need_a_gpu_say_so(launcher):
    config = Config(dict(model=dict(type="x"), launcher=launcher))
    with pytest.raises(UserError, match=f"--launcher {launcher} needs one"):
        launch.build_runner(config)


def test_the_safe_checkpoint_hook_is_in_every_run(monkeypatch, digits, tmp_path):
    monkeypatch.setenv("PINAS_DATA", str(digits))
    config = Config.fromfile(CONFIGS / "small_supernet.py")
    config.work_dir = str(tmp_path)
    config.custom_hooks = []
    launch.build_runner(config)
    names = [hook.type for hook in config.custom_hooks]
    assert names == [
        "pinas_mm.SafeCheckpointHook",
        "pinas_mm.LastValidationHook",
        "pinas_mm.FirstStepHook",
        "pinas_mm.BestMetricHook",
        "pinas_mm.AverageOnceHook",
        "pinas_mm.SyncBNOnCPUHook",
    ]
    assert isinstance(config.custom_hooks[0], ConfigDict)


@pytest.mark.parametrize("timeout", [0, -1, "soon", True])
def test_a_time_limit_is_a_number_of_seconds(timeout):
    config = Config(dict(env_cfg=dict(dist_cfg=dict(timeout=timeout))))
    with pytest.raises(UserError, match=r"env_cfg\.dist_cfg\.timeout is .*: a number of seconds"):
        launch._time_limit(config)
    assert launch._time_limit(Config(dict(env_cfg=dict(dist_cfg=dict(timeout=5))))).seconds == 5
    assert launch._time_limit(Config({})) is None
