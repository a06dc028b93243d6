#!/usr/bin/env python
"""Scores architectures together and each by itself, from a checkpoint and image files on.

    python benchmarks/evaluate.py [--out FILE.json] [--rows classifier detector] [--archs 200]
        [--pixels 64 128] [--images 64] [--alone 4] [--rounds 2] [--threads 2]

Both sides are the search's own evaluate(): build the model, load its checkpoint, read the images,
recompute batch norms' statistics, measure. Together it is called once for all architectures, alone
once for each, and both must give the same metrics to the bit. The architectures are the population
that evolution ends with on a made landscape. Of those alone a few are timed, evenly over all of
them, since each costs about the same. The sides have a process each and take turns.

classifier: the default supernet under a linear head, as pinas_search.py has it. detector: the
demo's Mask R-CNN with the demo's operations, but the skip, in 16 blocks, as many as the default
space has.
"""

import argparse
import multiprocessing
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(REPOSITORY), str(REPOSITORY / "tests")]

import numpy as np
import torch
from breeding import bred
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner import save_checkpoint
from results import facts
from rich.console import Console
from rich.table import Table

from pinas_mm.data.digits import prepare
from pinas_mm.engine.run_search import evaluate
from pinas_mm.files import write_json
from pinas_mm.machine import usable_cores
from pinas_mm.registry import MODELS
from pinas_mm.search.evaluation.prefixes import PrefixTree
from pinas_mm.space import Arch, SearchSpace

ROWS = ("classifier", "detector")
SEEDS = range(10)
CALIBRATION = 64
# What the activations that wait for a sibling may take.
MEMORY = "512M"


def config(row: str, pixels: int, images: int, archs: int, folder: str) -> Config:
    """A search's config, its data in a folder."""
    search = dict(images=images, batch=archs, memory=MEMORY)
    if row == "detector":
        cfg = Config.fromfile(REPOSITORY / "configs/demo/task_mask_rcnn.py")
        space = cfg.model.model.backbone.space
        # The landscape that architectures are bred on lets every candidate stand everywhere.
        space.update(depths=(4, 6, 6), candidates=space.candidates[1:])
        cfg.search.update(search, calibration_batches=3)
    else:
        cfg = Config.fromfile(REPOSITORY / "configs/pinas_search.py")
        cfg.model.model.data_preprocessor.num_classes = cfg.model.model.head.num_classes = 10
        for loader in (cfg.val_dataloader, cfg.val_cfg.calibration_dataloader):
            loader.update(num_workers=0, batch_size=32)
            loader.dataset.pipeline[1:3] = [
                dict(type="ResizeEdge", scale=pixels * 8 // 7, edge="short"),
                dict(type="CenterCrop", crop_size=pixels),
            ]
        cfg.search.update(search, calibration_batches=CALIBRATION // 32)
    cfg.merge_from_dict(dict(work_dir=f"{folder}/work_dir", log_level="ERROR"))
    return cfg


def write_inputs(row: str, pixels: int, images: int, folder: str) -> SearchSpace:
    """Images and a checkpoint of random weights, whose paths differ."""
    layout = dict(classifier="imagenet", detector="coco")[row]
    options = dict(height=256, train=CALIBRATION, val=images) if row == "classifier" else {}
    list(prepare(f"{folder}/data", [layout], **options))
    init_default_scope("mmpretrain")
    torch.manual_seed(0)
    made = config(row, pixels, images, 1, folder).model
    made.model.backbone.pop("init_cfg")
    model = MODELS.build(made)
    model.init_weights()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
    save_checkpoint(dict(state_dict=model.state_dict()), f"{folder}/model.pth")
    return model.backbone.space


def scored(
    row: str, pixels: int, images: int, folder: str, threads: int, archs: Sequence[Sequence[int]]
) -> tuple[float, list[dict[str, float]], int]:
    """Seconds, metrics, and most bytes of activations that were kept, in this process."""
    torch.set_num_threads(threads)
    start = time.perf_counter()
    evaluator, _, metrics = evaluate(
        config(row, pixels, images, len(archs), folder), f"{folder}/model.pth", archs
    )
    took = time.perf_counter() - start
    # Where the model itself runs, its batch norms included, no walk is counted.
    counts = [*evaluator.calibration_counts, *evaluator.scoring_counts]
    return took, metrics, max((count.peak_bytes for count in counts), default=0)


def measure(row: str, pixels: int, folder: str, args: argparse.Namespace) -> dict:
    """One row: both sides in turns."""
    space = write_inputs(row, pixels, args.images, folder)
    archs = [tuple(arch) for arch in bred(space, args.archs)]
    chosen = np.linspace(0, len(archs) - 1, args.alone).round().astype(int)
    times: dict[str, list[float]] = dict(together=[], alone=[])
    spawn = multiprocessing.get_context("spawn")
    sides = {side: ProcessPoolExecutor(1, spawn) for side in times}

    def run(side: str, archs: Sequence[Arch]) -> tuple[float, list[dict[str, float]], int]:
        settings = row, pixels, args.images, folder, args.threads
        return sides[side].submit(scored, *settings, archs).result()

    try:
        for side in sides:
            run(side, archs[:1])
        for _ in range(args.rounds):
            took, metrics, kept = run("together", archs)
            times["together"].append(took)
            for index in chosen:
                took, alone, _ = run("alone", [archs[index]])
                times["alone"].append(took)
                if alone != [metrics[index]]:
                    raise AssertionError(f"{alone} alone, {metrics[index]} together")
    finally:
        for side in sides.values():
            side.shutdown()
    seconds = {
        side: dict(min=min(found), median=statistics.median(found)) for side, found in times.items()
    }
    return dict(
        row=row,
        pixels=pixels,
        archs=args.archs,
        rounds=args.rounds,
        seconds=seconds,
        ratio={
            which: args.archs * seconds["alone"][which] / seconds["together"][which]
            for which in ("min", "median")
        },
        blocks=share(archs),
        kept_bytes=kept,
    )


def share(archs: Sequence[Sequence[int]]) -> float:
    """Block evaluations of a walk over the architectures' prefixes, in percent of one by one."""
    return 100 * PrefixTree(archs).num_blocks / sum(map(len, archs))


def shares(archs: int) -> dict[str, dict[str, float]]:
    """Of the default space's architectures, median, least and most of several seeds."""
    space, found = SearchSpace(), {}
    for name, draw in (
        ("bred by evolution", lambda seed: bred(space, archs, seed)),
        ("random", lambda seed: space.sample(archs, np.random.default_rng(seed))),
    ):
        each = [share(draw(seed)) for seed in SEEDS]
        found[name] = dict(median=statistics.median(each), least=min(each), most=max(each))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=ROWS)
    parser.add_argument("--archs", type=int, default=200)
    parser.add_argument("--pixels", nargs="+", type=int, default=[64, 128], help="the classifier's")
    parser.add_argument("--images", type=int, default=64, help="to score on")
    parser.add_argument("--alone", type=int, default=4, help="architectures timed by themselves")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--threads", type=int, default=usable_cores())
    parser.add_argument("--out", help="JSON file for the numbers")
    args = parser.parse_args()
    sizes = dict(classifier=args.pixels, detector=[128])
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        os.environ["PINAS_DATA"] = f"{folder}/data"
        for row in args.rows:
            for pixels in sizes[row]:
                rows.append(measure(row, pixels, folder, args))
                if args.out:
                    # A long row's fault does not cost what others took.
                    _write(args, rows)
    table = Table(title=f"{args.archs} architectures bred by evolution, minima (medians)")
    for column in ("", "alone, s each", "together, s", "faster", "blocks run"):
        table.add_column(column, justify="right" if column else "left")
    for row in rows:
        alone, together = (row["seconds"][side] for side in ("alone", "together"))
        table.add_row(
            f"{row['row']}, {row['pixels']} pixels",
            f"{alone['min']:.2f} ({alone['median']:.2f})",
            f"{together['min']:.1f} ({together['median']:.1f})",
            f"{row['ratio']['min']:.1f} ({row['ratio']['median']:.1f})",
            f"{row['blocks']:.0f} %",
        )
    Console().print(table)


def _write(args: argparse.Namespace, rows: list[dict]) -> None:
    found = dict(threads=args.threads, memory=MEMORY, rows=rows, blocks=shares(args.archs))
    write_json(args.out, facts(__file__) | found)


if __name__ == "__main__":
    main()
