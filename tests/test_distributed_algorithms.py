"""Several processes train as one does on all of their images, draw the same whatever their seeds,
and share the images of a retrieval and the architectures of a search.
"""

import pytest
import torch
from conftest import pinas_model
from evaluations import batches as scored
from evaluations import classifier, shaken
from mmengine.logging import MessageHub
from mmengine.model import MMDistributedDataParallel
from mmengine.optim import OptimWrapper
from mmengine.registry import init_default_scope
from single_paths import image_classifier, labelled, single_path
from torch import distributed, multiprocessing, nn

from pinas_mm.algorithms.teacher import embed
from pinas_mm.analysis.retrieval import cross_path_retrieval
from pinas_mm.engine import PathDataParallel
from pinas_mm.engine.gradient_exchange import Exchange
from pinas_mm.models.batch_norm import batch_norms
from pinas_mm.models.cost import count_costs
from pinas_mm.run_state import run_state
from pinas_mm.search.budget.budget import Budget
from pinas_mm.search.budget.objective import parse_objectives
from pinas_mm.search.evaluation.evaluator import Evaluator
from pinas_mm.search.evaluation.scores import ProbeScore
from pinas_mm.search.record.record import Record
from pinas_mm.search.samplers import build_sampler
from pinas_mm.search.worker import work

pytestmark = pytest.mark.slow

STEPS, SEED = 4, 3
SPOS = dict(type="pinas_mm.UniformPaths")
FAIRNAS = dict(type="pinas_mm.FairPaths", num_paths=4)
GROUPS = dict(type="GN", num_groups=2)
OURS = PathDataParallel, {}
MMENGINES = MMDistributedDataParallel, dict(find_unused_parameters=True, broadcast_buffers=False)
COUNTED = "FairNAS, exchanges counted"
# Name: paths, norm, wrapper, iterations to accumulate.
RUNS = {
    "SPOS": (SPOS, GROUPS, OURS, 1),
    "FairNAS": (FAIRNAS, GROUPS, OURS, 1),
    "SPOS, mmengine's wrapper": (SPOS, GROUPS, MMENGINES, 1),
    "FairNAS, mmengine's wrapper": (FAIRNAS, GROUPS, MMENGINES, 1),
    "SPOS, accumulated": (SPOS, GROUPS, OURS, 2),
    COUNTED: (FAIRNAS, GROUPS, OURS, 2),
    "FairNAS, batch norms": (FAIRNAS, dict(type="BN"), OURS, 1),
}
OF_THREE = ["FairNAS", "SPOS, mmengine's wrapper"]
EXACT = [name for name in RUNS if "batch norms" not in name]


def trained(space, name, rank=0, world=1):
    """Parameters after some steps on a process's part of the images, and what was logged."""
    paths, norm, (wrapper, options), accumulated = RUNS[name]
    model = single_path(image_classifier(space, norm_cfg=norm), paths=paths)
    wrapped = model if world == 1 else wrapper(model, **options).train()
    sgd = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, weight_decay=0.01)
    optimizer = OptimWrapper(sgd, accumulative_counts=accumulated)
    hub = MessageHub.get_instance(f"{name} {world}")
    hub.update_info("seed", SEED)
    losses, exchanges = [], []
    if name == COUNTED and world > 1:
        send = Exchange.finish
        monkeypatch = pytest.MonkeyPatch()
        monkeypatch.setattr(Exchange, "finish", lambda self: (exchanges.append(1), send(self)))
    for step in range(STEPS):
        hub.update_info("iter", step)
        batch = labelled(6, seed=step)
        own = {key: value[rank::world] for key, value in batch.items()}
        losses.append(float(wrapped.train_step(own, optimizer)["loss"]))
    if name == COUNTED and world > 1:
        monkeypatch.undo()
        assert len(exchanges) == STEPS // accumulated
    return {n: p.detach().clone() for n, p in model.named_parameters()}, losses


def worker(rank, folder, space):
    """Three processes, of which two go on; starting them takes longer than what they do."""
    torch.set_num_threads(1)
    init_default_scope("mmpretrain")
    for world, names in ((3, OF_THREE), (2, RUNS)):
        if rank >= world:
            return
        store = f"file://{folder}/store{world}"
        distributed.init_process_group("gloo", store, rank=rank, world_size=world)
        record = {name: trained(space, name, rank, world) for name in names}
        record["seeds"] = seeds(rank, world)
        record["retrieval"] = retrieval(rank, world)
        if world == 2:
            record["search"] = search(space, folder if rank == 0 else None, 3)
        torch.save(record, f"{folder}/rank{rank}of{world}.pth")
        distributed.barrier()
        distributed.destroy_process_group()


class Kept(nn.Module):
    """A head that keeps what it is given."""

    def forward(self, queries, keys):
        self.keys = [key.clone() for key in keys]
        return dict(loss=sum(query.sum() for query in queries))


def seeds(rank, world):
    """What processes with a seed each draw, beside what equal seeds give."""
    record = {}
    for name, seed in (("equal", SEED), ("apart", SEED + rank)):
        hub = MessageHub.get_instance(f"seeds {name} {world}")
        hub.update_info("seed", seed)
        model = shaken(pinas_model())
        wrapped = PathDataParallel(model).train()
        optimizer = OptimWrapper(torch.optim.SGD(model.parameters(), lr=0.01))
        random = torch.Generator().manual_seed(rank)
        record[name] = []
        for step in range(2):
            hub.update_info("iter", step)
            state = run_state()
            images = torch.randint(0, 256, (4, 3, 32, 32), generator=random).byte()
            log = wrapped.train_step(dict(inputs=list(images)), optimizer)
            paths = [str(path) for path in model.step_paths(*state)]
            record[name].append(
                (tuple(state), paths, {key: float(value) for key, value in log.items()})
            )
    # With statistics that all processes have, keys tell whose images they are of.
    for norm in batch_norms(model.teacher.eval()):
        norm.reset_running_stats()
    model.teacher.momentum, model.head = 1.0, Kept()
    views = torch.randn(4, 4, 3, 32, 32, generator=random)
    model.loss(list(views))
    plain = [
        embed(*model.teacher_networks, view, path)
        for view, path in zip(views[1::2], model.step_paths(*run_state()), strict=True)
    ]
    record["keys"] = model.head.keys, [keys.detach() for keys in plain]
    return record


def retrieval(rank=0, world=1):
    random = torch.Generator().manual_seed(0)
    views = list(torch.randn(6, 1, 4, 3, 32, 32, generator=random))
    # The two views of an image are alike.
    views = [
        [view[0], view[0] + 0.3 * torch.randn(view[0].shape, generator=random)] for view in views
    ]
    own = views[rank * len(views) // world : (rank + 1) * len(views) // world]
    model = pinas_model()
    with torch.no_grad():
        for parameter in model.backbone.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=random))
    model.teacher.copy_student(model.backbone, model.neck)
    found = cross_path_retrieval(model, own, num_pairs=4)
    return found.top1, found.spread


def search(space, folder, batch):
    """Architectures evaluated at a time, and, where the record is, all that it holds."""
    record = None
    if folder is not None:
        objectives = parse_objectives("accuracy/top1")
        budget = Budget(space, list(count_costs(space).costs.values()), ())
        record = Record(
            f"sqlite:///{folder}/search.db",
            study="search",
            objectives=objectives,
            budget=budget,
            sampler=build_sampler("EvolutionSampler", space, budget, objectives, 0),
            identity={},
            trials=13,
        )
    evaluator = Evaluator(
        classifier(space), ProbeScore(), scored(6, 5, seed=1), scored(9, 4, seed=2)
    )
    evaluate, sizes, runs = evaluator.evaluate, [], []

    def counted(archs, **options):
        found = evaluate(archs, **options)
        sizes.append(len(archs))
        runs.append(sum(count.block_runs for count in evaluator.scoring_counts))
        return found

    evaluator.evaluate = counted
    work(record, evaluator, batch)
    held = []
    if record is not None:
        held = [(e.trial, str(e.arch), e.metrics) for e in record.findings().evaluated]
    return sizes, runs, sorted(held)


@pytest.fixture(scope="module")
def ranks(tmp_path_factory, space):
    """What each rank found, by the number of processes."""
    folder = tmp_path_factory.mktemp("ranks")
    multiprocessing.spawn(worker, args=(str(folder), space), nprocs=3)
    return {
        world: [torch.load(folder / f"rank{rank}of{world}.pth") for rank in range(world)]
        for world in (2, 3)
    }


@pytest.fixture(scope="module")
def alone(space):
    """Gives what one process has after the same steps, each run once."""
    found = {}

    def train(name):
        if name not in found:
            found[name] = trained(space, name)
        return found[name]

    return train


def assert_ranks_agree(ranks, name):
    first, losses = ranks[0][name]
    assert len(losses) == STEPS
    for record in ranks[1:]:
        parameters, other_losses = record[name]
        assert parameters.keys() == first.keys()
        for key, value in parameters.items():
            assert torch.equal(value, first[key]), key
        assert other_losses != losses


def assert_as_one_process(ranks, name, alone):
    expected, losses = alone(name)
    found, _ = ranks[0][name]
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        torch.testing.assert_close(found[key], value, rtol=1e-9, atol=1e-9, msg=key)
    for step, loss in enumerate(losses):
        mean = sum(record[name][1][step] for record in ranks) / len(ranks)
        assert mean == pytest.approx(loss, rel=1e-9)


@pytest.mark.parametrize("name", RUNS)
def test_processes_stay_equal_to_the_bit(ranks, name):
    assert_ranks_agree(ranks[2], name)


@pytest.mark.parametrize("name", EXACT)
def test_two_processes_train_as_one_on_all_images(ranks, alone, name):
    assert_as_one_process(ranks[2], name, alone)


@pytest.mark.parametrize("name", OF_THREE)
def test_three_processes_train_as_one_on_all_images(ranks, alone, name):
    assert_ranks_agree(ranks[3], name)
    assert_as_one_process(ranks[3], name, alone)


def test_the_runs_compared_differ(alone):
    spos, fairnas, accumulated = (
        alone(name)[0]["model.head.fc.weight"] for name in ("SPOS", "FairNAS", "SPOS, accumulated")
    )
    assert not torch.allclose(spos, fairnas)
    assert not torch.allclose(spos, accumulated)


@pytest.mark.parametrize("world", [2, 3])
def test_processes_with_seeds_of_their_own_draw_by_the_first_ones(ranks, world):
    for record in ranks[world]:
        equal, apart = record["seeds"]["equal"], record["seeds"]["apart"]
        for step, (state, paths, _) in enumerate(apart):
            assert state == (SEED, step)
            assert paths == ranks[world][0]["seeds"]["equal"][step][1]
        # Paths, views and the order of the teacher's images: all that a step draws.
        assert apart == equal
    logs = [record["seeds"]["apart"][0][2]["loss"] for record in ranks[world]]
    assert len(set(logs)) == world


@pytest.mark.parametrize("world", [2, 3])
def test_each_query_meets_the_key_of_its_own_image(ranks, world):
    for record in ranks[world]:
        keys, plain = record["seeds"]["keys"]
        assert len(keys) == len(plain) == 2
        for found, expected in zip(keys, plain, strict=True):
            torch.testing.assert_close(found, expected)
            assert not torch.allclose(found[0], found[1], atol=1e-3)


@pytest.mark.parametrize("world", [2, 3])
def test_a_retrieval_of_parts_is_that_of_all_images(ranks, world):
    expected = retrieval()
    # Better than chance and not all.
    assert 3 / 24 < expected[0] < 1
    for record in ranks[world]:
        assert record["retrieval"] == pytest.approx(expected, rel=1e-6)
        assert record["retrieval"] == ranks[world][0]["retrieval"]


def test_a_search_in_two_processes_finds_what_one_finds(space, ranks, tmp_path):
    sizes, _, expected = search(space, tmp_path, 6)
    assert sizes == [6, 6, 1]
    assert len(expected) == len({arch for _, arch, _ in expected}) == 13
    found = [record["search"] for record in ranks[2]]
    # Three for each of the two at a time.
    assert found[0][0] == found[1][0] == sizes
    assert found[0][2] == expected
    # Both work; of the last one alone only one of them.
    runs = [runs for _, runs, _ in found]
    assert min(*runs[0][:2], *runs[1][:2]) > 0
    assert sorted(counts[2] > 0 for counts in runs) == [False, True]
