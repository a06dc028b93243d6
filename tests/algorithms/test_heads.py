"""Losses and gradients equal plain PyTorch's, and the queue keeps the newest keys in order."""

import math

import pytest
import torch
from torch.nn import functional as F

from pinas_mm.algorithms import CrossPathHead, InfoNCEHead, PiModelHead
from pinas_mm.algorithms.heads import embedding_spread
from pinas_mm.errors import UserError

QUEUE = dict(type="pinas_mm.InfoNCEHead", dim=6, queue_size=10, temperature=0.2)


def units(number, seed, dim=6):
    rows = torch.randn(number, dim, generator=torch.Generator().manual_seed(seed))
    return F.normalize(rows.double(), dim=1)


def infonce(queries, keys, queue, temperature):
    """Cross entropy with the positive first, as MoCo's pseudocode writes it."""
    logits = torch.cat([(queries * keys).sum(1, keepdim=True), queries @ queue], 1) / temperature
    return F.cross_entropy(logits, torch.zeros(len(queries), dtype=torch.long))


def gradients(loss, *tensors):
    return torch.autograd.grad(loss, tensors)


@pytest.mark.parametrize("temperature", [0.05, 0.2, 1.0])
def test_infonce_and_its_gradients_are_those_of_cross_entropy(temperature):
    head = InfoNCEHead(dim=6, queue_size=10, temperature=temperature).double()
    queries, keys = units(4, 0).requires_grad_(), units(4, 1).requires_grad_()
    ours, theirs = head(queries, keys), infonce(queries, keys, head.queue.clone(), temperature)
    torch.testing.assert_close(ours, theirs)
    found = gradients(3 * ours, queries, keys)
    torch.testing.assert_close(found, gradients(3 * theirs, queries, keys))


def test_the_queue_may_change_before_the_backward_pass():
    head = InfoNCEHead(dim=6, queue_size=10).double()
    queries, keys = units(4, 0).requires_grad_(), units(4, 1)
    (expected,) = gradients(infonce(queries, keys, head.queue.clone(), 0.2), queries)
    loss = head(queries, keys)
    head.update(units(10, 2))
    (found,) = gradients(loss, queries)
    torch.testing.assert_close(found, expected)
    assert not head.queue.requires_grad


def test_in_mixed_precision_the_loss_is_computed_in_float32():
    head = InfoNCEHead(dim=6, queue_size=10)
    queries, keys = units(4, 0).bfloat16(), units(4, 1).bfloat16()
    expected = infonce(queries.float(), keys.float(), head.queue, 0.2)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = head(queries, keys)
        pi_loss = PiModelHead()(queries, keys)
    assert loss.dtype == pi_loss.dtype == torch.float32
    torch.testing.assert_close(loss, expected)


def test_the_queue_starts_with_unit_vectors():
    head = InfoNCEHead(dim=6, queue_size=50)
    torch.testing.assert_close(head.queue.norm(dim=0), torch.ones(50))
    assert torch.linalg.matrix_rank(head.queue) == 6


@pytest.mark.parametrize("sizes", [[4, 4, 4, 4], [3, 5, 1], [10, 10], [7, 13], [23], [1] * 12])
def test_the_queue_is_a_ring_of_the_newest_keys(sizes):
    head = InfoNCEHead(dim=6, queue_size=10)
    ring, end = head.queue.clone(), 0
    for step, size in enumerate(sizes):
        keys = units(size, step).float()
        for key in keys:
            ring[:, end % 10] = key
            end += 1
        head.update(keys)
        assert torch.equal(head.queue, ring)
        assert head.queue_ptr.tolist() == [end % 10]


def test_the_queue_goes_through_a_state_dict():
    head, twin = (InfoNCEHead(dim=6, queue_size=10) for _ in range(2))
    head.update(units(7, 0).float())
    twin.load_state_dict(head.state_dict())
    for each in (head, twin):
        each.update(units(5, 1).float())
    assert torch.equal(head.queue, twin.queue)
    assert head.queue_ptr.tolist() == twin.queue_ptr.tolist() == [2]


def test_the_pi_model_is_the_mean_squared_distance():
    queries, keys = units(5, 0).float(), units(5, 1).float()
    expected = sum(float((q - k) @ (q - k)) for q, k in zip(queries, keys, strict=True)) / 5
    assert math.isclose(float(PiModelHead()(queries, keys)), expected, rel_tol=1e-5)
    assert float(PiModelHead()(queries, queries)) == 0
    assert math.isclose(float(PiModelHead()(queries, -queries)), 4, rel_tol=1e-5)


@pytest.mark.parametrize("paths", [2, 3, 4])
def test_every_path_is_compared_with_every_other(paths):
    head = CrossPathHead(QUEUE).double()
    queue = head.pair.queue.clone()
    queries, keys = ([units(4, 10 * side + p) for p in range(paths)] for side in range(2))
    result = head(queries, keys)
    pairs = [(i, j) for i in range(paths) for j in range(paths) if i != j]
    losses = [infonce(queries[i], keys[j], queue, 0.2) for i, j in pairs]
    torch.testing.assert_close(result["loss"], sum(losses) / (paths - 1))
    cosines = [F.cosine_similarity(queries[i], keys[j]).mean() for i, j in pairs]
    torch.testing.assert_close(result["similarity"], sum(cosines) / len(pairs))
    # Enqueued is the mean of the paths' keys, not normalized again.
    torch.testing.assert_close(head.pair.queue[:, :4], torch.stack(keys).mean(0).T)
    assert torch.equal(head.pair.queue[:, 4:], queue[:, 4:])


@pytest.mark.parametrize("paths", [1, 2])
def test_without_cross_each_path_meets_itself(paths):
    head = CrossPathHead(QUEUE, cross=False).double()
    queue = head.pair.queue.clone()
    queries, keys = ([units(4, 10 * side + p) for p in range(paths)] for side in range(2))
    expected = sum(infonce(q, k, queue, 0.2) for q, k in zip(queries, keys, strict=True))
    torch.testing.assert_close(head(queries, keys)["loss"], expected)


def test_cross_needs_two_paths():
    with pytest.raises(UserError, match=r"num_paths=2 or more, or cross=False"):
        CrossPathHead(QUEUE)([units(4, 0)], [units(4, 1)])


WRONG = dict(dim=(0, 2.5, "8"), queue_size=(0, 2.5, None), temperature=(0.0, "0.2"))


@pytest.mark.parametrize("wrong", [{name: value} for name in WRONG for value in WRONG[name]])
def test_wrong_numbers_are_refused(wrong):
    with pytest.raises(UserError, match="must be above 0"):
        InfoNCEHead(**wrong)


def test_spread_is_one_on_the_sphere_and_zero_in_a_point():
    assert abs(float(embedding_spread(units(4000, 0, dim=32))) - 1) < 0.02
    assert float(embedding_spread(units(1, 0).expand(9, -1))) < 1e-6
