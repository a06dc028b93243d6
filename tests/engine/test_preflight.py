"""What a run needs later is looked at before it begins."""

import contextlib
import errno
import fcntl
import os
import subprocess
import sys

import pytest
from conftest import CONFIGS, NAMES
from mmengine.config import Config
from mmengine.logging import MMLogger

from pinas_mm.engine.config import read_config
from pinas_mm.engine.preflight import check_run, held_within
from pinas_mm.errors import UserError


@pytest.fixture
def config(tmp_path):
    """A small config with settings merged in and a work dir of its own."""

    def make(name="small_supernet.py", **settings):
        cfg = Config.fromfile(CONFIGS / name)
        cfg.merge_from_dict({"work_dir": str(tmp_path / "work"), **settings})
        return cfg

    return make


@pytest.mark.parametrize("name", ["epoch_3.pth", "iter_500.pth", "best_accuracy_epoch_2.pth"])
def test_a_training_does_not_mix_with_another_s_checkpoints(config, tmp_path, name):
    file = tmp_path / "work" / name
    file.parent.mkdir()
    file.touch()
    with pytest.raises(UserError, match=f"holds {name} of a training already.*--resume"):
        check_run(config(), trains=True)
    check_run(config(), trains=False)
    check_run(config(resume=True), trains=True)
    check_run(config(load_from=str(file)), trains=True)


def test_two_trainings_at_once_in_one_work_dir(config, tmp_path):
    hold = (
        "import sys\nfrom pathlib import Path\nfrom pinas_mm.engine.preflight import _hold\n"
        "_hold(Path(sys.argv[1]).resolve())\nprint('held', flush=True)\nsys.stdin.read()\n"
    )
    (tmp_path / "work").mkdir()
    with subprocess.Popen(
        [sys.executable, "-c", hold, str(tmp_path / "work")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as other:
        assert other.stdout.readline() == "held\n"
        with pytest.raises(UserError, match="another training is at work in"):
            check_run(config(), trains=True)
        other.kill()
    check_run(config(), trains=True)


def test_a_training_from_python_lets_others_in_at_its_end(runner, config, tmp_path):
    hold = (
        "import sys\nfrom pathlib import Path\nfrom pinas_mm.engine.preflight import _hold\n"
        "[_hold(Path(folder).resolve()) for folder in sys.argv[1:]]\n"
    )
    kept = tmp_path / "kept" / "work"
    command = [sys.executable, "-c", hold, str(kept)]
    settings = {"default_hooks.checkpoint.out_dir": str(tmp_path / "kept")}
    with held_within():
        check_run(config(**settings), trains=True)
        with held_within():  # What began before goes on.
            pass
        other = subprocess.run(command, capture_output=True, text=True)
        assert "another training is at work in" in other.stderr
    command.append(str(tmp_path / "work"))
    subprocess.run(command, check=True)
    with contextlib.suppress(ZeroDivisionError), held_within():
        check_run(config(**settings), trains=True)
        raise ZeroDivisionError
    subprocess.run(command, check=True)


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOLCK])
def test_a_file_system_without_locks_is_no_hindrance(config, tmp_path, monkeypatch, number):
    def flock(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", flock)  # There is no such file system here.
    file, name = tmp_path / "run.log", next(NAMES)
    MMLogger.get_instance(name, logger_name=name, log_file=str(file))
    with held_within():
        check_run(config(), trains=True)
    assert f"cannot be locked ([Errno {number}]" in file.read_text()


def test_a_training_killed_where_there_are_no_locks_is_requeued_elsewhere(tmp_path):
    killed = (
        "import fcntl, os, socket, sys\nfrom pathlib import Path\n"
        "def flock(*_): raise OSError(38, 'Function not implemented')\n"
        "fcntl.flock, socket.gethostname = flock, lambda: sys.argv[2]\n"
        "from pinas_mm.engine.preflight import _hold\n"
        "_hold(Path(sys.argv[1]).resolve())\nprint('held', flush=True)\nos._exit(9)\n"
    )
    for node in ("node1", "node2"):
        command = [sys.executable, "-c", killed, str(tmp_path), node]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.stdout.endswith("held\n"), done.stderr
        assert done.returncode == 9


def test_a_work_dir_that_cannot_be_made(config, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"cannot be written .*choose another --work-dir"):
        check_run(config(work_dir=str(tmp_path / "file" / "work")), trains=True)


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("default_hooks.checkpoint.interval", "often", "CheckpointHook takes int"),
        ("default_hooks.checkpoint.by_epoch", "text", "CheckpointHook takes bool"),
        ("default_hooks.logger.interval", 2.5, "LoggerHook takes int"),
        ("train_cfg.max_epochs", "ten", "EpochBasedTrainLoop takes int"),
        ("train_cfg.val_interval", 0.5, "EpochBasedTrainLoop takes int"),
        ("val_cfg.num_pairs", 2.5, "RetrievalLoop takes int"),
        ("model.head.pair.temperature", "warm", "InfoNCEHead takes float"),
        ("model.head.pair.queue_size", 1.5, "InfoNCEHead takes int"),
        ("model.paths.num_paths", float("nan"), "CrossPaths takes int"),
        ("model.teacher.momentum", "slow", "MeanTeacher takes float"),
        ("param_scheduler.0.T_max", "long", "takes"),
        ("custom_hooks.0.interval", "x", ""),
        ("default_hooks.checkpoint.type", "mmengine.hooks.CheckpointHook", ""),
    ],
)
def test_a_number_that_is_none(config, key, value, said):
    cfg = config(**{key: value})
    if not said:  # What no class takes is that class's to say.
        check_run(cfg, trains=True)
        return
    with pytest.raises(UserError, match=rf"{key} is .*: .*{said}"):
        check_run(cfg, trains=True)


def test_a_type_that_is_an_address_is_known(config):
    cfg = config(**{"optim_wrapper.optimizer": dict(type="torch.optim.Adam", lr=0.1)})
    cfg.custom_hooks = [dict(type="mmengine.hooks.EMAHook")]
    check_run(cfg, trains=True)
    cfg.optim_wrapper.optimizer.lr = "fast"
    with pytest.raises(UserError, match=r"optim_wrapper\.optimizer\.lr is 'fast': Adam takes"):
        check_run(cfg, trains=True)


@pytest.mark.parametrize(
    ("number", "said"),
    [
        ("ten", "'ten': EpochBasedTrainLoop takes int"),
        (2.5, "2.5: EpochBasedTrainLoop takes int"),
        (None, "None: at least 1 is allowed"),
        (float("nan"), "nan: "),
        (3.0, ""),
    ],
)
def test_the_length_of_a_training_whose_loop_has_no_type(config, number, said):
    cfg = config()
    cfg.train_cfg = dict(by_epoch=True, max_epochs=number)
    cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
    if not said:
        check_run(cfg, trains=True)
        return
    with pytest.raises(UserError, match=f"train_cfg.max_epochs is {said}"):
        check_run(cfg, trains=True)


@pytest.mark.parametrize("hook", [3, "text", True])
def test_a_default_hook_that_is_no_dict(config, hook):
    cfg = config()
    cfg.default_hooks.checkpoint = hook
    with pytest.raises(UserError, match=r"default_hooks\.checkpoint is .*: give a dict"):
        check_run(cfg, trains=True)


@pytest.mark.parametrize(
    "name",
    [
        # An annotation that is not its default's, and a quotient for a whole number.
        "mmpretrain::cae/cae_beit-base-p16_8xb256-amp-coslr-300e_in1k.py",
        "mmdet::v3det/dino-4scale_r50_8xb2_sample1e-3_v3det_36e.py",
    ],
)
def test_libraries_own_configs_pass(name, tmp_path):
    cfg = read_config(name)
    cfg.work_dir = str(tmp_path)
    check_run(cfg, trains=True)


@pytest.mark.parametrize(
    ("name", "best", "said"),
    [
        ("small_supernet.py", "accuracy/top1", "validation gives retrieval/top1"),
        ("small_classifier.py", "retrieval/top1", "validation gives accuracy/"),
        ("small_classifier.py", "accuracy/top1", ""),
        ("small_classifier.py", "auto", ""),
        ("small_classifier.py", ["accuracy/top1", "loss"], "save_best is loss"),
        ("small_classifier.py", True, "save_best is True: give a metric's name, or 'auto'"),
    ],
)
def test_the_metric_of_the_best_checkpoint(config, name, best, said):
    cfg = config(name, **{"default_hooks.checkpoint.save_best": best})
    if not said:
        check_run(cfg, trains=True)
        return
    with pytest.raises(UserError, match=said):
        check_run(cfg, trains=True)


def test_a_metric_that_only_the_first_validation_shows(runner, tmp_path):
    run = runner("small_classifier.py", **{"default_hooks.checkpoint.save_best": "accuracy/top3"})
    with pytest.raises(UserError, match=r"accuracy/top3: validation gives accuracy/top1.*--resume"):
        run.train()
    assert list((tmp_path / "work").glob("epoch_1.pth"))


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (dict(type="LinearLR", end=5), "goes on to 5 epochs, the training ends after 2"),
        (dict(type="MultiStepLR", milestones=[1, 9]), "goes on to 9 epochs"),
        (dict(type="CosineAnnealingLR", T_max=2), ""),
        (dict(type="LinearLR", end=500, by_epoch=False), ""),
    ],
)
def test_schedules_that_the_training_cuts_off(config, tmp_path, settings, said):
    file, name = tmp_path / "run.log", next(NAMES)
    MMLogger.get_instance(name, logger_name=name, log_file=str(file))
    check_run(config(param_scheduler=[settings]), trains=True)
    assert ("is cut off" in file.read_text()) == bool(said)
    assert said in file.read_text()
