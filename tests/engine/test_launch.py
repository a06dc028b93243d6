"""Options become config settings; what cannot be done is said in one line."""

import argparse
import datetime
import os
import re

import pytest
import torch
from conftest import CONFIGS
from mmengine.config import Config, ConfigDict
from mmengine.optim import AmpOptimWrapper
from torch import distributed, multiprocessing

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


def test_each_job_of_slurm_has_a_port_of_its_own(monkeypatch):
    def port(job, step=None, launcher="slurm", **given):
        for name in ("MASTER_PORT", "SLURM_JOB_ID", "SLURM_STEP_ID"):
            monkeypatch.delenv(name, raising=False)
        for name, value in dict(SLURM_JOB_ID=job, SLURM_STEP_ID=step, **given).items():
            if value is not None:
                monkeypatch.setenv(name, value)
        with pytest.raises(UserError, match="no GPU"):
            launch.build_runner(Config(dict(model=dict(type="x"), launcher=launcher)))
        return os.environ.get("MASTER_PORT")

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    ports = [port("4711"), port("4712"), port("4711", "1"), port("9999999", "4294967291")]
    assert len(set(ports)) == 4
    assert all(10000 < int(each) < 32768 for each in ports)
    assert port("4711") == ports[0]
    assert port("4711", MASTER_PORT="1234") == "1234"
    assert port(None) is port("4711", launcher="mpi") is None


def test_with_a_gpu_a_training_joins_as_mmengines_runner_would(monkeypatch):
    joined = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(launch, "set_multi_processing", lambda **given: joined.append(given))
    monkeypatch.setattr(launch, "init_dist", lambda kind, **given: joined.append((kind, given)))
    env = dict(mp_cfg=dict(mp_start_method="fork"), dist_cfg=dict(backend="nccl", timeout=5))
    launch._join_process_group(Config(dict(launcher="slurm", env_cfg=env)))
    assert joined == [
        dict(mp_start_method="fork", distributed=True),
        ("slurm", dict(backend="nccl", timeout=5)),
    ]
    launch._join_process_group(Config(dict(launcher="none", env_cfg=env)))
    assert len(joined) == 2


def test_more_workers_than_cores_are_told_and_left(monkeypatch):
    said = []
    monkeypatch.setattr(launch, "usable_cores", lambda: 8)
    monkeypatch.setattr(launch, "_notice", said.append)
    loaders = {
        f"{name}_dataloader": dict(num_workers=number)
        for name, number in (("train", 5), ("val", 4), ("test", 9))
    }
    config = Config(dict(**loaders, work_dir="x"))
    launch._tell_workers(config, ["train", "val"])
    assert not said
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    launch._tell_workers(config, ["train", "val"])
    (text,) = said
    assert "train_dataloader.num_workers is 5, of 8 cores for 2 process(es)" in text
    assert "train_dataloader.num_workers=4" in text
    # Each worker has a seed of its own: fewer would be another training.
    assert config.train_dataloader.num_workers == 5


def resumed(rank, folder, digits):
    """What is said where one process alone finds a checkpoint, or another one."""
    os.environ["PINAS_DATA"] = digits
    limit = datetime.timedelta(seconds=60)
    store = f"file://{folder}/store"
    distributed.init_process_group("gloo", store, rank=rank, world_size=2, timeout=limit)
    said = []
    for case in ("alone", "older"):
        config = Config.fromfile(CONFIGS / "small_supernet.py")
        config.merge_from_dict({"work_dir": f"{folder}/{case}{rank}", "resume": True})
        try:
            launch.build_runner(config)
        except UserError as error:
            said.append(str(error))
    torch.save(said, f"{folder}/said{rank}.pth")
    distributed.barrier()
    distributed.destroy_process_group()


@pytest.mark.slow
def test_processes_that_find_different_checkpoints_do_not_begin(digits, tmp_path):
    for place, iteration in (("alone0", 8), ("older0", 8), ("older1", 4)):
        meta = dict(iter=iteration, epoch=iteration // 4, seed=0)
        (tmp_path / place).mkdir()
        file = tmp_path / place / f"epoch_{iteration // 4}.pth"
        torch.save(dict(meta=meta, state_dict={}, optimizer={}), file)
    multiprocessing.spawn(resumed, args=(str(tmp_path), str(digits)), nprocs=2)
    said = [torch.load(tmp_path / f"said{rank}.pth") for rank in range(2)]
    assert said[0] == said[1]
    alone, older = said[0]
    first = "rank 0 goes on from epoch_2.pth at iteration 8"
    assert f"{first}, rank 1 starts from the beginning" in alone
    assert f"{first}, rank 1 goes on from epoch_1.pth at iteration 4" in older
    assert "--work-dir on a file system that all machines share" in older


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
