"""A choice block: several operations at one place, of which a path runs one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, cast

import torch
from torch import nn

SHORTCUT = "shortcut"


class ChoiceBlock(nn.Module):
    """The candidates of one place, and the shortcut that they share.

    The shortcut is a module of the block. State dicts have it under each candidate that uses it,
    as the release's checkpoints do (``0.downsample.1.weight``, ``1.downsample.1.weight``, ...); of
    those read the last one counts.

    Args:
        candidates: modules by the index of their candidate; indices may be missing.
        shortcut: the module that they were built with; left out where none of them uses it.
    """

    def __init__(self, candidates: Mapping[int, nn.Module], shortcut: nn.Module | None) -> None:
        super().__init__()
        self.choices = tuple(candidates)
        self.shortcut: nn.Module | None
        # Where candidates have the shortcut: prefixes of its keys, by candidate.
        self._shares: dict[int, list[str]] = {}
        # Names of the modules whose attribute it is there, and of the attributes.
        self._holders: list[tuple[str, str]] = []
        self.shortcut = None
        for choice, candidate in candidates.items():
            self.add_module(str(choice), candidate)
            if shortcut is not None:
                self._unlist(choice, shortcut)
            if self._shares and self.shortcut is None:
                # After the first that uses it: optimizers number parameters in this order, and
                # their checkpoints were written when candidates listed it.
                del self.shortcut
                self.shortcut = shortcut
        self._held: nn.Module | None
        self.__dict__["_held"] = self.shortcut
        module: Any = self  # PyTorch leaves these without types.
        module._register_state_dict_hook(_under_candidates)
        module._register_load_state_dict_pre_hook(_from_candidates, with_module=True)

    def __getitem__(self, choice: int) -> nn.Module:
        if self._held is not self.shortcut:
            self._hand_out()
        return cast(nn.Module, self._modules[str(choice)])

    def __iter__(self) -> Iterator[nn.Module]:
        return (self[choice] for choice in self.choices)

    def __len__(self) -> int:
        return len(self.choices)

    def apply(self, fn: Callable[[nn.Module], None]) -> ChoiceBlock:
        """PyTorch's, by which weights are initialized: the shortcut comes with each candidate that
        uses it, so that a seed gives the weights that it gave when each of them listed it.
        """
        for choice in self.choices:
            for module in self.running(choice):
                module.apply(fn)
        fn(self)
        return self

    def running(self, choice: int) -> list[nn.Module]:
        """The modules that run where a path takes a candidate."""
        shared = self.shortcut if choice in self._shares else None
        return [self[choice]] if shared is None else [self[choice], shared]

    def _unlist(self, choice: int, shortcut: nn.Module) -> None:
        """Makes the shortcut a plain attribute of the candidate: it belongs to the block.

        Listed under each candidate as well, its parameters would come several times to whoever
        walks the modules, as mmengine's ``paramwise_cfg`` does.
        """
        for path, parent in list(self.named_modules()):
            for name in [n for n, child in parent._modules.items() if child is shortcut]:
                if parent is self and name == SHORTCUT:
                    continue
                place = f"{path}.{name}" if path else name
                if isinstance(parent, (nn.Sequential, nn.ModuleList, nn.ModuleDict, ChoiceBlock)):
                    # These run what they list.
                    parent._modules[name] = _Unlisted(shortcut)
                    self._holders.append((place, "module"))
                else:
                    del parent._modules[name]
                    parent.__dict__[name] = shortcut
                    self._holders.append((path, name))
                self._shares.setdefault(choice, []).append(f"{place}.")

    def _hand_out(self) -> None:
        """Gives the candidates the present shortcut: what converts norms, to SyncBN or from it,
        replaces those that it finds listed, and a shortcut can be a norm alone.
        """
        for path, name in self._holders:
            self.get_submodule(path).__dict__[name] = self.shortcut
        self.__dict__["_held"] = self.shortcut


class _Unlisted(nn.Module):
    """Runs a module that belongs to another."""

    module: nn.Module

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.__dict__["module"] = module

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.module(x)


def _under_candidates(
    block: ChoiceBlock, state: dict[str, Any], prefix: str, metadata: dict[str, Any]
) -> None:
    own = f"{prefix}{SHORTCUT}."
    for key in [key for key in state if key.startswith(own)]:
        value = state.pop(key)
        for place in (place for places in block._shares.values() for place in places):
            state[prefix + place + key.removeprefix(own)] = value


def _from_candidates(block: ChoiceBlock, state: dict[str, Any], prefix: str, *_: Any) -> None:
    for place in (place for places in block._shares.values() for place in places):
        for key in [key for key in state if key.startswith(prefix + place)]:
            state[f"{prefix}{SHORTCUT}.{key.removeprefix(prefix + place)}"] = state.pop(key)
