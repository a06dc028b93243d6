"""tools/check_data.py looks at all annotations, counts them and names what is wrong."""

import json
import shutil

import pytest
from conftest import REPOSITORY

DEMO = REPOSITORY / "configs" / "demo"


@pytest.fixture
def check(tool, layouts, monkeypatch, tmp_path):
    """Runs the tool on a copy of the layouts: (its folder, status, the lines that it prints)."""
    data = shutil.copytree(layouts, tmp_path / "data")

    monkeypatch.setenv("PINAS_DATA", str(data))

    def run(config, *arguments):
        status, out, err = tool("check_data.py", DEMO / config, *arguments)
        assert "Traceback" not in err
        return status, [line for line in out.splitlines() if "mmengine - INFO" not in line]

    return data, run


def test_sound_data(check):
    _, run = check
    status, lines = run("transfer_mask_rcnn.py")
    assert status == 0
    assert [line.partition(":")[0] for line in lines] == ["train_dataloader", "val_dataloader"]
    assert lines[0].startswith("train_dataloader: 4 images, ")
    assert lines[0].endswith(" annotations, 0 faults")


def test_all_faults_are_listed_up_to_some_tens(check):
    data, run = check
    path = data / "coco/annotations/instances_train2017.json"
    content = json.loads(path.read_text())
    content["annotations"] = [
        dict(entry, id=100 * copy + number, bbox=[1, 2, 3])
        for copy in range(4)
        for number, entry in enumerate(content["annotations"][:10])
    ]
    path.write_text(json.dumps(content))
    shutil.rmtree(data / "coco/val2017")
    status, lines = run("transfer_mask_rcnn.py")
    assert status == 2
    assert lines[0] == "train_dataloader: 4 images, 40 annotations, 40 faults"
    assert f"{path}, annotation 0: bbox is [1, 2, 3]: four finite numbers" in lines[1]
    assert sum("four finite numbers" in line for line in lines) == 30
    # The test set is the validation's.
    assert lines[-3:] == [
        "val_dataloader: 1 faults",
        "test_dataloader: 1 faults",
        "12 more faults are not shown",
    ]


def test_search_and_calibration_are_looked_at_and_options_taken(check):
    data, run = check
    (data / "imagenet/meta/val.txt").write_text("digit_0/none.jpg 0\n\n")
    option = "model.model.head.num_classes=3"
    status, lines = run("digits_search.py", "--cfg-options", option)
    assert status == 2
    assert any("line 4: label 3 of digit_3" in line for line in lines)
    assert "label 3" in "".join(lines)
    assert any("val_evaluator: Accuracy with topk=(1, 5) needs 5 classes" in line for line in lines)
    assert any("search: ProbeScore with topk=(1, 5) needs 5 classes" in line for line in lines)
    places = [line.partition(":")[0] for line in lines if not line.startswith("  ")]
    assert {"train_dataloader", "val_cfg.calibration_dataloader"} <= {*places}


def test_no_such_config(tool, tmp_path):
    status, _, err = tool("check_data.py", tmp_path / "none.py")
    assert (status, "none.py does not exist" in err) == (2, True)


@pytest.mark.parametrize("name", ["mask_rcnn", "deeplabv3_ade20k"])
def test_a_training_is_refused_before_anything_is_written(check, tool, tmp_path, name):
    data, _ = check
    path = data / "coco/annotations/instances_train2017.json"
    content = json.loads(path.read_text())
    content["annotations"][0]["bbox"][0] = float("nan")
    path.write_text(json.dumps(content))
    labels = sorted((data / "ADEChallengeData2016/annotations/training").iterdir())[0]
    labels.write_bytes(labels.read_bytes()[:90])
    config, work_dir = DEMO / f"transfer_{name}.py", tmp_path / "work"
    status, _, err = tool("train.py", config, "--work-dir", work_dir)
    assert status == 2
    line = err.splitlines()[-1]
    assert line.startswith(
        f"error: {path}, annotation 1: bbox is [nan"
        if name == "mask_rcnn"
        else f"error: label map {labels} cannot be read"
    )
    assert not work_dir.exists()
