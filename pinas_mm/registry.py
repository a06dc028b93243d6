"""Child registries of mmengine's roots under the scope ``pinas_mm``.

``type='pinas_mm.PiNASBackbone'`` therefore works in mmpretrain, mmdet and mmseg configs once
``custom_imports = dict(imports=['pinas_mm'], allow_failed_imports=False)`` is there.
"""

from functools import partial

from mmengine import registry as root

# Importing the package registers everything; mmengine would otherwise look for a `pinas_mm.utils`.
Registry = partial(root.Registry, scope="pinas_mm", locations=["pinas_mm"])

MODELS = Registry("model", parent=root.MODELS)
DATASETS = Registry("dataset", parent=root.DATASETS)
DATA_SAMPLERS = Registry("data sampler", parent=root.DATA_SAMPLERS)
TRANSFORMS = Registry("transform", parent=root.TRANSFORMS)
HOOKS = Registry("hook", parent=root.HOOKS)
MODEL_WRAPPERS = Registry("model wrapper", parent=root.MODEL_WRAPPERS)
LOOPS = Registry("loop", parent=root.LOOPS)
METRICS = Registry("metric", parent=root.METRICS)
WEIGHT_INITIALIZERS = Registry("weight initializer", parent=root.WEIGHT_INITIALIZERS)
PATH_SAMPLERS = Registry("path sampler", parent=root.TASK_UTILS)
SCORES = Registry("score of architectures")
ARCH_SAMPLERS = Registry("arch sampler")
