"""A search by a detector's own metric: on several ranks, and on images that are read again."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from single_paths import single_path
from torch import distributed, multiprocessing
from whole_models import detections, detector, with_instances

from pinas_mm.data.digits import prepare
from pinas_mm.search.evaluation.evaluator import Evaluator
from pinas_mm.search.evaluation.images import Batches
from pinas_mm.search.evaluation.scores import PredictScore

pytestmark = pytest.mark.slow

ARCHS = ["01-2", "32-0", "01-1", "33-3", "01-2"]
METRICS = [dict(type="mmdet.CocoMetric"), dict(type="pinas_mm.EveryNumber")]


def scored(space):
    """Metrics by an FCOS, whose loss averages over ranks, with synchronized norms in its head."""
    config = detector(space, norm_cfg=dict(type="SyncBN"))
    config.bbox_head.norm_cfg = dict(type="SyncBN")
    torch.manual_seed(4)
    *calibration, last = (detections() for _ in range(4))
    images = Batches(lambda: [with_instances(last)], [2], dict(classes=tuple("abcd")))
    model = single_path(config, torch.float32)
    return Evaluator(model, PredictScore(METRICS), calibration, images).evaluate(ARCHS)


def worker(rank, folder, space):
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", f"file://{folder}/store", rank=rank, world_size=2)
    Path(folder, f"rank{rank}.json").write_text(json.dumps(scored(space)))
    distributed.barrier()
    distributed.destroy_process_group()


def test_two_processes_take_different_architectures_and_get_what_one_gets(space, tmp_path):
    multiprocessing.spawn(worker, args=(str(tmp_path), space), nprocs=2)
    expected = scored(space)
    assert len({metrics["sum0"] for metrics in expected}) == len(set(ARCHS))
    for rank in range(2):
        assert json.loads((tmp_path / f"rank{rank}.json").read_text()) == expected


MEASURE = """
import sys
import torch
sys.path[:0] = sys.argv[4:]
import whole_models
from mmengine.registry import init_default_scope
from single_paths import single_path
from pinas_mm.search.evaluation.build import build_evaluator
from pinas_mm.space import SearchSpace
from mmengine.config import Config

root, images, keep = sys.argv[1], int(sys.argv[2]), sys.argv[3] == "keep"
torch.set_num_threads(1)
init_default_scope("mmdet")
small = Config.fromfile(f"{sys.argv[4]}/configs/small_supernet.py").small_space.to_dict()
config = whole_models.detector(SearchSpace.build(small))
config.test_cfg.nms_pre = 5
model = single_path(config, torch.float32)
truth = dict(type="LoadAnnotations", with_bbox=True)
pack = dict(type="PackDetInputs", meta_keys=("img_id", "ori_shape", "img_shape", "scale_factor"))
pipeline = [dict(type="LoadImageFromFile"), truth, dict(type="Resize", scale=(320, 256)), pack]
data_set = dict(type="CocoDataset", data_root=root, pipeline=pipeline, test_mode=True)
data_set |= dict(metainfo=dict(classes=["person", "bicycle", "car", "motorcycle"]))
data_set |= dict(ann_file="annotations/instances_val2017.json", data_prefix=dict(img="val2017/"))
loader = dict(batch_size=4, num_workers=0, dataset=data_set, sampler=dict(shuffle=False))
metric = dict(type="CocoMetric", ann_file=f"{root}/annotations/instances_val2017.json")
score = dict(type="pinas_mm.PredictScore", metrics=metric)
evaluator = build_evaluator(model, score, loader, loader, images, 2, "16M", 0, keep)
evaluator.evaluate(["01-2"])
# Of this program alone: getrusage begins with what its parent had.
(line,) = [line for line in open("/proc/self/status") if line.startswith("VmHWM")]
print(int(line.split()[1]) // 1024)
"""


def test_memory_does_not_grow_with_images_that_are_read_again(tmp_path):
    list(prepare(tmp_path, ["coco"], train=16, val=500))
    tests = str(Path(__file__).parents[2])

    def peak(images, keep):
        words = [str(tmp_path / "coco"), str(images), keep, tests, str(Path(tests).parent)]
        done = subprocess.run(
            [sys.executable, "-c", MEASURE, *words], capture_output=True, text=True, check=True
        )
        return int(done.stdout.split()[-1])

    few, many, kept = peak(100, "read"), peak(500, "read"), peak(500, "keep")
    # 400 images of 256 x 320 pixels are 94 MiB.
    assert many - few < 25
    assert kept - few > 80
