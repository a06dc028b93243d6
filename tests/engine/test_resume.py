"""A resumed run is the unbroken one to the last bit, or says in one line what is not."""

import copy
import pickletools
import re
import shutil
import zipfile

import pytest
import torch
from mmengine.hooks import Hook

from pinas_mm.engine.resume import drop_files
from pinas_mm.errors import UserError
from pinas_mm.weights.checkpoint import read_checkpoint

# 16 images, 8 iterations an epoch; checkpoints after each third.
SHORT = {
    "train_dataloader.batch_size": 2,
    "val_cfg": None,
    "val_dataloader": None,
    "val_evaluator": None,
    "default_hooks.checkpoint": dict(
        type="CheckpointHook", interval=3, by_epoch=False, max_keep_ckpts=-1
    ),
}
EPOCHS = {"train_cfg.max_epochs": 2}
ITERATIONS = {
    "train_cfg": dict(_delete_=True, type="IterBasedTrainLoop", max_iters=12),
    "param_scheduler": [dict(type="CosineAnnealingLR", by_epoch=False)],
}
INFINITE = {**ITERATIONS, "train_dataloader.sampler.type": "InfiniteSampler"}
KINDS = {
    "epochs": ("small_supernet.py", EPOCHS, [3, 9, 12]),
    "the end of an epoch": ("small_classifier.py", EPOCHS, [8, 16]),
    "an infinite sampler": ("small_classifier.py", INFINITE, [3, 9]),
    "data begun anew": ("small_classifier.py", ITERATIONS, [9]),
    "workers": ("small_classifier.py", {**INFINITE, "train_dataloader.num_workers": 2}, [9]),
}


class Recorder(Hook):
    """What each iteration was trained on, at which rate, and what came out."""

    def __init__(self):
        self.rows = []

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        images = [sample.img_path for sample in data_batch["data_samples"]]
        rate = runner.optim_wrapper.param_groups[0]["lr"]
        self.rows.append(
            (runner.epoch, runner.iter, batch_idx, rate, images, float(outputs["loss"]))
        )


@pytest.fixture
def trained(runner, capfd, tmp_path):
    """Trains a small config, from a checkpoint if one is named; (rows, what it said)."""

    def run(config, options, checkpoint=None):
        resume = {"load_from": str(checkpoint), "resume": True} if checkpoint else {}
        if not checkpoint:
            shutil.rmtree(tmp_path / "work", ignore_errors=True)
        # Merging takes _delete_ out of what it is given.
        run = runner(config, **copy.deepcopy({**SHORT, **options, **resume}))
        recorder = Recorder()
        run.register_hook(recorder)
        capfd.readouterr()
        run.train()
        out, err = capfd.readouterr()
        return recorder.rows, [line for line in (out + err).splitlines() if "resumed" in line]

    return run


@pytest.mark.parametrize("kind", KINDS)
def test_from_anywhere_it_goes_on_as_the_unbroken_run(trained, tmp_path, kind):
    config, options, places = KINDS[kind]
    if kind == "the end of an epoch":
        options = {**options, "default_hooks.checkpoint.interval": 4}
    unbroken, _ = trained(config, options)
    assert len({row[-1] for row in unbroken}) == len(unbroken)
    for place in places:
        rows, said = trained(config, options, tmp_path / "work" / f"iter_{place}.pth")
        assert rows == unbroken[place:], place
        # That it is, and no difference.
        assert len(said) == 1, said


@pytest.fixture
def decoded(monkeypatch):
    """Numbers of images decoded."""
    from pinas_mm.data import loading

    seen = []
    original = loading.LoadImage.transform
    monkeypatch.setattr(
        loading.LoadImage,
        "transform",
        lambda self, results: seen.append(results["img_path"]) or original(self, results),
    )
    return seen


def test_images_that_were_trained_on_are_not_decoded_again(trained, decoded, tmp_path):
    for options in (EPOCHS, INFINITE):
        trained("small_classifier.py", options)
        decoded.clear()
        rows, _ = trained("small_classifier.py", options, tmp_path / "work" / "iter_6.pth")
        # One more is looked at: is it augmented at random?
        assert len(decoded) == 2 * len(rows) + 1


MORE = {"train_cfg.max_epochs": 4}


@pytest.mark.parametrize(
    ("schedule", "said"),
    [
        (dict(type="CosineAnnealingLR"), ["CosineAnnealingLR.T_max 4 (was 2)", "goes on at"]),
        (dict(type="LinearLR", start_factor=0.1), ["LinearLR.total_iters 3 (was 1)"]),
        (dict(type="OneCycleLR", eta_max=0.3), ["OneCycleLR.total_steps 4 (was 2)"]),
        (
            dict(type="CosineAnnealingLR", by_epoch=True, convert_to_iter_based=True),
            ["CosineAnnealingLR.T_max 32 (was 16)"],
        ),
    ],
    ids=["cosine", "linear", "one cycle", "by iteration"],
)
def test_with_more_epochs_the_schedule_is_the_longer_runs(trained, tmp_path, schedule, said):
    options = {"param_scheduler": [schedule], "default_hooks.checkpoint.interval": 8}
    longer, _ = trained("small_classifier.py", {**options, **MORE})
    trained("small_classifier.py", {**options, **EPOCHS})
    rows, lines = trained(
        "small_classifier.py", {**options, **MORE}, tmp_path / "work" / "iter_16.pth"
    )
    # The weights are those of the shorter schedule.
    assert [row[3] for row in rows] == [row[3] for row in longer[16:]]
    assert len({row[3] for row in rows}) > 1
    assert all(any(words in line for line in lines) for words in said), lines


@pytest.mark.parametrize(
    "schedule",
    [
        dict(type="MultiStepLR", milestones=[1, 1], gamma=0.5),
        dict(type="OneCycleLR", eta_max=0.3),
        dict(type="PolyLR", power=0.9),
    ],
    ids=lambda schedule: schedule["type"],
)
def test_a_checkpoint_has_what_the_oldest_pytorch_loads_safely(trained, tmp_path, schedule):
    options = {"param_scheduler": [schedule], "default_hooks.checkpoint.interval": 8, **EPOCHS}
    whole, _ = trained("small_classifier.py", options)
    file = tmp_path / "work" / "iter_8.pth"
    with zipfile.ZipFile(file) as packed:
        (pickle,) = (name for name in packed.namelist() if name.endswith("/data.pkl"))
        named = {
            a for code, a, _ in pickletools.genops(packed.read(pickle)) if code.name == "GLOBAL"
        }
    # PyTorch 2.1's, of which 2.4 has more.
    allowed = re.compile(r"torch\._utils _rebuild\w+|torch \w+Storage|collections OrderedDict")
    assert named
    assert all(allowed.fullmatch(name) for name in named), named
    rows, _ = trained("small_classifier.py", options, file)
    assert [row[3] for row in rows] == [row[3] for row in whole[8:]]


def test_a_schedule_that_ends_before_the_training_is_said(trained, tmp_path):
    schedule = dict(type="MultiStepLR", milestones=[1], end=2)
    options = {"param_scheduler": [schedule], "default_hooks.checkpoint.interval": 8}
    trained("small_classifier.py", {**options, **EPOCHS})
    _, lines = trained(
        "small_classifier.py", {**options, **MORE}, tmp_path / "work" / "iter_16.pth"
    )
    assert any("schedule ends at epoch 2 of 4 and stays there" in line for line in lines)


@pytest.mark.parametrize(
    ("change", "rate", "said"),
    [
        ({"optim_wrapper.optimizer.lr": 0.05}, 0.05, "initial_lr 0.05 (was 0.1)"),
        ({"optim_wrapper.optimizer.weight_decay": 0.5}, 0.1, "weight_decay 0.5 (was 0.0)"),
    ],
    ids=["lr", "weight decay"],
)
def test_a_setting_given_anew_is_taken_and_said(trained, tmp_path, change, rate, said):
    schedule = {"param_scheduler": [dict(type="ConstantLR", factor=1.0)]}
    unbroken, _ = trained("small_classifier.py", {**EPOCHS, **schedule})
    rows, lines = trained(
        "small_classifier.py",
        {**EPOCHS, **schedule, **change},
        tmp_path / "work" / "iter_3.pth",
    )
    assert {row[3] for row in rows} == {rate}
    assert rows[1] != unbroken[4]
    assert any(said in line for line in lines), lines


def test_an_optimizer_of_another_kind_is_refused(trained, tmp_path):
    trained("small_classifier.py", EPOCHS)
    other = {"optim_wrapper.optimizer": dict(_delete_=True, type="AdamW", lr=0.1)}
    with pytest.raises(UserError, match="optimizer is of another kind than the config's AdamW"):
        trained("small_classifier.py", {**EPOCHS, **other}, tmp_path / "work" / "iter_3.pth")


@pytest.mark.parametrize(("place", "lost"), [(4, 1), (6, 0), (8, 2)])
def test_gradients_that_a_checkpoint_does_not_hold_are_said(trained, tmp_path, place, lost):
    options = {
        **INFINITE,
        "default_hooks.checkpoint.interval": 2,
        "optim_wrapper.accumulative_counts": 3,
    }
    unbroken, _ = trained("small_classifier.py", options)
    file = tmp_path / "work" / f"iter_{place}.pth"
    rows, said = trained("small_classifier.py", options, file)
    assert (rows == unbroken[place:]) == (not lost)
    words = [line for line in said if "within an accumulation of 3 batches" in line]
    assert len(words) == bool(lost)
    for line in words:
        assert f"resumed at iteration {place + 1}" in line
        assert f"the first {lost} are lost, and the next step is of {3 - lost};" in line


def test_what_cannot_be_the_same_is_said(trained, tmp_path):
    trained("small_classifier.py", EPOCHS)
    flip = [
        dict(type="pinas_mm.LoadImage"),
        dict(type="RandomFlip", prob=0.5),
        dict(type="PackInputs"),
    ]
    changes = {
        "train_dataloader.dataset.pipeline": flip,
        "train_dataloader.batch_size": 4,
        "randomness.seed": 7,
    }
    rows, lines = trained(
        "small_classifier.py", {**EPOCHS, **changes}, tmp_path / "work" / "iter_3.pth"
    )
    text = "\n".join(lines)
    assert "batches 4 (was 8), batch_size 4 (was 2)" in text
    assert re.search(r"resumed at iteration 4: images are augmented by random numbers", text)
    # The epoch is begun anew.
    assert rows[0][2] == 0


def test_files_that_a_run_began_with_need_not_be_there(trained, runner, tmp_path):
    """Nor need the config say what they said."""
    trained("small_classifier.py", EPOCHS)
    checkpoint = tmp_path / "work" / "iter_3.pth"
    saved = read_checkpoint(checkpoint)
    prefix = "backbone."
    state = {k.removeprefix(prefix): v for k, v in saved["state_dict"].items() if prefix in k}
    file = tmp_path / "backbone.pth"
    meta = {name: saved["meta"][name] for name in ("arch", "space", "in_channels")}
    torch.save({"state_dict": state, "meta": meta}, file)
    options = {
        **EPOCHS,
        "model.backbone.arch": None,
        "model.backbone.space": None,
        "model.backbone.init_cfg": dict(type="Pretrained", checkpoint=str(file)),
    }
    unbroken, _ = trained("small_classifier.py", options)
    file.unlink()
    rows, _ = trained("small_classifier.py", options, checkpoint)
    assert rows == unbroken[3:]
    with pytest.raises(UserError, match=r"backbone\.pth does not exist"):
        runner("small_classifier.py", **SHORT, **options, work_dir=str(tmp_path / "other"))


def test_initializers_without_files_stay():
    module = torch.nn.Linear(1, 1)
    for given, left in (
        (None, None),
        (dict(type="Pretrained", checkpoint="x"), None),
        (dict(type="Normal", std=1), dict(type="Normal", std=1)),
        (
            [dict(type="Normal"), dict(type="pinas_mm.FromSupernet", checkpoint="x")],
            [dict(type="Normal")],
        ),
    ):
        module.init_cfg = given
        drop_files(module)
        assert module.init_cfg == left


def test_the_seed_is_the_resumed_runs(trained, tmp_path, capfd):
    unbroken, _ = trained("small_classifier.py", EPOCHS)
    for seed in (None, 5):
        rows, _ = trained(
            "small_classifier.py",
            {**EPOCHS, "randomness.seed": seed},
            tmp_path / "work" / "iter_3.pth",
        )
        assert rows == unbroken[3:]


def test_no_config_in_a_checkpoint_is_run(trained, tmp_path):
    trained("small_classifier.py", EPOCHS)
    checkpoint, trap = tmp_path / "work" / "iter_3.pth", tmp_path / "trap"
    content = read_checkpoint(checkpoint)
    content["meta"]["config"] = f"import os\nos.mkdir({str(trap)!r})\n"
    torch.save(content, checkpoint)
    trained("small_classifier.py", EPOCHS, checkpoint)
    assert not trap.exists()
