"""Two processes draw the same paths and stay equal to the last bit."""

import pytest
import torch
from conftest import CONFIGS, pinas_model
from mmengine.logging import MessageHub
from mmengine.model import MMDistributedDataParallel
from mmengine.optim import OptimWrapper
from torch import distributed, multiprocessing

from pinas_mm.algorithms.teacher import embed
from pinas_mm.models.batch_norm import Statistics, batch_norms

pytestmark = pytest.mark.slow

STEPS = 5


def worker(rank, folder):
    """Five steps on different images in each process; writes down all there is to compare."""
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", f"file://{folder}/store", rank=rank, world_size=2)
    # Candidates enough that every step leaves some of those alone that earlier steps moved.
    model = pinas_model()
    wrapped = MMDistributedDataParallel(
        model, find_unused_parameters=True, broadcast_buffers=False
    ).train()
    sgd = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, weight_decay=0.1)
    optimizer = OptimWrapper(sgd)
    hub = MessageHub.get_instance("distributed")
    hub.update_info("seed", 3)
    random = torch.Generator().manual_seed(rank)
    record = {"paths": [], "student": [], "losses": []}
    for step in range(STEPS):
        hub.update_info("iter", step)
        record["paths"].append([str(path) for path in model.paths(model.backbone.space, 3, step)])
        record["student"].append({n: p.detach().clone() for n, p in model.named_parameters()})
        images = torch.randint(0, 256, (4, 3, 32, 32), generator=random).byte()
        logs = wrapped.train_step(dict(inputs=list(images)), optimizer)
        record["losses"].append(float(logs["loss"]))
    record["student"].append({n: p.detach().clone() for n, p in model.named_parameters()})
    record["queue"], record["pointer"] = model.head.pair.queue, model.head.pair.queue_ptr
    record["teacher"] = {n: p.detach().clone() for n, p in model.teacher.named_parameters()}
    shuffled(model, random, record)
    batches = [torch.randn(4, 3, 32, 32, generator=random)]
    model.backbone.train()
    with Statistics(model, lambda x: model.backbone(x, "000"), batches).applied():
        record["mean"] = model.backbone.conv1[1].running_mean.clone()
    record["own_mean"] = model.backbone.conv1[0](batches[0]).mean((0, 2, 3)).detach()
    torch.save(record, f"{folder}/rank{rank}.pth")
    distributed.barrier()
    distributed.destroy_process_group()


def shuffled(model, random, record):
    """Keys with and without the shuffle, with running and with batch statistics."""
    images = torch.randn(4, 3, 32, 32, generator=random)
    path = model.backbone.space.arch("012")
    for norm in batch_norms(model.teacher):
        norm.reset_running_stats()  # They are each process's own.
    for mode in ("eval", "train"):
        model.teacher.train(mode == "train")
        keys = model.teacher.keys(model.backbone, model.neck, images, path, (7, 1))
        with torch.no_grad():
            plain = embed(model.teacher.backbone, model.teacher.neck, images, path)
        record[f"keys {mode}"] = keys, plain


@pytest.fixture(scope="module")
def ranks(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ranks")
    multiprocessing.spawn(worker, args=(str(folder),), nprocs=2)
    return [torch.load(folder / f"rank{rank}.pth") for rank in range(2)]


def test_both_draw_the_same_paths(ranks):
    assert ranks[0]["paths"] == ranks[1]["paths"]
    assert len({str(paths) for paths in ranks[0]["paths"]}) == STEPS


def test_queues_and_teachers_and_students_are_bit_equal(ranks):
    one, other = ranks
    assert one["losses"] != other["losses"]
    assert torch.equal(one["queue"], other["queue"])
    # Five steps of two ranks' four keys in a queue of 32.
    assert one["pointer"].tolist() == other["pointer"].tolist() == [40 % 32]
    for name in one["teacher"]:
        assert torch.equal(one["teacher"][name], other["teacher"][name]), name
    for step in range(STEPS + 1):
        for name in one["student"][step]:
            assert torch.equal(one["student"][step][name], other["student"][step][name]), name


def candidate(name):
    """Block and candidate of a parameter of the supernet, None where all paths share it."""
    parts = name.removeprefix("backbone.").split(".")
    if not parts[0].startswith("layer") or "shortcut" in parts:
        return None
    block = {("layer1", "0"): 0, ("layer1", "1"): 1, ("layer2", "0"): 2}[tuple(parts[:2])]
    return block, int(parts[2])


def test_untouched_parameters_are_bit_unchanged(ranks):
    rested_with_momentum = 0
    for record in ranks:
        touched = set()
        for step, paths in enumerate(record["paths"]):
            now = {(b, int(c)) for p in paths for b, c in enumerate(p.replace("-", ""))}
            before, after = record["student"][step : step + 2]
            for name in before:
                if name.startswith("teacher."):
                    continue
                place = candidate(name)
                moved = not torch.equal(before[name], after[name])
                if place is not None and place not in now:
                    assert not moved, name
                    rested_with_momentum += place in touched
                elif name.endswith("conv1.weight"):
                    assert moved, name
            touched |= now
    assert rested_with_momentum > 100


def test_the_shuffle_of_keys_is_undone(ranks):
    for record in ranks:
        keys, plain = record["keys eval"]
        torch.testing.assert_close(keys, plain)
        # With batch statistics the other images of the batch show, and those were shuffled.
        keys, plain = record["keys train"]
        assert not torch.allclose(keys, plain, atol=1e-3)
    assert not torch.allclose(ranks[0]["keys eval"][0], ranks[1]["keys eval"][0], atol=1e-3)


def test_recomputed_statistics_are_those_of_all_ranks_together(ranks):
    expected = (ranks[0]["own_mean"] + ranks[1]["own_mean"]) / 2
    for record in ranks:
        torch.testing.assert_close(record["mean"], expected)


def test_the_tool_trains_under_torchrun(tmp_path, run_process):
    done = run_process(
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc_per_node=2",
        "tools/train.py",
        CONFIGS / "small_supernet.py",
        "--launcher=pytorch",
        "--work-dir",
        tmp_path / "work",
        "--cfg-options",
        "model.backbone.norm_cfg.type=SyncBN",
        "train_cfg.max_epochs=1",
        "train_cfg.val_interval=1",
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "work" / "epoch_1.pth").is_file()
    assert done.stdout.count("no GPU: SyncBN needs one") == 1
    assert done.stdout.count("Epoch(train) [1][2/2]") == 1
    assert "retrieval/top1" in done.stdout
