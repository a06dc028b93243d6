"""Mixed precision on CPUs too, and without a loss scaler where nothing needs one."""

from __future__ import annotations

from typing import Any, cast

import torch
from mmengine.logging import print_log
from mmengine.optim import AmpOptimWrapper as GPUAmpOptimWrapper
from mmengine.optim import OptimWrapper

from pinas_mm.compat import no_scaler
from pinas_mm.errors import UserError
from pinas_mm.registry import OPTIM_WRAPPERS

BFLOAT16 = "bfloat16"


@OPTIM_WRAPPERS.register_module()
class AmpOptimWrapper(GPUAmpOptimWrapper):
    """mmengine's, which wants a GPU, for CPUs as well.

    ``bfloat16`` has float32's range: its losses are not scaled, and no step waits for the device
    to know whether gradients are finite.

    Args:
        loss_scale: of ``float16``, as mmengine's; ``bfloat16`` has no use for it.
        dtype: ``float16`` or ``bfloat16``; None is ``float16`` on a GPU, ``bfloat16`` on a CPU,
            which knows no other.
        use_fsdp, **kwargs: mmengine's.

    Raises:
        UserError: a CPU shall compute in ``float16``.
    """

    def __init__(
        self,
        loss_scale: str | float | dict[str, Any] = "dynamic",
        dtype: str | torch.dtype | None = None,
        use_fsdp: bool = False,
        **kwargs: Any,
    ) -> None:
        name = str(dtype).removeprefix("torch.")
        on_cpu = not torch.cuda.is_available()
        if on_cpu and name not in ("None", BFLOAT16):
            raise UserError(
                f"optim_wrapper.dtype is {name}: a CPU computes mixed precision in {BFLOAT16} alone"
            )
        if on_cpu:
            OptimWrapper.__init__(self, **kwargs)
            self._scale_update_param, self.cast_dtype = None, torch.bfloat16
        else:
            super().__init__(cast(Any, loss_scale), cast(Any, dtype), use_fsdp, **kwargs)
        if self.cast_dtype is torch.bfloat16:
            self._scale_update_param = None
            self.loss_scaler = no_scaler("cpu" if on_cpu else "cuda")

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """mmengine's, but for the loss scaler's of a run in the other type: this one's begins anew,
        and the log says so.
        """
        saved, enabled = state_dict.get("loss_scaler"), self.loss_scaler.is_enabled()
        if saved is not None and bool(saved) != enabled:
            print_log(
                "the checkpoint's run did not scale its losses: scaling begins anew"
                if enabled
                else "the checkpoint's loss scale is not taken: bfloat16 needs none",
                "current",
            )
            state_dict = {key: value for key, value in state_dict.items() if key != "loss_scaler"}
        super().load_state_dict(state_dict)
