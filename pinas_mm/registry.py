"""Child registries of mmengine's roots under the scope ``pinas_mm``.

``type='pinas_mm.PiNASBackbone'`` therefore works in mmpretrain, mmdet and mmseg configs once
``custom_imports = dict(imports=['pinas_mm'], allow_failed_imports=False)`` is there.
"""

from mmengine import registry as root

MODELS = root.Registry("model", parent=root.MODELS, scope="pinas_mm")
DATASETS = root.Registry("dataset", parent=root.DATASETS, scope="pinas_mm")
DATA_SAMPLERS = root.Registry("data sampler", parent=root.DATA_SAMPLERS, scope="pinas_mm")
TRANSFORMS = root.Registry("transform", parent=root.TRANSFORMS, scope="pinas_mm")
HOOKS = root.Registry("hook", parent=root.HOOKS, scope="pinas_mm")
MODEL_WRAPPERS = root.Registry("model wrapper", parent=root.MODEL_WRAPPERS, scope="pinas_mm")
LOOPS = root.Registry("loop", parent=root.LOOPS, scope="pinas_mm")
METRICS = root.Registry("metric", parent=root.METRICS, scope="pinas_mm")
WEIGHT_INITIALIZERS = root.Registry(
    "weight initializer", parent=root.WEIGHT_INITIALIZERS, scope="pinas_mm"
)
PATH_SAMPLERS = root.Registry("path sampler", parent=root.TASK_UTILS, scope="pinas_mm")
SCORES = root.Registry("score of architectures", scope="pinas_mm")
ARCH_SAMPLERS = root.Registry("arch sampler", scope="pinas_mm")
