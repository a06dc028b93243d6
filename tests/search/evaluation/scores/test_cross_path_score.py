"""The label-free score equals a direct computation, and its draws are a function of seeds."""

import numpy as np
import pytest
import torch
from evaluations import assert_unchanged, batches, classifier, shaken, snapshot

from pinas_mm.algorithms.heads import InfoNCE
from pinas_mm.algorithms.teacher import embed
from pinas_mm.errors import UserError
from pinas_mm.models.batch_norm import Statistics
from pinas_mm.run_state import generator
from pinas_mm.search.evaluation.evaluator import Evaluator
from pinas_mm.search.evaluation.scores import CrossPathScore

SIDE = 32
CALIBRATION = batches(6, 6, seed=1, side=SIDE)
IMAGES = batches(9, 4, seed=2, side=SIDE)


def evaluate(model, archs, memory="1G", **options):
    score = CrossPathScore(**{"partners": 4, **options})
    return Evaluator(model, score, CALIBRATION, IMAGES, memory).evaluate(archs)


@pytest.fixture
def model(build_pinas):
    """The small algorithm with a teacher that differs from the student."""
    model = shaken(build_pinas())
    with torch.no_grad():
        for parameter in model.teacher.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
    return model


def view(model, batch, number, use, whose):
    preprocessor = model.data_preprocessor
    (images,) = preprocessor.batches(batch)
    return preprocessor.normalize(preprocessor.augment(images, generator(0, use, number, whose)))


def directly(model, arch, partners):
    """Score and retrieval by the plain statistics and the head's own loss."""
    one = [view(model, batch, n, 0, 0) for n, batch in enumerate(CALIBRATION)]
    two = [[view(model, batch, n, 1, whose) for whose in (0, 1)] for n, batch in enumerate(IMAGES)]
    own_teacher = model.teacher if hasattr(model.teacher, "backbone") else model

    def embeddings(network, path, view):
        backbone = network.backbone
        with (
            Statistics(backbone, lambda x: backbone(x, path), one).applied(),
            torch.no_grad(),
        ):
            modes = [(m, m.training) for m in backbone.modules()]
            backbone.eval()
            found = torch.cat([embed(backbone, network.neck, pair[view], path) for pair in two])
            for module, mode in modes:
                module.training = mode
            return found

    queries = embeddings(model, model.backbone.space.arch(arch), 0)
    losses, hits = [], []
    for partner in partners:
        keys = embeddings(own_teacher, partner, 1)
        pair = model.head.pair
        if hasattr(pair, "queue"):
            losses.append(InfoNCE.apply(queries, keys, pair.queue, pair.temperature))
        else:
            losses.append(pair(queries, keys))
        hits.append((torch.cdist(queries, keys).argmin(1) == torch.arange(13)).float().mean())
    return {
        "cross_path/score": -float(torch.stack(losses).mean()),
        "cross_path/retrieval": 100 * float(torch.stack(hits).mean()),
    }


PI_MODEL = {
    "head.pair": dict(_delete_=True, type="pinas_mm.PiModelHead"),
    "teacher": dict(_delete_=True, type="pinas_mm.SelfTeacher"),
}


@pytest.mark.parametrize("overrides", [{}, PI_MODEL])
def test_equal_to_a_direct_computation(build_pinas, overrides):
    model = shaken(build_pinas(**overrides))
    score = CrossPathScore(partners=4)
    evaluator = Evaluator(model, score, CALIBRATION, IMAGES)
    before = snapshot(model)
    found = evaluator.evaluate(["012", "333"])
    assert_unchanged(model, before)
    for arch, metrics in zip(["012", "333"], found, strict=True):
        assert metrics == pytest.approx(directly(model, arch, score.paths()), rel=1e-4)
    assert found[0] != found[1]
    assert evaluator.image_size == (SIDE, SIDE)


def test_the_same_seeds_give_the_same_numbers(model):
    archs = ["012", "333", "301"]
    first = evaluate(model, archs)
    torch.manual_seed(77)
    assert evaluate(model, archs[::-1])[::-1] == first
    assert evaluate(model, archs[1:2], memory=0) == first[1:2]
    assert evaluate(model, archs, seed=1) != first
    assert evaluate(model, archs, views_seed=1) != first


def test_together_and_alone_are_exactly_equal_in_float64(model):
    model = model.double()
    archs = ["012", "333", "301", "332"]
    together = evaluate(model, archs, memory=20_000)
    assert together == [evaluate(model, [arch])[0] for arch in archs]


def test_no_architecture_agrees_with_the_partners_more_than_another(model, space):
    score = CrossPathScore(partners=8)
    score.bind(model)
    paths = np.array(score.paths())
    assert paths.shape == (8, space.num_blocks)
    for block in paths.T:
        assert sorted(block) == [0, 0, 1, 1, 2, 2, 3, 3]


def test_crops_of_the_pipeline_are_the_views(model):
    crops = [dict(batch, inputs=[batch["inputs"]] * 4) for batch in IMAGES]
    score = CrossPathScore(partners=4)
    found = Evaluator(model, score, CALIBRATION, crops).evaluate(["012"])
    assert found == evaluate(model, ["012"])


def test_no_view_is_made_that_nobody_looks_at(model, monkeypatch):
    made, augment = [], model.data_preprocessor.augment
    monkeypatch.setattr(
        model.data_preprocessor,
        "augment",
        lambda images, random: made.append(len(images)) or augment(images, random),
    )
    evaluator = Evaluator(model, CrossPathScore(partners=4), CALIBRATION, IMAGES)
    evaluator.evaluate(["012"])
    begun = sum(made)
    evaluator.evaluate(["333", "301"])
    # The teacher's keys are known: what is made is the calibration's and the student's view.
    assert sum(made) - begun == sum(len(b["inputs"]) for b in (*CALIBRATION, *IMAGES))


def test_bad_input_is_refused(space):
    with pytest.raises(UserError, match=r"configs/pinas_supernet\.py"):
        CrossPathScore().bind(classifier(space))
    with pytest.raises(UserError, match="at least 1 partner"):
        CrossPathScore(partners=0)
    for odd in (10**6, 2.5, None):
        with pytest.raises(UserError, match="at most 4096"):
            CrossPathScore(partners=odd)
    with pytest.raises(UserError, match="seeds"):
        CrossPathScore(seed=-1)
