"""Are a run's sets large enough for its batches?"""

from __future__ import annotations

from collections.abc import Sequence

from mmengine.runner import Runner
from torch.utils.data import DataLoader

from pinas_mm.data.batches import check_batches, refuse_single_values
from pinas_mm.errors import UserError


def check_loaders(runner: Runner, splits: Sequence[str]) -> None:
    """Builds a run's loaders, which it would do later, and checks their batches.

    Args:
        runner: before its run.
        splits: of train, val and test.

    Raises:
        UserError: a loader gives no batch; what batch norm cannot normalize by, the first training
            step says.
    """
    for split in splits:
        key = f"{split}_dataloader"
        try:
            # mmengine builds a loop, loader included, when it is first asked for.
            loader = getattr(getattr(runner, f"{split}_loop"), "dataloader", None)
        except ValueError as error:
            if "need at least one array to concatenate" not in str(error):
                raise
            # What NumPy says of mmengine's serialization of no annotation.
            raise UserError(
                f"{key}: its data set, or the calibration's, has no image left: see filter_cfg and "
                "indices of the data set"
            ) from error
        if not isinstance(loader, DataLoader):
            continue
        check_batches(loader, key)
        if split == "train":
            refuse_single_values(runner.model, loader, key)
