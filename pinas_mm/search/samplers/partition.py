"""A tree of learned good and bad splits of a search space."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import RidgeClassifier


@dataclasses.dataclass(eq=False)
class Region:
    """A node: a part of the space.

    Attributes:
        members: indices of the evaluated architectures in it.
        classifier: tells its good half from its bad one; None at a leaf.
        good, bad: the halves.
    """

    members: NDArray[Any]
    classifier: RidgeClassifier | None = None
    good: Region | None = None
    bad: Region | None = None


@dataclasses.dataclass(frozen=True, eq=False)
class Path:
    """From the root to a leaf.

    Attributes:
        leaf: where it ends.
        steps: classifiers passed, and whether the good side was taken.
    """

    leaf: Region
    steps: tuple[tuple[RidgeClassifier, bool], ...]

    def margins(self, features: NDArray[Any]) -> NDArray[Any]:
        """How far inside each split architectures are: (n, d) to (n, steps), positive inside."""
        margins = np.zeros((len(features), len(self.steps)))
        for step, (classifier, good) in enumerate(self.steps):
            margins[:, step] = _margin(classifier, features) * (1 if good else -1)
        return margins


class Partition:
    """Splits a space by learned classifiers (Wang et al., LaNAS, TPAMI 2021, section 3).

    At each node a linear classifier learns which members score above the node's median, and the
    members go where it puts them. A node with few members, or whose classifier puts all on one
    side, is a leaf.

    Args:
        features: of evaluated architectures, shape (n, d).
        scores: shape (n,), more is better.
        leaf: a node of fewer than twice as many members is not split.
        depth: splits on a path at most.
        ridge: weight decay of the classifiers.
    """

    def __init__(
        self, features: NDArray[Any], scores: NDArray[Any], leaf: int, depth: int, ridge: float
    ) -> None:
        self._features, self._leaf, self._ridge = features, leaf, ridge
        spread = np.ptp(scores)
        self._scores = (scores - scores.min()) / (spread if spread > 0 else 1.0)
        self.root = self._grow(np.arange(len(scores)), depth)

    def path(self, exploration: float) -> Path:
        """To the leaf that upper confidence bounds choose.

        Each child has the bound mean + exploration * sqrt(2 log(parent's members) / members), on
        scores scaled to [0, 1].
        """
        node, steps = self.root, []
        while node.good is not None and node.bad is not None:
            good = self._bound(node.good, node, exploration)
            bad = self._bound(node.bad, node, exploration)
            steps.append((node.classifier, good >= bad))
            node = node.good if good >= bad else node.bad
        return Path(node, tuple(steps))

    def _bound(self, node: Region, parent: Region, exploration: float) -> float:
        width = np.sqrt(2 * np.log(len(parent.members)) / len(node.members))
        return float(self._scores[node.members].mean() + exploration * width)

    def _grow(self, members: NDArray[Any], depth: int) -> Region:
        scores = self._scores[members]
        good = scores > np.median(scores)
        if depth == 0 or len(members) < 2 * self._leaf or not good.any():
            return Region(members)
        classifier = RidgeClassifier(alpha=self._ridge).fit(self._features[members], good)
        inside = _margin(classifier, self._features[members]) > 0
        if inside.all() or not inside.any():
            return Region(members)
        return Region(
            members,
            classifier,
            self._grow(members[inside], depth - 1),
            self._grow(members[~inside], depth - 1),
        )


def _margin(classifier: RidgeClassifier, features: NDArray[Any]) -> NDArray[Any]:
    # decision_function checks its input for longer than it computes.
    return features @ np.ravel(classifier.coef_) + np.ravel(classifier.intercept_)[0]
