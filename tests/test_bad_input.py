"""Bad input ends in one line on stderr and status 2, and leaves no checkpoint behind."""

import shlex
import shutil

import bad_inputs
import pytest
import torch
from conftest import CONFIGS, COUNTED, NAMES, REPOSITORY, pinas_model
from mmengine.config import Config
from mmengine.registry import MODELS

CHECKPOINTS = {
    "missing": "does not exist",
    "truncated": "is truncated",
    "of-another-space": "keys missing",
    "of-another-kind": "does not fit",
    "with-an-object": "holds more than tensors",
    "no-checkpoint": "truncated or no PyTorch checkpoint",
}


class Anything:
    """An object that only pickle could bring back."""


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory):
    """One file of each kind of CHECKPOINTS, and a good one."""
    folder = tmp_path_factory.mktemp("checkpoints")
    state, at = pinas_model().state_dict(), {"iter": 4, "epoch": 1}
    other = pinas_model(**{"backbone.space.candidates": [(1, 1, 64), (2, 1, 64)]}).state_dict()
    for name, content in {
        "good": {"state_dict": state, "meta": {}},
        "of-another-space": {"state_dict": other, "meta": at, "optimizer": {}},
        "of-another-kind": {
            "state_dict": torch.nn.Linear(2, 3).state_dict(),
            "meta": at,
            "optimizer": {},
        },
        "with-an-object": {"state_dict": state, "meta": Anything()},
    }.items():
        torch.save(content, folder / f"{name}.pth")
    whole = (folder / "good.pth").read_bytes()
    (folder / "truncated.pth").write_bytes(whole[: len(whole) // 2])
    (folder / "no-checkpoint.pth").write_text("good morning")
    return folder


@pytest.fixture
def refused(tool, tmp_path):
    """Trains or tests; returns the one line of the error."""
    work_dir = tmp_path / "work"

    def run(name, config, *arguments, options=()):
        status, _, err = tool(
            name,
            config if "/" in str(config) else CONFIGS / config,
            *arguments,
            "--work-dir",
            work_dir,
            *("--cfg-options", f"experiment_name={next(NAMES)}", *options),
        )
        assert status == 2
        errors = [line for line in err.splitlines() if "mmengine - INFO" not in line]
        assert "Traceback" not in err
        assert [line for line in errors if line.startswith("error: ")] == errors[-1:]
        assert not [p for p in work_dir.rglob("*") if p.suffix in (".pth", ".tmp")]
        return errors[-1]

    return run


@pytest.mark.parametrize("kind", CHECKPOINTS)
def test_resuming_from_a_bad_checkpoint(refused, checkpoints, kind):
    error = refused("train.py", "small_supernet.py", "--resume", checkpoints / f"{kind}.pth")
    assert CHECKPOINTS[kind] in error


def test_resuming_from_weights_alone(refused, checkpoints):
    error = refused("train.py", "small_supernet.py", "--resume", checkpoints / "good.pth")
    assert "holds weights but no training to resume" in error


def test_resuming_from_the_best_which_has_no_optimizer(refused, checkpoints, tmp_path):
    content = torch.load(checkpoints / "good.pth", weights_only=True)
    torch.save({**content, "meta": {"iter": 4, "epoch": 1}}, tmp_path / "best_epoch_1.pth")
    error = refused("train.py", "small_supernet.py", "--resume", tmp_path / "best_epoch_1.pth")
    assert "no optimizer's state, as the best ones do" in error


@pytest.mark.parametrize("kind", CHECKPOINTS)
def test_a_linear_probe_on_a_bad_checkpoint(refused, checkpoints, kind):
    option = f"model.model.backbone.init_cfg.checkpoint={checkpoints / kind}.pth"
    error = refused("train.py", "small_linear.py", options=[option])
    assert CHECKPOINTS[kind] in error


@pytest.mark.parametrize("kind", CHECKPOINTS)
def test_testing_a_bad_checkpoint(refused, checkpoints, kind):
    error = refused("test.py", "small_supernet.py", checkpoints / f"{kind}.pth")
    assert CHECKPOINTS[kind] in error


@pytest.mark.parametrize("way", ["test", "resume"])
def test_a_head_of_another_size_is_not_left_random(refused, tmp_path, way):
    cfg = Config.fromfile(CONFIGS / "small_classifier.py")
    cfg.model.head.num_classes = 7
    state = MODELS.build(cfg.model).state_dict()
    file = tmp_path / "seven.pth"
    torch.save({"state_dict": state, "meta": {"iter": 4, "epoch": 1}, "optimizer": {}}, file)
    tested = ("test.py", "small_classifier.py", file)
    resumed = ("train.py", "small_classifier.py", "--resume", file)
    error = refused(*(tested if way == "test" else resumed))
    assert "does not fit ImageClassifier: 2 of another shape (head.fc.weight has [7, 32]" in error


@pytest.mark.parametrize("split", ["train", "val"])
@pytest.mark.parametrize("kind", ["missing", "empty", "other"])
def test_a_data_root_without_the_data(refused, tmp_path, split, kind):
    root = tmp_path / "data_root"
    if kind != "missing":
        root.mkdir()
    if kind == "other":
        (root / "readme.txt").write_text("no images here")
    option = f"{split}_dataloader.dataset.data_root={root}"
    error = refused("train.py", "small_supernet.py", options=[option])
    assert str(root) in error
    assert f"of the {split} set is missing or empty" in error
    # Nothing was written at all.
    assert not (tmp_path / "work").exists()


@pytest.fixture
def broken_image(digits, tmp_path):
    """A copy of the digits with one JPEG cut off; returns data root and name."""
    root = shutil.copytree(digits / "imagenet", tmp_path / "imagenet")
    image = sorted(root.glob("train/*/*.jpg"))[5]
    image.write_bytes(image.read_bytes()[:400])
    return root, image.name


@pytest.mark.parametrize("workers", [0, 1])
def test_a_truncated_image_is_named(refused, broken_image, workers):
    root, name = broken_image
    options = [f"train_dataloader.dataset.data_root={root}"]
    error = refused(
        "train.py",
        "small_supernet.py",
        options=[*options, f"train_dataloader.num_workers={workers}"],
    )
    assert name in error
    assert "ignore_empty=True" in error


def test_a_truncated_image_is_skipped_where_that_is_asked_for(train, broken_image, tmp_path):
    options = {
        "train_dataloader.dataset.data_root": broken_image[0],
        "train_dataloader.dataset.pipeline.0.ignore_empty": True,
        "train_cfg.max_epochs": 1,
    }
    assert len(train("small_supernet.py", tmp_path / "work", options=options)) == 4


def test_cross_paths_in_a_space_of_one_candidate(refused):
    option = "model.backbone.space.candidates=[(1,1,64)]"
    error = refused("train.py", "small_supernet.py", options=[option])
    assert "CrossPaths draws 2 paths" in error


def test_too_few_views_for_the_paths(refused):
    error = refused("train.py", "small_supernet.py", options=["model.paths.num_paths=3"])
    assert "3 paths need 6 views" in error


def test_a_config_that_is_not_there(refused, tmp_path):
    error = refused("train.py", tmp_path / "nothing.py")
    assert "nothing.py does not exist" in error


def test_a_loss_that_is_no_number_stops_before_the_next_checkpoint(tool, tmp_path):
    config = tmp_path / "explodes.py"
    config.write_text(
        f"_base_ = ['{CONFIGS / 'small_supernet.py'}']\n"
        "param_scheduler = [dict(type='MultiStepLR', milestones=[2], gamma=1e35)]\n"
        "train_cfg = dict(max_epochs=6, val_interval=10)\n"
    )
    work_dir = tmp_path / "work"
    options = ["--cfg-options", f"experiment_name={next(NAMES)}"]
    status, _, err = tool("train.py", config, "--work-dir", work_dir, *options)
    assert status == 2
    # Two epochs of four good iterations; the ninth's step leaps, which the tenth's loss shows.
    assert err.splitlines()[-1].startswith(
        f"error: loss is nan at iteration 10; the last good checkpoint is {work_dir}/epoch_2.pth"
    )
    assert sorted(p.name for p in work_dir.glob("*.pth")) == ["epoch_1.pth", "epoch_2.pth"]
    state = torch.load(work_dir / "epoch_2.pth")["state_dict"]
    assert all(value.isfinite().all() for value in state.values())


@pytest.fixture(scope="module")
def good(checkpoints):
    """Files for the commands of the table: a supernet's checkpoint, a probe's, damaged findings."""
    content = torch.load(checkpoints / "good.pth", weights_only=True)
    at = {"meta": {"iter": 4, "epoch": 1}, "optimizer": {}, "message_hub": {}}
    torch.save({**content, **at}, checkpoints / "super.pth")
    probe = Config.fromfile(CONFIGS / "small_linear.py").model
    probe.model.backbone.init_cfg = None
    torch.save({"state_dict": MODELS.build(probe).state_dict()}, checkpoints / "linear.pth")
    (checkpoints / "best.json").write_text("{")
    return checkpoints


def rows(table):
    return [pytest.param(given, words, id=given) for given, *words in table]


@pytest.mark.parametrize(("option", "words"), rows(bad_inputs.SUPERNET))
def test_settings_of_a_supernet(refused, option, words):
    error = refused("train.py", "small_supernet.py", options=[option])
    assert [word for word in words if word not in error] == [], error


@pytest.mark.parametrize(("option", "words"), rows(bad_inputs.CLASSIFIER))
def test_settings_of_a_classifier(refused, option, words):
    error = refused("train.py", "small_classifier.py", options=[option])
    assert [word for word in words if word not in error] == [], error


@pytest.mark.parametrize(("option", "words"), rows(bad_inputs.SEARCH))
def test_settings_of_a_search(refused, good, option, words):
    error = refused("search.py", "small_search.py", good / "linear.pth", options=[option])
    assert [word for word in words if word not in error] == [], error


@pytest.mark.parametrize(("command", "words"), rows(bad_inputs.COMMANDS))
def test_commands(tool, good, tmp_path, monkeypatch, command, words):
    out = tmp_path / "out"
    name, *given = shlex.split(command.replace("{out}", str(out)).replace("{}", str(good)))
    if name in ("train.py", "test.py", "search.py"):
        # Two runs within a second would share mmengine's logger, and the first one's stream.
        given += ["--cfg-options", f"experiment_name={next(NAMES)}"]
        given += [] if "--work-dir" in given else ["--work-dir", str(tmp_path / "work")]
    monkeypatch.chdir(REPOSITORY)
    before = {file: file.stat().st_mtime_ns for file in good.iterdir()}
    status, _, err = tool(name, *given)
    error = err.strip().splitlines()[-1]
    assert status == 2
    assert "Traceback" not in err
    assert "error: " in error
    assert [word for word in words if word not in error] == [], error
    assert {file: file.stat().st_mtime_ns for file in good.iterdir()} == before
    assert not [file for file in out.rglob("*") if file.is_file()]


@pytest.mark.parametrize("door", ["test", "resume", "export"])
@pytest.mark.parametrize("kind", bad_inputs.DAMAGED)
def test_checkpoints_of_another_form(tool, good, tmp_path, door, kind):
    damage, said = bad_inputs.DAMAGED[kind]
    file, config = tmp_path / "damaged.pth", CONFIGS / "small_supernet.py"
    torch.save(damage(torch.load(good / "super.pth", weights_only=True)), file)
    run = ("--work-dir", tmp_path / "work", "--cfg-options", f"experiment_name={next(NAMES)}")
    status, _, err = {
        "test": lambda: tool("test.py", config, file, *run),
        "resume": lambda: tool("train.py", config, "--resume", file, *run),
        "export": lambda: tool(
            *("export.py", "--arch", "31-2", "--config", config, "--supernet", file),
            *("--out", tmp_path / "out.pth"),
        ),
    }[door]()
    assert status == 2
    error = err.strip().splitlines()[-1]
    assert "Traceback" not in err
    assert error.startswith("error: ")
    assert (said if isinstance(said, str) else said[door]) in error
    assert sorted(path.name for path in tmp_path.rglob("*.pth")) == ["damaged.pth"]


def test_the_table_is_long(record_property):
    tables = (bad_inputs.SUPERNET, bad_inputs.CLASSIFIER, bad_inputs.SEARCH, bad_inputs.COMMANDS)
    number = sum(map(len, tables)) + 3 * len(bad_inputs.DAMAGED)
    record_property(COUNTED, f"{number} bad inputs, one line each")
    said = " ".join((REPOSITORY / "docs/guides/train.md").read_text().split())
    assert f"{number} bad inputs" in said
