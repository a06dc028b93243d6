"""Subnets of one supernet, each with batch-norm statistics of its own, run together."""

from __future__ import annotations

import contextlib
import types
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from pinas_mm.models.batch_norm import batch_norms, modes_kept
from pinas_mm.models.supernet import PiNASSupernet
from pinas_mm.search.evaluation.prefixes import Node, PrefixTree, WalkCount
from pinas_mm.space import Arch

# Finished stages' feature maps that are to be returned, then the current one.
Maps = tuple[torch.Tensor, ...]


@contextlib.contextmanager
def borrowed(module: nn.Module) -> Iterator[None]:
    """A network in evaluation mode, without gradient, whose batch norms' statistics may be swapped.

    Afterwards it is as it was, to the bit, whatever happened: its own statistics are put aside, not
    overwritten. Synchronized batch norms use the statistics of their own process here, since ranks
    run different subnets. What is compiled runs uncompiled here: each momentum would be compiled
    anew, until PyTorch gives up compiling these modules for the rest of the process.
    """
    norms = [
        (n, n.momentum, n.running_mean, n.running_var, n.num_batches_tracked)
        for n in batch_norms(module)
    ]
    synchronized = [norm for norm, *_ in norms if isinstance(norm, nn.SyncBatchNorm)]
    calls = [(m, getattr(m, "_compiled_call_impl", None)) for m in module.modules()]
    compiled = [(m, call) for m, call in calls if call is not None]
    try:
        for m, _ in compiled:
            m._compiled_call_impl = None
        for norm, *_ in norms:
            norm.num_batches_tracked = None
        for norm in synchronized:
            norm.__dict__["forward"] = types.MethodType(_BatchNorm.forward, norm)
        with modes_kept(module), torch.no_grad():
            for m in module.modules():
                m.training = False
            yield
    finally:
        for m, call in compiled:
            m._compiled_call_impl = call
        for norm in synchronized:
            norm.__dict__.pop("forward", None)
        for norm, momentum, mean, var, batches in norms:
            norm.momentum, norm.num_batches_tracked = momentum, batches
            norm.running_mean, norm.running_var = mean, var


class Subnets:
    """Architectures that share a supernet's weights and what they compute in common.

    Everything here is to be called inside :func:`borrowed`. Each distinct prefix is run once a
    batch, and has statistics of its own, which equal those of
    :class:`~pinas_mm.models.batch_norm.Statistics`.

    Args:
        backbone: the supernet.
        archs: the subnets; equal ones are allowed.
        limit: most bytes of activations kept for prefixes that branch.
        following: networks that run after the supernet, as neck and head; their batch norms have
            statistics of each subnet's own too, of all their calls in a batch.
        recalibrate: False keeps the batch norms' running statistics, the same for all subnets.

    Attributes:
        tree: the prefixes up to the last stage whose output is returned.
    """

    def __init__(
        self,
        backbone: PiNASSupernet,
        archs: Sequence[Arch],
        limit: float,
        following: Sequence[nn.Module] = (),
        recalibrate: bool = True,
    ) -> None:
        self._backbone, self._archs, self._limit = backbone, archs, limit
        self.tree = PrefixTree(arch[: backbone.num_running] for arch in archs)
        # What is to be found in modules is found here, once.
        self._norms: dict[tuple[int, int | None], list[_BatchNorm]] = {
            (0, None): batch_norms(*backbone.stem_modules)
        }
        self._following = batch_norms(*following)
        self._paths: dict[int, list[Node]] = {}
        for node in self.tree.nodes():
            place = node.depth, node.choice
            if place not in self._norms:
                self._norms[place] = batch_norms(*self._modules(node))
            self._paths |= dict.fromkeys(node.archs, _path(node))
        # A block's candidates have one shortcut in common.
        norms = [norm for norms in self._norms.values() for norm in norms]
        self._all_norms = list(dict.fromkeys([*norms, *self._following]))
        self._statistics: dict[object, list[tuple[torch.Tensor, torch.Tensor]]] = {}
        self._runs: dict[int, Counter[_BatchNorm]] = defaultdict(Counter)
        # Places each of whose norms runs once a batch, as nearly all do; unknown until one ran.
        self._once: dict[tuple[int, int | None], bool] = {}
        self._batches, self._recalibrate = 0, recalibrate

    @property
    def recalibrated(self) -> bool:
        """Whether there are statistics to recompute."""
        return self._recalibrate and bool(self._all_norms)

    def calibrate(
        self,
        images: torch.Tensor,
        end: Callable[[list[int], tuple[torch.Tensor, ...]], None] = lambda archs, feats: None,
    ) -> WalkCount:
        """Adds a batch to the statistics of every prefix; batches weigh equally.

        Args:
            images: (N, C, H, W).
            end: as for :meth:`run`; runs what follows the supernet.
        """
        self._batches += 1
        factor = 1 / self._batches

        def run(node: Node, x: Maps, again: bool) -> Maps:
            # Counted in its first run only.
            norms, place = self._attach(node), (node.depth, node.choice)
            for norm in norms:
                norm.momentum = 0.0 if again else factor
            if again or self._once.get(place):
                return self._run(node, x)
            runs = self._runs[node.number]
            with self._counted(norms, runs):
                out = self._run(node, x)
            self._once.setdefault(place, max(runs.values(), default=0) <= 1)
            return out

        def ended(archs: list[int], maps: Maps) -> None:
            if not self._following:
                return
            for node in self._paths[archs[0]]:
                # Should the supernet be run once more, the images are no others.
                for norm in self._norms[node.depth, node.choice]:
                    norm.momentum = 0.0
            following = self._attach_following(archs[0])
            runs = self._runs[self._paths[archs[0]][-1].number]
            with self._counted(following, runs), self._backbone.on(self._archs[archs[0]]):
                end(archs, maps[:-1])

        self._train(True)
        source: Maps = (images,)
        return self.tree.walk(source, run, ended, _nbytes, self._limit)

    def run(
        self,
        images: torch.Tensor,
        end: Callable[[list[int], tuple[torch.Tensor, ...]], None],
        whole: bool = False,
    ) -> WalkCount:
        """Runs all subnets on images.

        Args:
            images: (N, C, H, W).
            end: gets indices of equal subnets and their feature maps, as the supernet returns them;
                their path is set there.
            whole: leave it to ``end`` to run the supernet, along the path that is set; it gets no
                feature maps.
        """

        def run(node: Node, x: Maps, again: bool) -> Maps:
            self._attach(node)
            return () if whole else self._run(node, x)

        def ended(archs: list[int], maps: Maps) -> None:
            # Those of the path are in place: what runs in between lies deeper.
            self._attach_following(archs[0])
            with self._backbone.on(self._archs[archs[0]]):
                end(archs, maps[:-1])

        self._train(False)
        source: Maps = (images,)
        return self.tree.walk(source, run, ended, _nbytes, self._limit)

    def drop(self, archs: Iterable[int]) -> None:
        """Leaves out subnets from here on; the others keep their indices and statistics."""
        self.tree = self.tree.without(archs)

    def _modules(self, node: Node) -> list[nn.Module]:
        """What a node runs."""
        network, number = self._backbone, node.depth - 1
        ends = network.returned_after(number) == network.num_stages - 1
        output = [network.output] if ends and hasattr(network, "output") else []
        return [*network.cell(number, node.choice), *output]

    def _run(self, node: Node, x: Maps) -> Maps:
        if not node.depth:
            return (self._backbone.forward_stem(x[0]),)
        number = node.depth - 1
        out = self._backbone.forward_cell(x[-1], number, node.choice)
        stage = self._backbone.returned_after(number)
        if stage is None:
            return (*x[:-1], out)
        return (*x[:-1], self._backbone.forward_output(out, stage), out)

    def _attach(self, node: Node) -> list[_BatchNorm]:
        """Swaps in the statistics of a node: a change of references, nothing is copied."""
        return self._swap(node.number, self._norms[node.depth, node.choice])

    def _attach_following(self, arch: int) -> list[_BatchNorm]:
        """Swaps in those of what follows a subnet, and all that are equal to it."""
        return self._swap(("following", self._paths[arch][-1].number), self._following)

    def _swap(self, key: object, norms: list[_BatchNorm]) -> list[_BatchNorm]:
        if not self._recalibrate:
            return norms
        statistics = self._statistics.get(key)
        if statistics is None:
            # What no batch reaches, as an auxiliary head, stays as it is.
            held: list[Any] = list(norms)
            statistics = [(norm.running_mean.clone(), norm.running_var.clone()) for norm in held]
            self._statistics[key] = statistics
        for norm, (mean, var) in zip(norms, statistics, strict=True):
            norm.running_mean, norm.running_var = mean, var
        return norms

    @contextlib.contextmanager
    def _counted(self, norms: list[_BatchNorm], runs: Counter[_BatchNorm]) -> Iterator[None]:
        """Each call of a batch norm weighs equally here, as a head's has one for each level."""

        def count(norm: _BatchNorm, _: object) -> None:
            runs[norm] += 1
            norm.momentum = 1 / runs[norm]

        hooks = [norm.register_forward_pre_hook(count) for norm in norms]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    def _train(self, mode: bool) -> None:
        for norm in self._all_norms:
            norm.training = mode


def _path(node: Node | None) -> list[Node]:
    """A node and those above it, the root first."""
    path = []
    while node is not None:
        path.append(node)
        node = node.parent
    return path[::-1]


def _nbytes(maps: Maps) -> int:
    return sum(x.nbytes for x in {id(x): x for x in maps}.values())
