"""Pictures of what the fine-tuned networks predict, drawn by mmdet's and mmseg's visualizers."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import torch
from matplotlib import pyplot as plt
from matplotlib.colors import to_rgb
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.registry import DATASETS, MODELS, VISUALIZERS, init_default_scope

from pinas_mm.weights.checkpoint import read_checkpoint, state_dict

# Images are 128 pixels high: enlarged, so that the visualizers' text can be read.
SCALE = 3
CLASSES = (*map(str, range(10)), "photo")
SHEET_WIDTH = 2400  # pixels that a row of pictures fills at most


def draw_predictions(work_dir: Path, config: str, number: int) -> Iterator[Path]:
    """Draws ground truth (left) and prediction (right) of the first validation images.

    Args:
        work_dir: of a finished training on digits by mmdet or mmseg.
        config: name of its config, which the training left there.
        number: of images.

    Yields:
        The pictures, ``predictions/*.png`` in the work dir.
    """
    cfg = Config.fromfile(work_dir / Path(config).name)
    init_default_scope(cfg.default_scope)
    model = MODELS.build(cfg.model).eval()
    model.load_state_dict(state_dict(read_checkpoint(work_dir)))
    images = DATASETS.build(cfg.val_dataloader.dataset)
    truths = DATASETS.build({**cfg.val_dataloader.dataset, "pipeline": _enlarging(cfg)})
    visualizer = VISUALIZERS.build({**cfg.visualizer, "name": str(work_dir), "vis_backends": None})
    visualizer.dataset_meta = dict(classes=CLASSES, palette=_palette())
    for data, truth in itertools.islice(zip(images, truths, strict=True), number):
        sample, image = data["data_samples"], truth["inputs"]
        # The libraries bring predictions to the original image's size: let it be the enlarged one.
        sample.set_metainfo(
            dict(ori_shape=tuple(image.shape[1:]), scale_factor=(1 / SCALE, 1 / SCALE))
        )
        sample.set_data(dict(truth["data_samples"].items()))
        with torch.no_grad():
            (drawn,) = model.test_step(pseudo_collate([data]))
        file = work_dir / "predictions" / f"{Path(drawn.img_path).stem}.png"
        rgb = image.flip(0).permute(1, 2, 0).contiguous().numpy()
        visualizer.add_datasample(file.stem, rgb, drawn, out_file=str(file))
        yield file


def contact_sheet(rows: Mapping[str, Sequence[Path]], file: Path) -> None:
    """Puts pictures into one, a row a network, as many as have room.

    Args:
        rows: each row's pictures by its title.
        file: the PNG to write.
    """
    figure, axes = plt.subplots(len(rows), figsize=(12, 2.7 * len(rows)), layout="constrained")
    for axis, (title, files) in zip(np.atleast_1d(axes), rows.items(), strict=True):
        pictures = [plt.imread(picture) for picture in files]
        fit = max(SHEET_WIDTH // pictures[0].shape[1], 1)
        axis.imshow(np.concatenate(pictures[:fit], axis=1))
        axis.set_title(f"{title}: ground truth, prediction")
        axis.axis("off")
    figure.savefig(file, dpi=110)
    plt.close(figure)


def _palette() -> list[tuple[int, ...]]:
    colors = [
        tuple(round(255 * c) for c in to_rgb(color))
        for color in matplotlib.color_sequences["tab10"]
    ]
    return [*colors, (128, 128, 128)]


def _enlarging(cfg: Config) -> list[dict[str, Any]]:
    """The test pipeline with image and ground truth enlarged."""
    load, *_, pack = cfg.test_pipeline
    (annotations,) = (step for step in cfg.test_pipeline if step.type == "LoadAnnotations")
    return [load, annotations, dict(type="Resize", scale_factor=float(SCALE)), pack]
