"""A score of your own for the search, the whole way from a supernet to a detector.

``LogLikelihood`` below is the user's: how sure an architecture is of the right class of held-out
images. It tells architectures apart that hit equally many. Space, training and transfer are those
of own_operation.py:

    python examples/own_score.py

In a config, with this folder on PYTHONPATH:

    custom_imports = dict(imports=["pinas_mm", "own_score"], allow_failed_imports=False)
    search = dict(score=dict(type="LogLikelihood"), objectives=["log_likelihood"], ...)
"""

import torch
from own_operation import config, parse_args, whole_way
from torch.nn import functional as F

from pinas_mm.commands.command import command
from pinas_mm.registry import SCORES
from pinas_mm.search.evaluation.scores import ClassificationScore


@SCORES.register_module()
class LogLikelihood(ClassificationScore):
    """The mean logarithm of the probability that a classifier gives to an image's class.

    The evaluator runs the supernet, and this only sees feature maps. What is the same for all
    architectures, as labels, is prepared once a batch; a tally is what one architecture gathers.
    """

    # Known beforehand, so that a mistyped objective is refused before the search.
    names = ("log_likelihood",)

    def prepare(self, batch: dict, number: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Normalized images (N, 3, H, W) of a batch, and their labels (N,)."""
        data = self.preprocessed(batch)
        labels = torch.cat([sample.gt_label for sample in data["data_samples"]])
        return data["inputs"], labels.to(data["inputs"].device)

    def new_tally(self) -> list[torch.Tensor]:
        """Nothing seen yet."""
        return []

    def update(
        self, tally: list[torch.Tensor], feats: tuple[torch.Tensor, ...], targets: torch.Tensor
    ) -> None:
        """Adds a batch: ``follow`` runs neck and head on an architecture's feature maps."""
        tally.append(F.cross_entropy(self.follow(feats), targets, reduction="none"))

    def metrics(self, tally: list[torch.Tensor]) -> dict[str, float]:
        """The mean of all that was added."""
        return {"log_likelihood": -float(torch.cat(tally).mean())}


@command
def main() -> None:
    """The whole way, searched by this score."""
    args = parse_args()
    cfg = config(args.data, args.steps)
    cfg.search.score = dict(type="LogLikelihood")
    cfg.search.objectives = ["log_likelihood"]  # Larger is better; "loss:min" were the reverse.
    whole_way(cfg, args.data, args.work_dir)


if __name__ == "__main__":
    main()
