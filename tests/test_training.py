"""Whole trainings by the tools: determinism, ablations and options."""

import json

import pytest
from conftest import CONFIGS, NAMES, REPOSITORY

from pinas_mm.compat import fast_bfloat16
from pinas_mm.weights.checkpoint import read_checkpoint

pytestmark = pytest.mark.slow

TWO_STEPS = {"train_dataloader.dataset.indices": 8, "train_cfg.max_epochs": 1}
ONE_PROCESS = [
    f"{split}_dataloader.{setting}"
    for split in ("train", "val")
    for setting in ("num_workers=0", "persistent_workers=False", "batch_size=2")
]


def losses(rows):
    return [(row["step"], row["loss"], row["similarity"], row["spread"]) for row in rows]


def test_a_seed_decides_the_losses(train, tmp_path):
    runs = [
        losses(
            train(
                "small_supernet.py",
                tmp_path / str(number),
                options={**TWO_STEPS, "randomness.seed": seed},
            )
        )
        for number, seed in enumerate((1, 1, 2))
    ]
    assert runs[0] == runs[1]
    assert all(one != other for one, other in zip(runs[0], runs[2], strict=True))


ABLATIONS = {
    "no cross": "head=dict(cross=False)",
    "self teacher": "teacher=dict(_delete_=True, type='pinas_mm.SelfTeacher')",
    "pi model": "teacher=dict(_delete_=True, type='pinas_mm.SelfTeacher', stop_gradient=False),"
    "head=dict(pair=dict(_delete_=True, type='pinas_mm.PiModelHead'))",
    "no negatives": "head=dict(pair=dict(_delete_=True, type='pinas_mm.PiModelHead'))",
    "uniform paths": "paths=dict(type='pinas_mm.UniformPaths', num_paths=2)",
    "three paths": "paths=dict(num_paths=3), data_preprocessor=dict(num_views=6)",
}


@pytest.fixture
def variant(tmp_path):
    """A config file that changes the model of a small config."""

    def write(base, model, rest=""):
        path = tmp_path / "variant.py"
        path.write_text(f"_base_ = ['{CONFIGS / base}']\nmodel = dict({model})\n{rest}\n")
        return path

    return write


def test_ablations_train_from_config_alone(train, variant, tmp_path):
    seen = set()
    for name, model in {"plain": "", **ABLATIONS}.items():
        config = variant("small_supernet.py", model)
        rows = train(config, tmp_path / name.replace(" ", "-"), options=TWO_STEPS)
        assert [row["step"] for row in rows] == [1, 2], name
        assert rows[1]["loss"] not in seen, name
        seen.add(rows[1]["loss"])


@pytest.mark.parametrize(
    "paths",
    [
        "dict(type='pinas_mm.UniformPaths', num_paths=1)",
        "dict(_delete_=True, type='pinas_mm.FairPaths', num_paths=4)",
    ],
    ids=["SPOS", "FairNAS"],
)
def test_supernets_with_labels_train(train, variant, tmp_path, paths):
    inner = "model=dict(backbone=dict(init_cfg=None))"
    model = f"freeze_backbone=False, paths={paths}, {inner}"
    config = variant("small_linear.py", model)
    rows = train(config, tmp_path / "work", options=TWO_STEPS)
    assert [row["step"] for row in rows] == [1, 2]
    state = read_checkpoint(tmp_path / "work")["state_dict"]
    counts = [state[f"backbone.layer1.0.{c}.bn1.num_batches_tracked"].item() for c in range(4)]
    # Batches a block's candidates have seen in two steps.
    assert sum(counts) == (8 if "Fair" in paths else 2)
    assert "Fair" not in paths or counts == [2] * 4


def test_the_teachers_momentum_follows_its_schedule(train, variant, tmp_path):
    hook = "custom_hooks = [dict(type='pinas_mm.TeacherMomentumHook', start=0.9)]"
    config = variant("small_supernet.py", "", hook)
    rows = train(config, tmp_path / "work", options={"train_cfg.max_epochs": 1})
    assert len(rows) == 4
    # Half a cosine from 0.9 to 1.
    assert [row["teacher_momentum"] for row in rows] == pytest.approx([0.9, 0.925, 0.975, 1.0])


def test_options_from_another_directory_without_a_gpu(run_process, tmp_path):
    done = run_process(
        REPOSITORY / "tools/train.py",
        "tests/configs/small_supernet.py",
        "--amp",
        "--auto-scale-lr",
        "--no-validate",
        *("--cfg-options", "model.backbone.norm_cfg.type=SyncBN"),
        *(f"{key}={value}" for key, value in TWO_STEPS.items()),
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    work_dir = tmp_path / "work_dirs" / "small_supernet"
    assert read_checkpoint(work_dir)["meta"]["iter"] == 2
    said = done.stdout.count("mixed precision needs one, training is in float32 here")
    assert said == (0 if fast_bfloat16() else 1)
    assert done.stdout.count("SyncBN needs one, its layers are plain BN here") == 1
    assert "retrieval" not in done.stdout
    row = json.loads(next(work_dir.glob("*/vis_data/scalars.json")).read_text().splitlines()[0])
    assert row["lr"] == pytest.approx(0.03 * 4 / 192)


def test_a_config_of_the_library_itself_trains(run_process, digits, tmp_path):
    root = digits / "imagenet"
    done = run_process(
        "tools/train.py",
        "mmpretrain::resnet/resnet18_8xb32_in1k.py",
        *("--work-dir", tmp_path, "--no-validate", "--cfg-options", *ONE_PROCESS),
        *(f"{split}_dataloader.dataset.data_root={root}" for split in ("train", "val", "test")),
        *("train_dataloader.dataset.indices=4", "train_cfg.max_epochs=1"),
    )
    assert done.returncode == 0, done.stderr
    assert read_checkpoint(tmp_path)["meta"]["iter"] == 2


def test_a_trained_supernet_is_probed_and_both_are_tested(train, tool, tmp_path):
    train("small_supernet.py", tmp_path / "supernet", options=TWO_STEPS)
    checkpoint = {"model.model.backbone.init_cfg.checkpoint": tmp_path / "supernet"}
    rows = train("small_linear.py", tmp_path / "linear", options={**TWO_STEPS, **checkpoint})
    assert len(rows) == 2
    for name, metrics in (
        ("supernet", {"retrieval/top1", "retrieval/spread"}),
        ("linear", {f"accuracy/top{k}{std}" for k in (1, 5) for std in ("", "_std")}),
    ):
        results = []
        for number in range(2):
            out = tmp_path / "metrics" / f"{name}{number}.json"
            status, _, err = tool(
                "test.py",
                CONFIGS / f"small_{name}.py",
                tmp_path / name,
                *("--work-dir", tmp_path / "test", "--out", out),
                *("--cfg-options", f"experiment_name={next(NAMES)}"),
            )
            assert status == 0, err
            results.append(json.loads(out.read_text()))
        assert set(results[0]) == metrics
        assert results[0] == results[1]
