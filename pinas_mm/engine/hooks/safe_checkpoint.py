"""Checkpoints that load safely, and only where they fit."""

from __future__ import annotations

import inspect
from collections import Counter
from typing import Any

import numpy as np
import torch
from mmengine.dist import get_world_size
from mmengine.hooks import Hook
from mmengine.logging import HistoryBuffer
from mmengine.runner import BaseLoop, Runner
from torch.utils.data import DataLoader

from pinas_mm.engine.runner_parts import unwrapped
from pinas_mm.errors import UserError
from pinas_mm.models.backbone import PiNASBackbone
from pinas_mm.models.network import Network
from pinas_mm.models.supernet import PiNASSupernet
from pinas_mm.registry import HOOKS, dicts, name_of, plain
from pinas_mm.space import SearchSpace
from pinas_mm.weights.channels import fit_channels
from pinas_mm.weights.checkpoint import check_fits, under
from pinas_mm.weights.initializers import PREFIX, load_backbone
from pinas_mm.weights.meta import check_meta, network_facts


@HOOKS.register_module()
class SafeCheckpointHook(Hook):
    """Checkpoints that load with ``weights_only=True``, and only where they fit.

    mmengine keeps its log in the checkpoint as objects that PyTorch's safe loading refuses; here
    they are written as plain tensors and numbers and turned back on loading. What a run is tested
    with or resumed from, or a supernet starts from, must have exactly the model's keys and shapes;
    what a network is fine-tuned from, those of its backbone, if that is ours. mmengine would load
    what fits and go on.

    Raises:
        UserError: it does not fit; of another architecture, names the first differing block.
    """

    priority = "VERY_LOW"

    def before_run(self, runner: Runner) -> None:
        """Refuses a config whose ``space`` has not reached the network.

        The tools take care of it; other programs resolve a base's use of it before it changes.
        """
        said = runner.cfg.get("space")
        said = SearchSpace.build(plain(said)) if said else SearchSpace()
        for network in unwrapped(runner.model).modules():
            if isinstance(network, Network) and network.space == SearchSpace() != said:
                raise UserError(
                    f"the config's space is {said}, its {type(network).__name__}'s is the paper's: "
                    "set model.backbone.space too, or use tools/train.py"
                )

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Replaces what is neither a tensor nor a plain value; says what network it is."""
        for part in ("meta", "message_hub"):
            checkpoint[part] = plain_values(checkpoint[part])
        checkpoint["meta"]["train_loader"] = loader_facts(runner.train_dataloader)
        for state in dicts(checkpoint.get("param_schedulers")):
            # OneCycleLR keeps a function, which it has again when it is built; MultiStepLR counts
            # its milestones in a Counter, which PyTorch refuses before 2.4 and a dict will do for.
            for name, value in list(state.items()):
                if callable(value):
                    del state[name]
                elif isinstance(value, Counter):
                    state[name] = dict(value)
        network = getattr(unwrapped(runner.model), "backbone", None)
        if isinstance(network, Network):
            facts = network_facts(network)
            checkpoint["meta"] |= dict(facts, norm_cfg=plain_values(facts["norm_cfg"]))

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Checks the weights, restores history buffers."""
        model = unwrapped(runner.model)
        backbone = getattr(model, "backbone", None)
        state, meta = checkpoint.get("state_dict", checkpoint), checkpoint.get("meta")
        if isinstance(backbone, Network):
            inner = under(state, PREFIX)
            fit_channels(backbone, inner, "the checkpoint")
            if isinstance(backbone, PiNASBackbone):
                load_backbone(backbone, inner, "the checkpoint", meta)
            else:
                check_meta(backbone, meta, "the checkpoint")
        # A fine-tuning may leave heads out; mmengine's log says which.
        tunes = isinstance(runner._train_loop, BaseLoop) and not runner._resume
        if isinstance(backbone, PiNASSupernet) or not tunes:
            check_fits(model, state, "the checkpoint")
        # mmengine would run it as a config on resuming.
        if isinstance(meta, dict):
            meta.pop("config", None)
        scalars = checkpoint.get("message_hub", {}).get("log_scalars", {})
        for name, kept in scalars.items():
            if isinstance(kept, dict):
                history, count = kept["history"].tolist(), kept["count"].tolist()
                scalars[name] = HistoryBuffer(history, count, kept["max_length"])


def loader_facts(loader: DataLoader[Any]) -> dict[str, int | None]:
    """What decides of which images the batches of a training are."""
    size = getattr(loader.batch_sampler, "batch_size", None)
    return dict(batches=len(loader), batch_size=size, processes=get_world_size())


def plain_values(value: Any) -> Any:
    """The same with history buffers and NumPy's types as tensors, lists and numbers, and classes
    and functions by their names, which PyTorch's safe loading refuses.
    """
    if isinstance(value, dict):
        return {key: plain_values(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain_values(inner) for inner in value]
    if isinstance(value, HistoryBuffer):
        history, count = (torch.from_numpy(array.copy()) for array in value.data)
        return {"history": history, "count": count, "max_length": value.max_length}
    if isinstance(value, (np.ndarray, np.generic)):
        return value.tolist()
    return name_of(value) if inspect.isclass(value) or inspect.isfunction(value) else value
