"""Fine-tunes a whole model's architectures, each alone, one after the other in one process.

    python -m pinas_mm.demo.fine_tune CONFIG CHECKPOINT --archs 24-20-32 --steps 12 --work-dir DIR

A training of a minute takes longer to start than to run; here modules are imported once. What is
done in the work dir is not done again.
"""

from __future__ import annotations

import argparse
import itertools
import logging
from collections.abc import Sequence
from pathlib import Path

import mmengine.config.config
from mmengine.config import Config
from mmengine.runner import Runner

from pinas_mm.commands.command import command
from pinas_mm.engine.config import read_config
from pinas_mm.engine.run_search import evaluate
from pinas_mm.export import hand_over
from pinas_mm.files import write_json

# What a work dir holds: metrics in the supernet, and of each training.
SUPERNET, TUNED = "supernet.json", "tuned.json"


def _parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", help="of the supernet in its model, with its search")
    parser.add_argument("checkpoint", help="of the supernet in its model")
    parser.add_argument("--archs", nargs="+", required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--work-dir", type=Path, required=True)
    return parser.parse_args()


def fine_tune(
    config: str,
    checkpoint: str,
    archs: Sequence[str],
    seeds: Sequence[int],
    steps: int,
    work_dir: Path,
) -> None:
    """Hands each architecture over, trains the whole model on, and tests it.

    ``supernet.json`` in the work dir has each architecture's metrics in the supernet, and
    ``tuned.json`` in a folder of each architecture and seed those after the fine-tuning, of the
    config's test set. A step has half of the config's images, and the learning rate starts at a
    thirtieth of its and falls to 0: at a third, so few steps undo more than they learn, and the
    order of the images decides.

    Args:
        config: of the supernet in its model, with its search.
        checkpoint: of that model; a file or a work dir.
        archs: in text form.
        seeds: of the order of the images.
        steps: of each training.
        work_dir: folder for all.
    """
    scores = work_dir / SUPERNET
    if not scores.is_file():
        cfg = read_config(config)
        cfg.work_dir = str(work_dir / "scoring")
        *_, metrics = evaluate(cfg, checkpoint, archs)
        write_json(scores, dict(zip(archs, metrics, strict=True)))
    for arch in archs:
        folder = work_dir / "models" / arch
        if not folder.is_dir():
            hand_over(folder, checkpoint, read_config(config), arch)
    for arch, seed in itertools.product(archs, seeds):
        result = work_dir / f"{arch}_seed{seed}" / TUNED
        if not result.is_file():
            handed = work_dir / "models" / arch / f"{arch}.py"
            write_json(result, _tuned(Config.fromfile(handed), seed, steps, result.parent))


def _tuned(cfg: Config, seed: int, steps: int, folder: Path) -> dict[str, float]:
    cfg.work_dir, cfg.randomness = str(folder), dict(seed=seed)
    cfg.experiment_name = f"{folder.parent.name}_{folder.name}"
    cfg.train_cfg.max_iters = steps
    cfg.train_dataloader.batch_size //= 2
    cfg.optim_wrapper.optimizer.lr /= 30
    cfg.param_scheduler = [dict(type="CosineAnnealingLR", by_epoch=False)]
    # Tested once, on other images than the search's.
    cfg.val_dataloader = cfg.val_cfg = cfg.val_evaluator = None
    cfg.default_hooks.checkpoint = dict(type="CheckpointHook", interval=steps, by_epoch=False)
    cfg.log_level = "WARNING"
    runner = Runner.from_cfg(cfg)
    runner.train()
    runner.logger.setLevel(logging.WARNING)
    return runner.test()


@command
def _main() -> None:
    args = _parse_args()
    # Laying out a config's text, four times a run, takes as long as so short a training; the
    # runner's copy of a config forgets its format_python_code=False.
    mmengine.config.config.FormatCode = lambda text, **_: (text, False)  # type: ignore[attr-defined]
    fine_tune(args.config, args.checkpoint, args.archs, args.seeds, args.steps, args.work_dir)


if __name__ == "__main__":
    _main()
