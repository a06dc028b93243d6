"""Where a training's checkpoints lie is known to all that looks for them or writes there."""

from pathlib import Path

import pytest
import torch
from conftest import CONFIGS, NAMES
from mmengine.config import Config
from mmengine.hooks import CheckpointHook

import pinas_mm
from pinas_mm.engine.checkpoints import checkpoints, folders, last_of, places
from pinas_mm.engine.launch import use_resume
from pinas_mm.engine.preflight import check_run
from pinas_mm.errors import UserError
from pinas_mm.weights.checkpoint import find_checkpoint

WHERE = {
    "out_dir": dict(out_dir="{}/kept"),
    "filename_tmpl": dict(filename_tmpl="step_{:03d}.pth"),
    "both": dict(out_dir="{}/kept", filename_tmpl="{}.pt"),
    "a folder each": dict(filename_tmpl="{}/model.pth"),
    "out_dir is the work dir": dict(out_dir="{}/work"),
}


@pytest.fixture
def config(tmp_path):
    """Makes a small config; of its CheckpointHook with settings, and the work dir in them."""

    def make(hook, **settings):
        hook = {
            key: value.format(tmp_path) if key == "out_dir" else value
            for key, value in hook.items()
        }
        cfg = Config.fromfile(CONFIGS / "small_classifier.py")
        cfg.merge_from_dict(
            {
                "experiment_name": next(NAMES),
                "work_dir": str(tmp_path / "work"),
                "train_cfg.max_epochs": 1,
                "default_hooks.checkpoint": hook,
                **settings,
            }
        )
        return cfg

    return make


@pytest.mark.parametrize("where", WHERE)
def test_wherever_checkpoints_lie_they_are_found_and_not_replaced(
    config, monkeypatch, digits, tmp_path, where
):
    monkeypatch.setenv("PINAS_DATA", str(digits))
    best = {**WHERE[where], "save_best": "accuracy/top1"}
    model = pinas_mm.train(config(best))
    last = Path(model.cfg.load_from)
    named = Path((tmp_path / "work" / "last_checkpoint").read_text())
    assert last == named.resolve()
    assert find_checkpoint(tmp_path / "work") == last
    assert last in checkpoints(config(best))
    assert last.is_relative_to(tmp_path / "kept" / "work") == ("kept" in str(best.get("out_dir")))
    bests = list(tmp_path.rglob("best_*"))
    assert len(bests) == 1
    assert bests[0] in checkpoints(config(best))
    before = last.read_bytes()
    with pytest.raises(UserError, match=r"of a training already.*--resume"):
        pinas_mm.train(config(best))
    # Whatever is lost of the work dir.
    (tmp_path / "work" / "last_checkpoint").unlink()
    cfg = config(best)
    use_resume(cfg, "auto")
    assert cfg.resume
    assert cfg.load_from == str(last)
    assert last.read_bytes() == before


def test_resuming_goes_on_from_out_dir(train, tmp_path):
    work, kept = tmp_path / "work", tmp_path / "kept" / "work"
    options = {"default_hooks.checkpoint.out_dir": kept.parent, "train_cfg.max_epochs": 2}
    train("small_supernet.py", work, options=options)
    unbroken = torch.load(kept / "epoch_2.pth", weights_only=True)["state_dict"]
    # As if it was killed while it wrote.
    (kept / "epoch_2.pth").rename(kept / ".epoch_2.pth.4711.tmp")
    rows = train("small_supernet.py", work, "--resume", options=options)
    assert [row["step"] for row in rows] == [5, 6, 7, 8]
    resumed = torch.load(kept / "epoch_2.pth", weights_only=True)["state_dict"]
    assert all(torch.equal(value, resumed[name]) for name, value in unbroken.items())
    assert not list(kept.glob(".*.tmp"))


@pytest.mark.parametrize("template", ["{}", "{}.pth", "{0}_of_{0}.pth"])
def test_a_checkpoints_name_has_a_number(config, tmp_path, template):
    work = tmp_path / "work"
    (work / "vis_data").mkdir(parents=True)
    (work / "winner.pth").touch()
    cfg = config(dict(filename_tmpl=template))
    check_run(cfg, trains=True)
    (work / template.format(3)).touch()
    with pytest.raises(UserError, match="of a training already"):
        check_run(cfg, trains=True)


def test_what_is_no_checkpoint_of_the_training_is_not_resumed(config, tmp_path):
    (tmp_path / "work").mkdir()
    torch.save({"state_dict": {}}, tmp_path / "work" / "winner.pth")
    cfg = config({})
    use_resume(cfg, "auto")
    # Else mmengine looks for one by itself.
    assert not cfg.resume
    assert cfg.load_from is None
    (tmp_path / "work" / "epoch_1.pth").write_bytes(b"PK half")
    with pytest.raises(UserError, match="no checkpoint in"):
        use_resume(cfg, "auto")


@pytest.mark.parametrize("pointer", ["{}/gone/epoch_1.pth", "s3://bucket/work/epoch_1.pth"])
def test_what_the_last_checkpoint_names_and_is_not_there(
    config, monkeypatch, digits, tmp_path, pointer
):
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "last_checkpoint").write_text(pointer.format(tmp_path))
    with pytest.raises(UserError, match=r"last_checkpoint names .*epoch_1\.pth.*not there"):
        use_resume(config({}), "auto")
    # The training is not lost for that.
    monkeypatch.setenv("PINAS_DATA", str(digits))
    cfg = config({})
    cfg.default_hooks.checkpoint = None
    assert pinas_mm.train(cfg).cfg.load_from is None


@pytest.mark.parametrize(
    ("hook", "name", "replaced"),
    [
        ({}, "work/epoch_1.pth", True),
        ({}, "work/epoch_2.pth", False),
        (dict(filename_tmpl="step_{}.pth"), "work/step_1.pth", True),
        (dict(filename_tmpl="step_{}.pth"), "work/epoch_1.pth", False),
        (dict(filename_tmpl="{:02d}/model.pth"), "work/01/model.pth", True),
        (dict(out_dir="{}/kept"), "kept/work/epoch_1.pth", True),
        (dict(out_dir="{}/kept"), "work/epoch_1.pth", False),
        (dict(by_epoch=False), "work/iter_160.pth", True),
        ({}, "work/best_accuracy_top1_epoch_1.pth", False),
        (dict(save_best="auto"), "work/best_accuracy_top1_epoch_1.pth", True),
        (dict(save_best="auto"), "work/best_accuracy_top1_epoch_3.pth", False),
        ({}, "elsewhere/epoch_1.pth", False),
    ],
)
def test_what_a_training_starts_from_it_does_not_replace(config, tmp_path, hook, name, replaced):
    (tmp_path / name).parent.mkdir(parents=True)
    (tmp_path / name).touch()
    # However it is named.
    (tmp_path / "link.pth").symlink_to(tmp_path / name)
    for file in (tmp_path / name, tmp_path / "link.pth"):
        cfg = config(hook, load_from=str(file))
        if replaced:
            with pytest.raises(UserError, match=r"load_from is .* may write over: give another"):
                check_run(cfg, trains=True)
        else:
            check_run(cfg, trains=True)


def test_two_work_dirs_of_one_name_do_not_mix_in_out_dir(config, tmp_path):
    (tmp_path / "kept" / "work").mkdir(parents=True)
    (tmp_path / "kept" / "work" / "epoch_1.pth").touch()
    said = r"kept/work holds epoch_1\.pth of a training already.*a --work-dir of another name"
    with pytest.raises(UserError, match=said):
        check_run(config(dict(out_dir="{}/kept")), trains=True)


def test_an_out_dir_that_cannot_be_written(config, tmp_path):
    (tmp_path / "kept").touch()
    with pytest.raises(UserError, match=r"choose another default_hooks\.checkpoint\.out_dir"):
        check_run(config(dict(out_dir="{}/kept")), trains=True)


@pytest.mark.parametrize(
    "template", ["last.pth", "{}_{}.pth", "{0}_{1}.pth", "{epoch}.pth", "{", 5]
)
def test_a_name_without_one_place_for_the_step(config, template):
    said = r"default_hooks\.checkpoint\.filename_tmpl is .*: give a file name with one \{\}"
    with pytest.raises(UserError, match=said):
        check_run(config(dict(filename_tmpl=template)), trains=True)


def test_every_hook_that_writes_checkpoints_counts(config, tmp_path):
    more = [
        dict(type="CheckpointHook", filename_tmpl="more_{}.pth"),
        CheckpointHook(out_dir=str(tmp_path / "kept")),
        dict(type="pinas_mm.SafeCheckpointHook"),
    ]
    cfg = config({}, custom_hooks=more)
    assert {place.key for place in places(cfg)} == {
        "default_hooks.checkpoint",
        "custom_hooks.0",
        "custom_hooks.1",
    }
    assert set(folders(cfg)) == {tmp_path / "work", tmp_path / "kept" / "work"}
    cfg.default_hooks.checkpoint = None
    assert len(places(cfg)) == 2
    del cfg.default_hooks["checkpoint"]  # The runner has one of its own then.
    assert len(places(cfg)) == 3
    # Nobody can look there before mmengine does.
    assert places(config(dict(out_dir="s3://bucket"))) == []


def test_a_training_that_writes_no_checkpoint_gives_its_model(config, monkeypatch, digits):
    monkeypatch.setenv("PINAS_DATA", str(digits))
    cfg = config({})
    cfg.default_hooks.checkpoint = None
    model = pinas_mm.train(cfg)
    assert model.cfg.load_from is None
    assert last_of(cfg) is None
    with pytest.raises(UserError, match="left no checkpoint to cut from"):
        pinas_mm.export_subnet(model, "000")
