"""Architectures together score as each alone, and the supernet is left as it was, to the bit."""

import itertools
import random
import resource

import numpy as np
import pytest
import torch
from breeding import bred
from conftest import pinas_model
from evaluations import assert_unchanged, batches, classifier, plain, shaken, snapshot
from torch import distributed, multiprocessing, nn

from pinas_mm.errors import UserError
from pinas_mm.search.evaluation.build import build_evaluator, build_score
from pinas_mm.search.evaluation.evaluator import Evaluator, ShareError
from pinas_mm.search.evaluation.scores import (
    CrossPathScore,
    GradNormScore,
    NASWOTScore,
    ProbeScore,
    SynFlowScore,
)
from pinas_mm.search.evaluation.scores.classification import ClassificationScore
from pinas_mm.space import SearchSpace

ARCHS = ["000", "321", "320", "310", "012", "013", "333", "321", "030", "011"]
CALIBRATION = batches(6, 6, 5, seed=1)
IMAGES = batches(9, 4, seed=2)


class Outputs(ClassificationScore):
    """All that the evaluator hands over: sums of logits and of the feature maps."""

    names = None

    def prepare(self, batch, number):
        return self.preprocessed(batch)["inputs"], None

    def new_tally(self):
        return []

    def update(self, tally, feats, targets):
        logits = self.classifier.head(self.pooled(feats[-1:]))
        tally.append([*(feat.sum().item() for feat in feats), *logits.flatten().tolist()])

    def metrics(self, tally):
        return {str(i): value for i, value in enumerate(itertools.chain(*tally))}


def outputs(model, archs, memory="1G"):
    return Evaluator(model, Outputs(), CALIBRATION, IMAGES, memory).evaluate(archs)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("memory", [0, 40_000, "1G"])
def test_together_and_alone_are_equal(space, dtype, memory):
    model = classifier(space).to(dtype)
    # A batch's activation after the first stride is 6 x 16 x 8 x 8 numbers and less below.
    alone = {arch: outputs(model, [arch])[0] for arch in ARCHS}
    assert len({tuple(numbers.values()) for numbers in alone.values()}) == len(set(ARCHS))
    shuffler = random.Random(str(memory))
    for _ in range(3):
        order = shuffler.sample(ARCHS, len(ARCHS))
        cuts = sorted(shuffler.sample(range(1, len(order)), 2))
        for part in (order[: cuts[0]], order[cuts[0] : cuts[1]], order[cuts[1] :]):
            for arch, found in zip(part, outputs(model, part, memory), strict=True):
                if dtype == torch.float64:
                    assert found == alone[arch]
                else:
                    assert found == pytest.approx(alone[arch], rel=1e-5, abs=1e-6)


def test_shared_images_give_the_same(space):
    model, expected = classifier(space), outputs(classifier(space), ARCHS)
    evaluator = Evaluator(model, Outputs(), CALIBRATION, IMAGES)
    with evaluator.shared() as shared:
        assert evaluator.evaluate(ARCHS) == expected
        loaded = shared.batches()
    # After the file is closed, too, and in another evaluator, as a worker has one.
    assert evaluator.evaluate(ARCHS) == expected
    options = dict(dataloader={}, calibration_dataloader={}, loaded=loaded)
    assert build_evaluator(model, Outputs(), **options).evaluate(ARCHS) == expected


@pytest.fixture
def no_room():
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_images_that_no_file_can_take_stay_where_they_are(space, no_room, printed):
    printed()
    evaluator = Evaluator(classifier(space), Outputs(), CALIBRATION, IMAGES)
    with evaluator.shared() as shared:
        assert shared is None
    assert "cannot take the images (File too large): each worker has a copy" in printed()
    assert evaluator.evaluate(ARCHS[:1])


def test_equal_to_the_plain_version(space):
    model = classifier(space)
    found = Evaluator(model, ProbeScore(topk=(1, 5)), CALIBRATION, IMAGES).evaluate(ARCHS)
    expected = [plain(model, arch, CALIBRATION, IMAGES) for arch in ARCHS]
    assert len({tuple(metrics.values()) for metrics in expected}) > 3
    for arch, mine, theirs in zip(ARCHS, found, expected, strict=True):
        assert mine == pytest.approx(theirs, rel=1e-5), arch


@pytest.mark.parametrize(
    "backbone",
    [
        dict(frozen_stages=1, norm_eval=True),
        dict(out_indices=(0,)),
        dict(out_indices=(0, 1)),
        dict(norm_cfg=dict(type="GN", num_groups=2)),
        dict(norm_cfg=dict(type="BN", momentum=0.3, eps=1e-3)),
    ],
)
@pytest.mark.parametrize("memory", [0, "1G"])
def test_every_kind_of_supernet(space, backbone, memory):
    model = classifier(space, **backbone).double()
    before = snapshot(model)
    # With the first stage's output alone the first two are the same.
    archs = ["321", "320", "310"]
    found = outputs(model, archs, memory)
    assert_unchanged(model, before)
    for arch, numbers in zip(archs, found, strict=True):
        assert [*numbers.values()] == pytest.approx(by_hand(model, arch), rel=1e-9)


def by_hand(model, arch):
    """What Outputs sees, computed by replacing batch norms with functions of the batches."""
    norms = [m for m in model.backbone.modules() if isinstance(m, nn.BatchNorm2d)]
    model.eval()
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
        norm.train()
    numbers = []
    with torch.no_grad():
        for batch in CALIBRATION:
            model.backbone(model.data_preprocessor(batch, False)["inputs"].double(), arch)
        model.eval()
        for batch in IMAGES:
            feats = model.backbone(model.data_preprocessor(batch, False)["inputs"].double(), arch)
            logits = model.model.head(model.model.neck(feats[-1:]))
            numbers += [*(feat.sum().item() for feat in feats), *logits.flatten().tolist()]
    return numbers


@pytest.mark.parametrize("mode", [True, False])
@pytest.mark.parametrize(
    ("fault", "at"),
    [
        (None, ""),
        *itertools.product([KeyError, KeyboardInterrupt], ["calibration", "scoring"]),
        (KeyError, "batch"),
        (KeyError, "progress"),
    ],
)
def test_the_supernet_is_left_as_it_was(space, fault, at, mode):
    model = classifier(space).train(mode)
    model.backbone.layer1[0][2].bn1.momentum = None
    model.backbone.layer1[0][1].eval()
    evaluator = Evaluator(model, ProbeScore(), CALIBRATION, IMAGES)
    reference = evaluator.evaluate(ARCHS)
    before = snapshot(model)
    if fault is None:
        evaluator.evaluate(ARCHS)
    else:
        calls = []

        def fail(*_):
            calls.append(None)
            if len(calls) == 2:
                raise fault("stop")

        def on_batch(*_):
            fail()
            return ()

        def hook(*_):
            # In the middle of a block, whose statistics are swapped by then.
            if wanted.bn1.training == (at == "calibration"):
                fail()

        wanted = model.backbone.layer2[0][1]
        handle = wanted.conv2.register_forward_pre_hook(hook)
        if at not in ("calibration", "scoring"):
            handle.remove()
        calls_back = dict(
            on_batch=on_batch if at == "batch" else None,
            progress=fail if at == "progress" else None,
        )
        with pytest.raises(fault):
            evaluator.evaluate(ARCHS, **calls_back)
        handle.remove()
    assert_unchanged(model, before)
    assert evaluator.evaluate(ARCHS) == reference


@pytest.mark.parametrize("memory", [0, 20_000, 60_000])
def test_kept_activations_stay_within_the_limit(space, memory):
    archs = space.sample(24, np.random.default_rng(0))
    evaluator = Evaluator(classifier(space), ProbeScore(), CALIBRATION, IMAGES, memory)
    evaluator.evaluate(archs)
    for counts in (evaluator.calibration_counts, evaluator.scoring_counts):
        assert max(count.peak_bytes for count in counts) <= memory
    limited = sum(count.block_runs for count in evaluator.scoring_counts)
    free = Evaluator(classifier(space), ProbeScore(), CALIBRATION, IMAGES)
    free.evaluate(archs)
    unlimited = sum(count.block_runs for count in free.scoring_counts)
    peak = max(count.peak_bytes for count in free.scoring_counts)
    # The limit matters here, and it costs blocks.
    assert memory < peak
    assert limited > unlimited


def test_bred_architectures_cost_less_than_half_their_blocks():
    candidates = [(1, 1, 64), (2, 1, 64), (1, 2, 48), (2, 2, 32)]
    space = SearchSpace(
        candidates=candidates,
        widths=(16, 16, 16, 16),
        expansion=1,
        stem_widths=(8, 8, 8),
        stem_pool=False,
    )
    assert (space.num_blocks, space.num_candidates) == (16, 4)
    archs = bred(space, 64)
    evaluator = Evaluator(
        classifier(space), ProbeScore(), batches(2, side=32), batches(1, 1, side=32)
    )
    evaluator.evaluate(archs)
    for counts, number in ((evaluator.calibration_counts, 1), (evaluator.scoring_counts, 2)):
        assert len(counts) == number
        for count in counts:
            assert count.stem_runs == 1
            assert count.block_runs <= 0.45 * 64 * 16
    # What is counted is what is run.
    runs = []
    model = classifier(space)
    for stage in model.backbone.stages:
        for block in stage:
            for candidate in block:
                candidate.register_forward_hook(lambda *_: runs.append(None))
    evaluator = Evaluator(model, ProbeScore(), batches(2, side=32), batches(1, side=32), 0)
    evaluator.evaluate(archs[:3])
    counts = [*evaluator.calibration_counts, *evaluator.scoring_counts]
    assert sum(count.block_runs for count in counts) == len(runs) == 2 * 3 * 16


def test_dropped_architectures_keep_what_they_have(space):
    model = classifier(space)
    images = batches(5, 4, 3, seed=2)
    told = []

    def on_batch(done, total, partial):
        told.append((done, total, partial))
        return {5: {0, 3}, 9: [1], 12: ()}[done]

    evaluator = Evaluator(model, ProbeScore(topk=1), CALIBRATION, images)
    archs = ["000", "321", "320", "310"]
    found = evaluator.evaluate(archs, on_batch=on_batch)
    assert [(done, total) for done, total, _ in told] == [(5, 12), (9, 12), (12, 12)]
    seen = {0: 1, 3: 1, 1: 2, 2: 3}
    for index, number in seen.items():
        part = Evaluator(model, ProbeScore(topk=1), CALIBRATION, images[:number])
        assert found[index] == part.evaluate([archs[index]])[0]
        for later in range(3):
            part = Evaluator(
                model, ProbeScore(topk=1), CALIBRATION, images[: min(later + 1, number)]
            )
            assert told[later][2][index] == part.evaluate([archs[index]])[0]
    runs = [count.block_runs for count in evaluator.scoring_counts]
    # After 000 and 321, 320 costs its last block and 310 its last two.
    assert runs == [3 + 3 + 1 + 2, 3 + 1, 3]
    evaluator.evaluate(archs, on_batch=lambda *_: range(4))
    assert len(evaluator.scoring_counts) == 1


def test_progress_rises_to_one(space):
    fractions = []
    evaluator = Evaluator(classifier(space), ProbeScore(), CALIBRATION, IMAGES)
    evaluator.evaluate(["000"], progress=fractions.append)
    assert fractions == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    assert evaluator.evaluate([]) == []
    assert evaluator.image_size == (16, 16)
    assert evaluator.names == ("accuracy/top1", "accuracy/top5")


def label_free():
    return Evaluator(shaken(pinas_model()), CrossPathScore(partners=2), CALIBRATION, IMAGES)


def zero_cost(model):
    scores = SynFlowScore(), NASWOTScore(), GradNormScore()
    return [Evaluator(model, score, [], IMAGES).evaluate(ARCHS) for score in scores]


def worker(rank, folder, space):
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", f"file://{folder}/store", rank=rank, world_size=2)
    # Synchronized norms would wait for a rank that runs something else, and need a GPU.
    model = classifier(space, norm_cfg=dict(type="SyncBN"))
    evaluator = Evaluator(model, ProbeScore(), CALIBRATION, IMAGES)
    before = snapshot(model)
    found = evaluator.evaluate(ARCHS)
    assert_unchanged(model, before)
    single = evaluator.evaluate(ARCHS[:1])
    runs = sum(count.block_runs for count in evaluator.scoring_counts)
    evaluator.evaluate(ARCHS)
    share = evaluator.scoring_counts[0].block_runs
    try:
        evaluator.evaluate(ARCHS, on_batch=lambda *_: ())
    except UserError as error:
        message = str(error)
    record = dict(found=found, single=single, runs=runs, share=share, message=message)
    record["label_free"] = label_free().evaluate(ARCHS)
    record["zero_cost"] = zero_cost(model)
    assert_unchanged(model, before)
    update = evaluator.score.update
    if rank == 1:
        evaluator.score.update = None
    try:
        evaluator.evaluate(ARCHS)
    except ShareError as error:
        record["alone"] = str(error)
    evaluator.score.update = update
    assert_unchanged(model, before)
    record["after"] = evaluator.evaluate(ARCHS)
    try:
        GradNormScore().check(pinas_model())
    except UserError as error:
        record["coupled"] = str(error)
    torch.save(record, f"{folder}/rank{rank}.pth")
    distributed.barrier()
    distributed.destroy_process_group()


@pytest.mark.slow
def test_two_processes_share_the_architectures(space, tmp_path):
    multiprocessing.spawn(worker, args=(str(tmp_path), space), nprocs=2)
    ranks = [torch.load(tmp_path / f"rank{rank}.pth") for rank in range(2)]
    alone = Evaluator(classifier(space), ProbeScore(), CALIBRATION, IMAGES)
    expected = alone.evaluate(ARCHS)
    views_alone = label_free().evaluate(ARCHS)
    for record in ranks:
        assert record["found"] == record["after"] == expected
        # What one rank raised both have.
        assert record["alone"].startswith("rank 1: TypeError: 'NoneType' object")
        assert record["single"] == expected[:1]
        # Views and keys are random, and the same on all ranks.
        assert record["label_free"] == views_alone
        assert record["zero_cost"] == zero_cost(classifier(space))
        assert "--workers instead of --launcher" in record["coupled"]
        assert "pruner" in record["message"]
    # One rank alone takes a single architecture; of all, each takes the half that shares prefixes.
    assert sorted(record["runs"] for record in ranks) == [0, 3 * len(IMAGES)]
    ordered = sorted(ARCHS)
    halves = [{a[:d] for a in half for d in (1, 2, 3)} for half in (ordered[:5], ordered[5:])]
    assert [record["share"] for record in ranks] == [len(half) for half in halves]


def test_without_calibration_the_supernets_own_statistics_count(space, build_pinas):
    model = shaken(classifier(space))
    before = snapshot(model)
    found = Evaluator(model, Outputs(), None, IMAGES).evaluate(ARCHS)
    assert_unchanged(model, before)
    model.eval()
    for arch, metrics in zip(ARCHS, found, strict=True):
        with torch.no_grad():
            images = model.data_preprocessor(IMAGES[0], False)["inputs"]
            feats = model.backbone(images, arch)
        assert metrics["0"] == pytest.approx(feats[0].sum().item(), rel=1e-5)
    model.train()
    assert found != outputs(model, ARCHS)
    label_free = CrossPathScore(partners=2)
    scores = Evaluator(build_pinas(), label_free, None, IMAGES).evaluate(ARCHS[:3])
    assert scores != Evaluator(build_pinas(), label_free, CALIBRATION, IMAGES).evaluate(ARCHS[:3])


def test_bad_input_is_refused(space, build_pinas):
    model = classifier(space)
    with pytest.raises(UserError, match="SinglePath"):
        Evaluator(build_pinas(), ProbeScore(), CALIBRATION, IMAGES)
    with pytest.raises(UserError, match="no images to score"):
        Evaluator(model, ProbeScore(), CALIBRATION, [])
    with pytest.raises(UserError, match="calibration batch"):
        Evaluator(model, ProbeScore(), [], IMAGES)
    with pytest.raises(UserError, match="one image"):
        Evaluator(model, ProbeScore(), batches(4, 1), IMAGES)
    with pytest.raises(UserError, match="too short"):
        Evaluator(model, ProbeScore(), CALIBRATION, IMAGES).evaluate(["00"])
    with pytest.raises(UserError, match=r"pinas_mm\.CrossPathScore, .*pinas_mm\.PredictScore"):
        build_score(dict(type="pinas_mm.NoScore"))
    with pytest.raises(UserError, match="tokp"):
        build_score(dict(type="pinas_mm.ProbeScore", tokp=1))
    with pytest.raises(UserError, match="calibration_batches"):
        build_evaluator(model, "ProbeScore", {}, {}, calibration_batches=-1)
