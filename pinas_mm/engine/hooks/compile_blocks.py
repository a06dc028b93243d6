"""Choice blocks compiled one by one."""

from __future__ import annotations

from typing import Any

import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import nn

from pinas_mm.compat import allow_recompiles
from pinas_mm.engine.faults import explain
from pinas_mm.engine.runner_parts import unwrapped
from pinas_mm.models.choice_block import ChoiceBlock
from pinas_mm.registry import HOOKS

# Kinds of blocks that are compiled, by shape and mode; PyTorch gives up after 8.
KINDS = 256


@HOOKS.register_module()
class CompileBlocksHook(Hook):
    """Compiles a supernet's candidates with ``torch.compile``, each kind once.

    A whole supernet would be compiled anew for every path. Its candidates recur: as many are
    compiled as there are different ones, which takes minutes at the start of a run (PyTorch keeps
    them for the next one). It is for GPUs, where a step may wait for the launching of small
    operations. The teacher's candidates are compiled too. State dicts stay what they were; numbers
    are the uncompiled ones' but for rounding.

    Where compiling does not work, the run goes on without, and says why.

    Args:
        **options: of ``torch.compile``, as ``mode='max-autotune-no-cudagraphs'``.

    Example:
        >>> custom_hooks = [dict(type='pinas_mm.CompileBlocksHook')]
    """

    def __init__(self, **options: Any) -> None:
        self.options = {"dynamic": False, **options}

    def before_train(self, runner: Runner) -> None:
        """Marks the candidates; each is compiled when it first runs."""
        model = unwrapped(runner.model)
        device = next(model.parameters()).device
        fault = self._fault(device)
        if fault:
            runner.logger.warning(f"blocks are not compiled: {fault}")
            return
        allow_recompiles(KINDS)
        # One that cannot be compiled runs as it is.
        torch._dynamo.config.suppress_errors = True
        # Who hooks a module, as NASWOT's score, is to be called: not to ask is PyTorch's default.
        torch._dynamo.config.skip_nnmodule_hook_guards = False
        candidates = [
            candidate
            for block in model.modules()
            if isinstance(block, ChoiceBlock)
            for candidate in block
        ]
        for candidate in candidates:
            candidate.compile(**self.options)
        runner.logger.info(f"{len(candidates)} candidates are compiled when they first run")

    def _fault(self, device: torch.device) -> str | None:
        """Why nothing can be compiled here; tried on the smallest network."""
        probe = nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2), nn.ReLU()).to(device)
        try:
            probe.compile(**self.options)
            probe(torch.ones(2, 1, 2, 2, device=device)).sum().backward()
        except Exception as error:  # Compilers fail in many ways.
            return explain(error)
        return None
