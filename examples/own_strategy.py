"""A training strategy of your own, the whole way from a supernet to a detector.

``InPlaceDistillation`` below is the user's (Yu and Huang, ICCV 2019, section 3.3): of a step's
paths the dearest learns from the labels, and the others from what it predicted. Space, search and
transfer are those of own_operation.py:

    python examples/own_strategy.py

In a config, with this folder on PYTHONPATH:

    custom_imports = dict(imports=["pinas_mm", "own_strategy"], allow_failed_imports=False)
    model = dict(type="InPlaceDistillation", paths=dict(type="pinas_mm.SandwichPaths"), model=...)
"""

from typing import Any

import torch
from mmengine.registry import MODELS
from own_operation import config, parse_args, whole_way
from torch.nn import functional as F

from pinas_mm.algorithms import SinglePath, Step
from pinas_mm.commands.command import command
from pinas_mm.space import Arch


@MODELS.register_module()
class InPlaceDistillation(SinglePath):
    """A classifier whose dearest path teaches the others, in the same step.

    All else is SinglePath's: paths come from ``paths``, each has a backward pass of its own,
    gradients are those of the mean, and the search takes the checkpoint as any other's.
    """

    def path_loss(self, batch: dict[str, Any], arch: Arch, step: Step) -> dict[str, torch.Tensor]:
        """The loss of one of the step's paths, which come one after the other."""
        with self.backbone.on(arch):
            logits = self.model(batch["inputs"])
        if step.number == 0:
            # SandwichPaths draws the dearest path first; what it leaves here the others find.
            step.memory["predicted"] = logits.detach().softmax(dim=1)
            targets = torch.cat([sample.gt_label for sample in batch["data_samples"]])
        else:
            targets = step.memory["predicted"]
        return dict(loss=F.cross_entropy(logits, targets))


@command
def main() -> None:
    """The whole way, trained by this strategy."""
    args = parse_args()
    cfg = config(args.data, args.steps)
    cfg.model.type = "InPlaceDistillation"
    # The dearest, the cheapest and two random ones; costs are counted for 32-pixel images.
    cfg.model.paths = dict(type="pinas_mm.SandwichPaths", num_paths=4, image_size=32)
    whole_way(cfg, args.data, args.work_dir)


if __name__ == "__main__":
    main()
