"""Teachers: where a step's keys come from."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from mmengine.dist import all_gather, get_rank, get_world_size
from mmengine.model import BaseModule
from torch import nn
from torch.nn import functional as F

from pinas_mm.errors import UserError
from pinas_mm.models.supernet import PiNASSupernet
from pinas_mm.registry import MODELS
from pinas_mm.run_state import generator
from pinas_mm.space import Arch
from pinas_mm.to_device import to_device


def embed(
    backbone: PiNASSupernet, neck: nn.Module, images: torch.Tensor, arch: Arch
) -> torch.Tensor:
    """Unit embeddings of shape (N, dim) of images along a path."""
    return F.normalize(neck(backbone(images, arch))[0], dim=1)


@MODELS.register_module()
class MeanTeacher(BaseModule):
    """A copy of the student that follows it slowly, and only where a path went (Pi-NAS, 3.3).

    ``teacher <- momentum * teacher + (1 - momentum) * student``, for the parameters of the stem,
    the path's blocks and the neck; batch-norm statistics are the teacher's own.

    Args:
        backbone, neck: the student's; they are copied.
        momentum: how much of the teacher stays at an update, 0 to 1;
            :class:`~pinas_mm.engine.TeacherMomentumHook` schedules it.

    Raises:
        UserError: ``momentum`` is not from 0 to 1.
    """

    def __init__(self, backbone: PiNASSupernet, neck: nn.Module, momentum: float = 0.999) -> None:
        super().__init__()
        if not 0 <= momentum <= 1:
            raise UserError(f"teacher momentum is {momentum}: it must be between 0 and 1")
        self.momentum = momentum
        self.backbone, self.neck = copy.deepcopy(backbone), copy.deepcopy(neck)
        self.requires_grad_(False)

    def init_weights(self) -> None:
        """Nothing: the algorithm copies the student's weights with :meth:`copy_student`."""

    @torch.no_grad()
    def copy_student(self, backbone: PiNASSupernet, neck: nn.Module) -> None:
        """Takes over all of the student's weights and statistics."""
        self.backbone.load_state_dict(backbone.state_dict())
        self.neck.load_state_dict(neck.state_dict())

    @torch.no_grad()
    def update(self, backbone: PiNASSupernet, neck: nn.Module, arch: Arch) -> None:
        """Moves what the path touches towards the student."""
        teacher = _path_parameters(self.backbone, self.neck, arch)
        torch._foreach_lerp_(teacher, _path_parameters(backbone, neck, arch), 1 - self.momentum)

    @torch.no_grad()
    def keys(
        self,
        backbone: PiNASSupernet,
        neck: nn.Module,
        images: torch.Tensor,
        arch: Arch,
        shuffle_key: Sequence[int] = (0,),
    ) -> torch.Tensor:
        """The teacher's unit embeddings (N, dim) of images along a path, without gradient.

        Images are shuffled across ranks first, so that a batch norm's statistics do not tell
        which key belongs to which query (MoCo, 3.3). ``shuffle_key`` seeds the order and must be
        the same on all ranks.
        """
        shuffled, back = _shuffle(images, shuffle_key)
        keys = embed(self.backbone, self.neck, shuffled, arch)
        return _unshuffle(keys, back)


@MODELS.register_module()
class SelfTeacher(BaseModule):
    """The student as its own teacher (the paper's ablation).

    Args:
        backbone, neck: the student's; not kept.
        stop_gradient: whether keys are constants for the loss; False is the Pi-model.
    """

    def __init__(self, backbone: nn.Module, neck: nn.Module, stop_gradient: bool = True) -> None:
        super().__init__()
        self.stop_gradient = stop_gradient

    def copy_student(self, backbone: PiNASSupernet, neck: nn.Module) -> None:
        """Nothing to copy."""

    def update(self, backbone: PiNASSupernet, neck: nn.Module, arch: Arch) -> None:
        """Nothing to update."""

    def keys(
        self,
        backbone: PiNASSupernet,
        neck: nn.Module,
        images: torch.Tensor,
        arch: Arch,
        shuffle_key: Sequence[int] = (0,),
    ) -> torch.Tensor:
        """The student's unit embeddings (N, dim) of images along a path."""
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.stop_gradient):
            return embed(backbone, neck, images, arch)


def _path_parameters(backbone: PiNASSupernet, neck: nn.Module, arch: Arch) -> list[torch.Tensor]:
    modules = [*backbone.path_modules(arch), neck]
    return [parameter for module in modules for parameter in module.parameters()]


def _shuffle(images: torch.Tensor, key: Sequence[int]) -> tuple[torch.Tensor, torch.Tensor | None]:
    """This rank's share of all ranks' images in random order, and the order that undoes it.

    mmpretrain's shuffle draws from the global generator, whose state a resumed run does not get
    back.
    """
    if get_world_size() == 1:
        return images, None
    everything = torch.cat(all_gather(images.contiguous()))
    order = to_device(torch.randperm(len(everything), generator=generator(*key)), images.device)
    share = order.view(get_world_size(), -1)[get_rank()]
    return everything[share], order.argsort()


def _unshuffle(keys: torch.Tensor, back: torch.Tensor | None) -> torch.Tensor:
    if back is None:
        return keys
    everything = torch.cat(all_gather(keys.contiguous()))
    return everything[back.view(get_world_size(), -1)[get_rank()]]
