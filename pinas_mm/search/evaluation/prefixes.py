"""What architectures have in common: a tree of prefixes, and a walk that runs each once."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Generic, TypeVar

Activation = TypeVar("Activation")


@dataclasses.dataclass(eq=False)
class Node:
    """One distinct prefix of the architectures of a tree.

    Attributes:
        number: its place in the tree, from 0; the same in what :meth:`PrefixTree.without` gives.
        depth: how many choice blocks the prefix has; 0 is the root, the stem.
        choice: candidate of its last block; None for the root.
        parent: the prefix without its last block; None for the root.
        children: the prefixes one block longer.
        archs: indices of the architectures that end here.
    """

    number: int
    depth: int
    choice: int | None
    parent: Node | None
    children: list[Node] = dataclasses.field(default_factory=list)
    archs: list[int] = dataclasses.field(default_factory=list)

    def __repr__(self) -> str:
        return f"Node({self.number}, depth={self.depth}, choice={self.choice}, archs={self.archs})"


@dataclasses.dataclass
class WalkCount:
    """What one walk cost.

    Attributes:
        block_runs: choice blocks run, again where the memory limit made it so.
        stem_runs: the same for the root.
        peak_bytes: most bytes of kept activations at any time.
    """

    block_runs: int = 0
    stem_runs: int = 0
    peak_bytes: int = 0


class PrefixTree:
    """Architectures merged where their first blocks agree.

    Args:
        archs: candidate indices of each; equal ones and such of different lengths are allowed.

    Attributes:
        root: the node of the empty prefix; it runs the stem.
    """

    def __init__(self, archs: Iterable[Sequence[int]]) -> None:
        self.root = Node(0, 0, None, None)
        number = 1
        for index, arch in enumerate(archs):
            node = self.root
            for choice in arch:
                child = next((c for c in node.children if c.choice == choice), None)
                if child is None:
                    child = Node(number, node.depth + 1, choice, node)
                    node.children.append(child)
                    number += 1
                node = child
            node.archs.append(index)

    def nodes(self) -> Iterator[Node]:
        """All nodes, each after its parent."""
        stack = [self.root]
        while stack:
            node = stack.pop()
            yield node
            stack += reversed(node.children)

    @property
    def num_blocks(self) -> int:
        """Distinct prefixes of at least one block: what a walk without a limit runs."""
        return sum(1 for _ in self.nodes()) - 1

    @property
    def archs(self) -> list[int]:
        """Indices of the architectures in the tree, ascending."""
        return sorted(index for node in self.nodes() for index in node.archs)

    def without(self, archs: Iterable[int]) -> PrefixTree:
        """A tree without some architectures; its nodes keep their numbers."""
        dropped = set(archs)
        copies: dict[Node | None, Node] = {}
        for node in self.nodes():
            left = [index for index in node.archs if index not in dropped]
            above = copies.get(node.parent)
            copies[node] = Node(node.number, node.depth, node.choice, above, archs=left)
        # Each before its parent, which only those join that something is left of.
        for copy in reversed(copies.values()):
            if copy.parent is not None and (copy.archs or copy.children):
                copy.parent.children.insert(0, copy)
        tree = PrefixTree([])
        tree.root = copies[self.root]
        return tree

    def walk(
        self,
        source: Activation,
        run: Callable[[Node, Activation, bool], Activation],
        end: Callable[[list[int], Activation], None],
        size: Callable[[Activation], int],
        limit: float = math.inf,
    ) -> WalkCount:
        """Runs every node once, depth first, and more often only where memory is short.

        The activation of a node with several children is kept until its last child takes it over,
        as long as all that are kept stay within the limit; one that does not fit is computed again
        for each further child, from the nearest kept one above it.

        Args:
            source: what the root is run on.
            run: gives a node's activation from its parent's (the root's from ``source``); its
                third argument says whether the node ran before in this walk.
            end: is called once with the architectures that end at a node and its activation.
            size: bytes of an activation.
            limit: most bytes of kept activations; those in work are not counted.

        Returns:
            What it cost.
        """
        if not (self.root.children or self.root.archs):
            return WalkCount()
        kept: _Kept[Activation] = _Kept(size, limit)
        branches: list[_Branch] = []

        def step(node: Node, activation: Activation, again: bool) -> Activation:
            if node.depth:
                kept.count.block_runs += 1
            else:
                kept.count.stem_runs += 1
            return run(node, activation, again)

        node, activation = self.root, source
        while True:
            activation = step(node, activation, False)
            if node.archs:
                end(node.archs, activation)
            if len(node.children) > 1:
                branches.append(_Branch(node))
                kept.offer(node, activation)
            if node.children:
                node = node.children[0]
                continue
            # The names that hold an activation here are all overwritten: nothing lives on unkept.
            del activation
            if not branches:
                return kept.count
            branch = branches[-1]
            node = branch.next_child()
            if branch.is_last:
                branches.pop()
            activation = _restore(branch, branches, kept, source, step)


class _Branch:
    """A node on the way down that has children left; the first is run when it is made."""

    def __init__(self, node: Node) -> None:
        self.node, self._next = node, 1

    def next_child(self) -> Node:
        self._next += 1
        return self.node.children[self._next - 1]

    @property
    def is_last(self) -> bool:
        return self._next == len(self.node.children)


class _Kept(Generic[Activation]):
    """Activations kept within a limit."""

    def __init__(self, size: Callable[[Activation], int], limit: float) -> None:
        self._size, self._limit = size, limit
        self._held: dict[Node, Activation] = {}
        self._bytes = 0
        self.count = WalkCount()

    def __contains__(self, node: Node) -> bool:
        return node in self._held

    def __getitem__(self, node: Node) -> Activation:
        return self._held[node]

    def offer(self, node: Node, activation: Activation) -> None:
        """Keeps an activation if it fits."""
        total = self._bytes + self._size(activation)
        if total <= self._limit:
            self._held[node], self._bytes = activation, total
            self.count.peak_bytes = max(self.count.peak_bytes, total)

    def take(self, node: Node) -> Activation:
        """Hands an activation over."""
        activation = self._held.pop(node)
        self._bytes -= self._size(activation)
        return activation


def _restore(
    branch: _Branch,
    branches: list[_Branch],
    kept: _Kept[Activation],
    source: Activation,
    step: Callable[[Node, Activation, bool], Activation],
) -> Activation:
    """A branching node's activation for its next child, kept or computed again."""
    node: Node | None = branch.node
    if branch.node in kept:
        return kept.take(branch.node) if branch.is_last else kept[branch.node]
    missing: list[Node] = []
    while node is not None and node not in kept:
        missing.append(node)
        node = node.parent
    activation = source if node is None else kept[node]
    waiting = {other.node for other in branches}
    for again in reversed(missing):
        activation = step(again, activation, True)
        # There may be room by now.
        if again in waiting:
            kept.offer(again, activation)
    return activation
