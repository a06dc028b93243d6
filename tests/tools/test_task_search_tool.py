"""tools/search.py of a supernet in a detector, given a wrong config: one line, nothing scored."""

import json
import re

import pytest
from conftest import NAMES
from tasks import trained, write_task

from pinas_mm.engine.config import read_config

# The search in the config, and a setting of each sort that users get wrong.
SEARCH = """
_base_ = ["fcos.py"]
search = dict(
    score=dict(
        type="pinas_mm.PredictScore", metrics=dict(_base_.val_evaluator, metric=["bbox"])
    ),
    objectives=["coco/bbox_mAP"],
    calibration_batches=2,
)
"""
BAD = {
    "search.objectives=[mIoU]": r"objective mIoU is not among .* coco/bbox_mAP, .* macs, latency",
    "model.model.backbone=None": r"model FCOS has no backbone: give it .*PiNASSupernet",
    "model.model.backbone.out_indices=(0,1)": r"neck takes .* out_indices \(0, 1\): its stages",
    "val_dataloader.dataset.ann_file=gone.json": r"gone\.json of the search set is missing",
    "search.score.metrics.ann_file=gone.json": r"CocoMetric cannot be made .*gone\.json",
    "search.score.metrics.ann_file=None": r"no ann_file, .* bring no instances along",
    "search.score.metrics.ann_file={folder}/other.json": r"other\.json .* does not have image 1,",
    "search.score.metrics.ann_file={folder}/empty.json": r"empty\.json .* has no annotations",
    "search.score.metrics.type=mmseg.IoUMetric": r"IoUMetric fails on what FCOS predicts",
    "search.score.metrics.metric=[bbox,segm]": r"CocoMetric fails on what FCOS pred.*segm",
    "val_dataloader.dataset.pipeline=[]": r"gives img_path, .* no inputs: end its pipeline in",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory, layouts):
    """Config and checkpoint; files of ground truth of other images, and of none."""
    folder = tmp_path_factory.mktemp("task")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PINAS_DATA", str(layouts))
        trained(read_config(write_task("fcos", folder)), folder / "fcos.pth")
    (folder / "search.py").write_text(SEARCH)
    truth = json.loads((layouts / "coco/annotations/instances_val2017.json").read_text())
    (folder / "empty.json").write_text(json.dumps(truth | dict(annotations=[])))
    for entry in truth["images"]:
        entry["id"] += 100
    (folder / "other.json").write_text(json.dumps(truth))
    return folder


@pytest.mark.parametrize("option", BAD)
def test_bad_input_is_one_line(option, tool, folder, layouts, monkeypatch, tmp_path):
    monkeypatch.setenv("PINAS_DATA", str(layouts))
    given = option.replace("{folder}", str(folder))
    name = f"experiment_name={next(NAMES)}"
    status, _, err = tool(
        *("search.py", folder / "search.py", folder / "fcos.pth", "--work-dir", tmp_path / "work"),
        *("--cfg-options", name, given),
    )
    assert status == 2
    last = err.strip().splitlines()[-1]
    assert last.startswith("error: ")
    assert re.search(BAD[option], last), last
    assert "Traceback" not in err
    assert not list((tmp_path / "work").glob("best*"))
