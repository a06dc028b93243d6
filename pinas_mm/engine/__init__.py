"""What runs with mmengine's runner: hooks, loops, file backend; importing this registers them."""

from pinas_mm.data.local_files import DataBackend
from pinas_mm.engine.atomic_backend import AtomicLocalBackend
from pinas_mm.engine.faults import FirstStepHook
from pinas_mm.engine.hooks.arch_search import ArchSearchHook
from pinas_mm.engine.hooks.average_once import AverageOnceHook
from pinas_mm.engine.hooks.compile_blocks import CompileBlocksHook
from pinas_mm.engine.hooks.invalid_loss import InvalidLossHook
from pinas_mm.engine.hooks.last_validation import LastValidationHook
from pinas_mm.engine.hooks.pictures import PicturesHook
from pinas_mm.engine.hooks.safe_checkpoint import SafeCheckpointHook
from pinas_mm.engine.hooks.shift import ShiftHook
from pinas_mm.engine.hooks.teacher_momentum import TeacherMomentumHook
from pinas_mm.engine.loops import RetrievalLoop, SupernetTestLoop, SupernetValLoop
from pinas_mm.engine.mixed_precision import AmpOptimWrapper
from pinas_mm.engine.optimizers import SGD, AdamW
from pinas_mm.engine.path_data_parallel import PathDataParallel
from pinas_mm.engine.preflight import BestMetricHook
from pinas_mm.engine.wrappers import CPUDistributedDataParallel, SyncBNOnCPUHook

__all__ = [
    "SGD",
    "AdamW",
    "AmpOptimWrapper",
    "ArchSearchHook",
    "AtomicLocalBackend",
    "AverageOnceHook",
    "BestMetricHook",
    "CPUDistributedDataParallel",
    "CompileBlocksHook",
    "DataBackend",
    "FirstStepHook",
    "InvalidLossHook",
    "LastValidationHook",
    "PathDataParallel",
    "PicturesHook",
    "RetrievalLoop",
    "SafeCheckpointHook",
    "ShiftHook",
    "SupernetTestLoop",
    "SupernetValLoop",
    "SyncBNOnCPUHook",
    "TeacherMomentumHook",
]
