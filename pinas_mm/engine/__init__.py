"""What runs with mmengine's runner: hooks, loops, file backend; importing this registers them."""

from pinas_mm.engine.atomic_backend import AtomicLocalBackend
from pinas_mm.engine.hooks import InvalidLossHook, SafeCheckpointHook, TeacherMomentumHook
from pinas_mm.engine.loops import RetrievalLoop, SupernetTestLoop, SupernetValLoop
from pinas_mm.engine.search_hook import ArchSearchHook

__all__ = [
    "ArchSearchHook",
    "AtomicLocalBackend",
    "InvalidLossHook",
    "RetrievalLoop",
    "SafeCheckpointHook",
    "SupernetTestLoop",
    "SupernetValLoop",
    "TeacherMomentumHook",
]
