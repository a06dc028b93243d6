"""What this machine has, on any operating system."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Any

# Says, for one of several workers, how many threads the process had that shared them out.
THREADS = "PINAS_MM_THREADS"
CPU_INFO = Path("/proc/cpuinfo")


def usable_cores() -> int:
    """Cores that this process may use; where the system does not tell, all of them."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def process_threads() -> int:
    """Threads that PyTorch computes with by this process's settings (``OMP_NUM_THREADS``, or all
    cores); in one of several workers, those of the process that started the workers.
    """
    import torch

    return int(os.environ.get(THREADS) or torch.get_num_threads())


def load() -> float | None:
    """Load average of the last minute per core of the machine; above 1, processes wait for a core.
    None where the system does not tell.
    """
    # All of the machine's, whichever of them this process may use.
    average = getattr(os, "getloadavg", None)
    return average()[0] / (os.cpu_count() or 1) if average else None


def cpu_name() -> str:
    """The processor's model, as far as the system tells."""
    lines = CPU_INFO.read_text().splitlines() if CPU_INFO.is_file() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or platform.machine()


def machine() -> dict[str, Any]:
    """What numbers were measured on: ``cpu``, ``cores``, ``python``, ``torch``."""
    import torch

    return dict(
        cpu=cpu_name(),
        cores=usable_cores(),
        python=platform.python_version(),
        torch=torch.__version__,
    )
