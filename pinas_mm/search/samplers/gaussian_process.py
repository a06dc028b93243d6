"""A Gaussian process on architectures: main effects, pairs of blocks, and whole architectures."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cholesky, lapack
from scipy.optimize import minimize

from pinas_mm.search.samplers.features import descriptors, one_hot
from pinas_mm.space import SearchSpace

# Of the logarithms of the hyperparameters: mean and standard deviation of their normal prior.
MAIN, PAIRS, WHOLE, NOISE = (0.0, 1.5), (-2.0, 1.5), (-2.0, 1.5), (-3.5, 1.5)
RELEVANCE, LENGTH, MIX = (0.0, 0.7), (-0.7, 0.8), (-1.0, 1.0)
GLOBALS = 5


@dataclasses.dataclass(frozen=True, eq=False)
class Kernels:
    """One setting of the hyperparameters, computed out.

    Attributes:
        amplitudes: variances of main effects, pairs, whole architectures and noise.
        block: centred kernel of each block, shape (blocks, candidates, candidates).
        log_whole: logarithm of each block's factor, same shape.
    """

    amplitudes: NDArray[Any]
    block: NDArray[Any]
    log_whole: NDArray[Any]

    @property
    def noise(self) -> float:
        """Variance of each architecture's own effect, of which no other tells."""
        return float(self.amplitudes[3]) + 1e-6

    def covariance(
        self, main: NDArray[Any], pairs: NDArray[Any], whole: NDArray[Any]
    ) -> NDArray[Any]:
        """Of all three kernels and the mean, without the noise.

        Args:
            main, pairs, whole: of :meth:`ArchProcess.parts`.
        """
        a = self.amplitudes
        return a[0] * main + a[1] * pairs + a[2] * whole + 1.0


class ArchProcess:
    """Gaussian process regression of scores.

    The kernel is the sum of three: of main effects (one function a block), of pairs of blocks
    (Duvenaud et al. 2011, additive Gaussian processes, with centred functions as in an analysis of
    variance) and of whole architectures (a product over the blocks). Each rests on one kernel a
    block over its candidates, which falls with the distance of the candidates' descriptors and by
    a step between any two. Hyperparameters maximize the posterior under broad normal priors on
    their logarithms.

    Args:
        space: the search space.
    """

    def __init__(self, space: SearchSpace) -> None:
        self.blocks, self.candidates = space.num_blocks, space.num_candidates
        numbers = descriptors(space)
        different = 1.0 - np.eye(self.candidates)
        distance = ((numbers[:, None] - numbers[None]) ** 2).sum(axis=2)
        ordered = numbers.shape[1] > 0
        # Both distances are 1 on average over different candidates.
        self._step = different
        self._distance = distance / distance[different > 0].mean() if ordered else different
        self._centre = np.eye(self.candidates) - 1.0 / self.candidates
        self._pairs = max(self.blocks * (self.blocks - 1) / 2, 1)
        self._mean, self._sd = self._prior(ordered)

    def fit(self, archs: NDArray[Any], scores: NDArray[Any], steps: int = 40) -> NDArray[Any]:
        """Hyperparameters of most posterior density, as logarithms.

        Args:
            archs: different architectures as candidate indices, shape (n, blocks).
            scores: shape (n,), of about mean 0 and standard deviation 1.
            steps: of the optimizer at most; it starts at the prior's mean.
        """
        codes = one_hot(archs, self.candidates)
        found = minimize(
            self._loss,
            self._mean,
            args=(codes, scores),
            jac=True,
            method="L-BFGS-B",
            bounds=list(zip(self._mean - 4 * self._sd, self._mean + 4 * self._sd, strict=True)),
            options={"maxiter": steps, "maxcor": 10},
        )
        return found.x

    def condition(
        self, hyper: NDArray[Any], archs: NDArray[Any], scores: NDArray[Any], pending: NDArray[Any]
    ) -> Posterior:
        """The posterior after scores; pending architectures count as if they got their mean."""
        kernels = self._kernels(hyper)
        posterior = Posterior(self, kernels, archs, scores)
        if len(pending):
            expected = posterior.predict(pending)[0]
            archs, scores = np.concatenate([archs, pending]), np.concatenate([scores, expected])
            posterior = Posterior(self, kernels, archs, scores)
        return posterior

    def _prior(self, ordered: bool) -> tuple[NDArray[Any], NDArray[Any]]:
        mix = MIX if ordered else (0.0, 0.01)
        groups = [[MAIN, PAIRS, WHOLE, NOISE, mix]]
        groups += [[RELEVANCE] * self.blocks, [LENGTH] * self.blocks]
        mean, sd = np.array([pair for group in groups for pair in group]).T
        return mean, sd

    def _kernels(self, hyper: NDArray[Any]) -> Kernels:
        raw, centred, scale = self._raw(hyper)
        relevance = np.exp(hyper[GLOBALS : GLOBALS + self.blocks])[:, None, None]
        return Kernels(
            np.exp(hyper[:4]), relevance * centred / scale, np.log(np.maximum(raw, 1e-300))
        )

    def _raw(self, hyper: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
        log_raw = -np.exp(hyper[GLOBALS + self.blocks :])[:, None, None] * self._mixed(hyper[4])
        raw = np.exp(log_raw)
        centred = self._centre @ raw @ self._centre
        scale = np.einsum("bii->b", centred)[:, None, None] / self.candidates
        return raw, centred, np.maximum(scale, 1e-12)

    def _mixed(self, logit: float) -> NDArray[Any]:
        share = 1 / (1 + np.exp(-logit))
        return (1 - share) * self._distance + share * self._step

    def parts(
        self, kernels: Kernels, first: NDArray[Any], second: NDArray[Any]
    ) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
        """Kernels between one-hot codes (n, .) and (m, .): main effects, pairs, whole; (n, m)."""
        main = self._apply(kernels.block, first) @ second.T
        squares = self._apply(kernels.block**2, first) @ second.T
        whole = np.exp(self._apply(kernels.log_whole, first) @ second.T)
        return main / self.blocks, (main**2 - squares) / (2 * self._pairs), whole

    def _apply(self, matrices: NDArray[Any], codes: NDArray[Any]) -> NDArray[Any]:
        split = codes.reshape(len(codes), self.blocks, self.candidates)
        return np.einsum("nbi,bij->nbj", split, matrices, optimize=True).reshape(len(codes), -1)

    def _loss(
        self, hyper: NDArray[Any], codes: NDArray[Any], scores: NDArray[Any]
    ) -> tuple[float, NDArray[Any]]:
        """Minus the log posterior density of the hyperparameters, and its gradient."""
        kernels = self._kernels(hyper)
        main, _, whole = parts = self.parts(kernels, codes, codes)
        a = kernels.amplitudes
        inverse, lower = _inverse(kernels.covariance(*parts), kernels.noise)
        weights = inverse @ scores
        deviation = (hyper - self._mean) / self._sd
        loss = 0.5 * scores @ weights + np.log(np.diag(lower)).sum() + 0.5 * deviation @ deviation
        slope = 0.5 * (inverse - np.outer(weights, weights))
        gradient = deviation / self._sd
        gradient[:3] += [a[i] * (slope * part).sum() for i, part in enumerate(parts)]
        gradient[3] += a[3] * np.trace(slope)
        inner = a[0] / self.blocks + a[1] / self._pairs * self.blocks * main
        of_block = self._fold(slope * inner, codes)
        of_block -= a[1] / self._pairs * self._fold(slope, codes) * kernels.block
        of_log = self._fold(slope * a[2] * whole, codes)
        self._backward(hyper, kernels, of_block, of_log, gradient)
        return float(loss), gradient

    def _fold(self, slope: NDArray[Any], codes: NDArray[Any]) -> NDArray[Any]:
        """Sums of (n, n) over equal pairs of candidates: shape (blocks, candidates, candidates)."""
        shape = (len(codes), self.blocks, self.candidates)
        right = (slope @ codes).reshape(shape)
        return np.einsum("nbi,nbj->bij", codes.reshape(shape), right, optimize=True)

    def _backward(
        self,
        hyper: NDArray[Any],
        kernels: Kernels,
        of_block: NDArray[Any],
        of_log: NDArray[Any],
        gradient: NDArray[Any],
    ) -> None:
        """Adds what the blocks' kernels pass on to the hyperparameters that make them."""
        raw, centred, scale = self._raw(hyper)
        first, last = GLOBALS, GLOBALS + self.blocks
        gradient[first:last] += (of_block * kernels.block).sum(axis=(1, 2))
        factor = np.exp(hyper[first:last])[:, None, None] / scale
        shrink = (of_block * centred).sum(axis=(1, 2), keepdims=True) / scale / self.candidates
        of_centred = factor * (of_block - shrink * np.eye(self.candidates))
        of_raw = self._centre @ of_centred @ self._centre
        of_log_raw = of_log + of_raw * raw
        length = np.exp(hyper[last:])[:, None, None]
        mixed = self._mixed(hyper[4])
        gradient[last:] -= (of_log_raw * mixed * length).sum(axis=(1, 2))
        share = 1 / (1 + np.exp(-hyper[4]))
        toward = (self._step - self._distance) * share * (1 - share)
        gradient[4] -= (of_log_raw * toward * length).sum()


class Posterior:
    """What an :class:`ArchProcess` expects of architectures after scores.

    Args:
        process: it.
        kernels: of its hyperparameters.
        archs: evaluated, shape (n, blocks).
        scores: shape (n,).

    Attributes:
        best: the highest score.
        noise: see :attr:`Kernels.noise`.
    """

    def __init__(
        self, process: ArchProcess, kernels: Kernels, archs: NDArray[Any], scores: NDArray[Any]
    ) -> None:
        self._process, self._kernels = process, kernels
        self._codes = one_hot(archs, process.candidates)
        self.noise = kernels.noise
        self._inverse, _ = _inverse(self._covariance(self._codes), self.noise)
        self._weights = self._inverse @ scores
        self.best = float(scores.max())

    def predict(self, archs: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        """Mean and variance, each of shape (n,), without the noise."""
        codes = one_hot(archs, self._process.candidates)
        covariance = self._covariance(codes)
        variance = self._own(codes) - np.einsum("nm,nm->n", covariance @ self._inverse, covariance)
        return covariance @ self._weights, np.maximum(variance, 1e-9)

    def _covariance(self, codes: NDArray[Any]) -> NDArray[Any]:
        return self._kernels.covariance(*self._process.parts(self._kernels, codes, self._codes))

    def _own(self, codes: NDArray[Any]) -> NDArray[Any]:
        """Prior variance of each architecture."""
        diagonal = np.einsum("bii->bi", self._kernels.block).ravel()
        main, squares = codes @ diagonal, codes @ diagonal**2
        a, blocks = self._kernels.amplitudes, self._process.blocks
        pairs = (main**2 - squares) / (2 * self._process._pairs)
        return a[0] * main / blocks + a[1] * pairs + a[2] + 1.0


def _inverse(covariance: NDArray[Any], noise: float) -> tuple[NDArray[Any], NDArray[Any]]:
    """Of a covariance with noise, which is added in place; and its Cholesky factor."""
    covariance[np.diag_indices_from(covariance)] += noise
    lower = cholesky(covariance, lower=True, check_finite=False)
    inverse = lapack.dpotri(lower, lower=1)[0]
    return np.tril(inverse) + np.tril(inverse, -1).T, lower
