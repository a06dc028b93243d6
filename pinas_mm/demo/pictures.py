"""Pictures of what the fine-tuned networks predict, drawn by mmdet's and mmseg's visualizers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import torch
from matplotlib import pyplot as plt
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.registry import DATASETS, MODELS, VISUALIZERS, init_default_scope
from mmengine.runner import load_checkpoint

from pinas_mm.checkpoint import find_checkpoint

# Images are of 128 pixels height: enlarged, so that the visualizers' text can be read.
SCALE = 3
CLASSES = (*map(str, range(10)), "photo")


def draw_predictions(work_dir: Path, number: int) -> list[Path]:
    """Draws ground truth (left) and prediction (right) of the first validation images.

    Args:
        work_dir: of a finished training by mmdet or mmseg, on digits.
        number: of images.

    Returns:
        The pictures, ``predictions/*.png`` in the work dir.
    """
    cfg = Config.fromfile(next(work_dir.glob("*.py")))
    init_default_scope(cfg.default_scope)
    model = MODELS.build(cfg.model).eval()
    load_checkpoint(model, str(find_checkpoint(work_dir)), map_location="cpu")
    images = DATASETS.build(cfg.val_dataloader.dataset)
    enlarged = DATASETS.build({**cfg.val_dataloader.dataset, "pipeline": _enlarging(cfg)})
    drawer = VISUALIZERS.build({**cfg.visualizer, "name": str(work_dir), "vis_backends": None})
    colors = [tuple(round(255 * c) for c in rgb) for rgb in matplotlib.color_sequences["tab10"]]
    drawer.dataset_meta = dict(classes=CLASSES, palette=[*colors, (128, 128, 128)])
    files = []
    for index in range(number):
        data, truth = images[index], enlarged[index]
        # The libraries scale predictions to the original image's size: let that be the enlarged.
        big = truth["data_samples"]
        big_image = truth["inputs"]
        data["data_samples"].set_metainfo(
            dict(ori_shape=tuple(big_image.shape[1:]), scale_factor=(1 / SCALE, 1 / SCALE))
        )
        with torch.no_grad():
            (predicted,) = model.test_step(pseudo_collate([data]))
        for name, value in predicted.items():
            if name.startswith("pred_"):
                setattr(big, name, value)
        file = work_dir / "predictions" / f"{Path(big.img_path).stem}.png"
        rgb = big_image.flip(0).permute(1, 2, 0).numpy()
        drawer.add_datasample("", rgb, big, out_file=str(file))
        files.append(file)
    return files


def contact_sheet(rows: Mapping[str, Sequence[Path]], file: Path) -> None:
    """Puts pictures into one.

    Args:
        rows: by its title, each row's pictures.
        file: the PNG to write.
    """
    figure, axes = plt.subplots(len(rows), 1, figsize=(12, 3 * len(rows)), layout="constrained")


def _enlarging(cfg: Config) -> list[dict[str, Any]]:
    """The test pipeline with image and ground truth enlarged."""
    load, *_, pack = cfg.test_pipeline
    (annotations,) = (step for step in cfg.test_pipeline if step.type == "LoadAnnotations")
    return [load, annotations, dict(type="Resize", scale_factor=float(SCALE)), pack]
