"""What the tools do, from Python: a supernet is trained, searched under a budget, and exported.

On handwritten digits and in a few steps, which show the way and not a result:

    python examples/python_api.py

``first_search.ipynb`` is the same for a notebook. Where a training and a search went before,
``pinas_mm.init_model(cfg, work_dir)`` gives the trained model.
"""

import argparse
import os
from pathlib import Path

import pinas_mm
from pinas_mm.commands.command import command
from pinas_mm.data.digits import prepare


def parse_args() -> argparse.Namespace:
    """Where things go, and how long it takes."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--work-dir", type=Path, default="work_dirs/python_api")
    parser.add_argument("--data", type=Path, default="data/example", help="made where missing")
    parser.add_argument("--steps", type=int, default=20, help="epochs of 4 steps of the supernet")
    return parser.parse_args()


@command
def main() -> None:
    """The whole way."""
    args = parse_args()
    list(prepare(args.data, ["fragments"], train=64, val=32))
    os.environ["PINAS_DATA"] = str(args.data)
    # A file and options, as of a tool's command line.
    cfg = pinas_mm.read_config(
        "configs/demo/digits_search_label_free.py",
        {
            "train_dataloader.batch_size": 16,
            "train_cfg.max_epochs": args.steps,
            "train_cfg.val_interval": args.steps,
            "default_hooks.checkpoint.interval": args.steps,
            "param_scheduler": [dict(type="CosineAnnealingLR", by_epoch=True)],
            "val_cfg.num_images": 32,
        },
    )
    model = pinas_mm.train(cfg, args.work_dir / "supernet")
    findings = pinas_mm.search(
        model,
        args.work_dir / "search",
        trials=8,
        images=32,
        calibration_batches=2,
        constraints=["params<=100k"],
    )
    print(findings)
    findings.plot("network").savefig(args.work_dir / "winner.png")
    winner = args.work_dir / "winner.pth"
    backbone = pinas_mm.export_subnet(model, findings.best(1)[0].arch, winner, batches=2)
    print(f"{winner}: {pinas_mm.count_costs(backbone, 12).cost(backbone.arch)}")


if __name__ == "__main__":
    main()
