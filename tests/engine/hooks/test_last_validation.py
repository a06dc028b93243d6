"""All ranks validate, or none, whatever each finds on its file system."""

from types import SimpleNamespace

import pytest
import torch
from torch import distributed, multiprocessing

from pinas_mm.engine import LastValidationHook

pytestmark = pytest.mark.slow


def resumed(rank, folder):
    distributed.init_process_group("gloo", f"file://{folder}/store", rank=rank, world_size=2)
    validated = []
    for knows in range(2):  # The rank whose file system has the file.
        work_dir = f"{folder}/{knows}_{rank}"
        calls = []
        run = SimpleNamespace(
            work_dir=work_dir,
            train_loop=SimpleNamespace(iter=4, max_iters=4),
            val_loop=SimpleNamespace(run=lambda calls=calls: calls.append(distributed.barrier())),
        )
        LastValidationHook().before_train(run)
        validated.append(len(calls))
    torch.save(validated, f"{folder}/{rank}.pth")
    distributed.barrier()
    distributed.destroy_process_group()


def test_ranks_that_see_different_files_do_the_same(tmp_path):
    for knows in range(2):
        for rank in range(2):
            (tmp_path / f"{knows}_{rank}").mkdir()
        (tmp_path / f"{knows}_{knows}" / "last_validation").write_text("4")
    multiprocessing.spawn(resumed, args=(str(tmp_path),), nprocs=2)
    # Rank 0's file counts.
    assert [torch.load(tmp_path / f"{rank}.pth") for rank in range(2)] == [[0, 1], [0, 1]]
