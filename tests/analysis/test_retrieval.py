"""Retrieval is right where embeddings tell images apart, chance where they have collapsed."""

import pytest
import torch

from pinas_mm.analysis.retrieval import cross_path_retrieval


def images(number=12):
    return torch.randn(number, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def test_a_fresh_supernet_finds_the_same_image_along_every_path(build_pinas):
    # All paths agree at the start, and the teacher is the student's copy.
    result = cross_path_retrieval(build_pinas(), [[images(), images()]], num_pairs=3)
    assert result.top1 == 1
    assert 0 < result.spread < 1.5


def test_other_images_are_not_found(build_pinas):
    result = cross_path_retrieval(build_pinas(), [[images(), images().flip(0)]], num_pairs=2)
    assert result.top1 == 0


def test_collapsed_embeddings_score_like_chance(build_pinas):
    model = build_pinas()
    for neck in (model.neck, model.teacher.neck):
        torch.nn.init.zeros_(neck.mlp[2].weight)
        torch.nn.init.ones_(neck.mlp[2].bias)
    result = cross_path_retrieval(model, [[images(), images()]])
    assert result.top1 == pytest.approx(1 / 12)
    assert result.spread < 1e-6


def test_nothing_of_the_model_changes_and_a_seed_decides(build_pinas):
    model = build_pinas()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    model.train()
    model.teacher.backbone.eval()
    modes = [module.training for module in model.modules()]
    before = {name: value.clone() for name, value in model.state_dict().items()}
    noise = torch.randn(12, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    views = [[images(), images() + noise]]
    results = [cross_path_retrieval(model, views, 4, seed) for seed in (0, 0, 1)]
    assert results[0] == results[1] != results[2]
    assert [module.training for module in model.modules()] == modes
    assert all(torch.equal(value, before[n]) for n, value in model.state_dict().items())
