#!/usr/bin/env python
"""What batch-norm statistics of a trained Mask R-CNN are worth, by how they are recomputed.

    make demo
    python benchmarks/calibration.py work_dirs/demo/seed0/transfer/mask_rcnn

The demo's fine-tuned detector is tested with the statistics of its training, then with such of its
predictions and of a training step's forward pass, on the same batches of training images.
"""

import argparse
import copy
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch
from mmengine.config import Config
from mmengine.evaluator import Evaluator as Metrics
from mmengine.model import revert_sync_batchnorm
from mmengine.registry import init_default_scope
from results import facts

from pinas_mm.commands.command import command
from pinas_mm.files import write_json
from pinas_mm.models.batch_norm import Statistics
from pinas_mm.models.calibration import calibration_batch, calibration_pass
from pinas_mm.registry import MODELS
from pinas_mm.search.evaluation.build import load_calibration
from pinas_mm.search.evaluation.images import load_batches
from pinas_mm.weights.checkpoint import find_checkpoint, read_checkpoint, state_dict

SHOWN = ("coco/bbox_mAP", "coco/segm_mAP")


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("work_dir", type=Path, help="of the demo's Mask R-CNN")
    parser.add_argument("--batches", type=int, default=24, help="of training images (default: 24)")
    parser.add_argument("--out", default="docs/calibration.json")
    return parser.parse_args()


@command
def main() -> None:
    args = parse_args()
    cfg = Config.fromfile(args.work_dir / "transfer_mask_rcnn.py")
    init_default_scope(cfg.default_scope)
    model = revert_sync_batchnorm(MODELS.build(cfg.model)).eval()
    model.load_state_dict(state_dict(read_checkpoint(find_checkpoint(args.work_dir))))
    images = load_batches(cfg.val_dataloader)
    numbered = list(enumerate(load_calibration(cfg.train_dataloader, args.batches)))

    def tested() -> dict[str, float]:
        metrics = Metrics(cfg.val_evaluator)
        metrics.dataset_meta = images.metainfo
        for batch in map(copy.deepcopy, images):
            with torch.no_grad():
                metrics.process(model.test_step(batch), batch)
        found = metrics.evaluate(sum(images.sizes))
        return {name: round(100 * found[name], 1) for name in SHOWN}

    ways = {
        "predictions": lambda one: model.test_step(copy.deepcopy(one[1])),
        "training step": lambda one: calibration_pass(
            model, calibration_batch(model, one[1]), one[0]
        ),
    }
    found = {"of the training": tested()}
    for way, run in ways.items():
        with Statistics(model, run, numbered).applied():
            found[way] = tested()
    for way, metrics in found.items():
        print(f"{way:16} " + ", ".join(f"{name} {value}" for name, value in metrics.items()))
    write_json(args.out, facts(__file__) | dict(batches=args.batches, ap=found))


if __name__ == "__main__":
    main()
