"""Child registries of mmengine's roots under the scope ``pinas_mm``.

``type='pinas_mm.PiNASBackbone'`` therefore works in mmpretrain, mmdet and mmseg configs once
``custom_imports = dict(imports=['pinas_mm'], allow_failed_imports=False)`` is there.
"""

from mmengine import registry as root

# Importing the package registers everything; mmengine would otherwise look for a `pinas_mm.utils`.
LOCATIONS = ["pinas_mm"]

MODELS = root.Registry("model", parent=root.MODELS, scope="pinas_mm", locations=LOCATIONS)
DATASETS = root.Registry("dataset", parent=root.DATASETS, scope="pinas_mm", locations=LOCATIONS)
DATA_SAMPLERS = root.Registry(
    "data sampler", parent=root.DATA_SAMPLERS, scope="pinas_mm", locations=LOCATIONS
)
TRANSFORMS = root.Registry(
    "transform", parent=root.TRANSFORMS, scope="pinas_mm", locations=LOCATIONS
)
HOOKS = root.Registry("hook", parent=root.HOOKS, scope="pinas_mm", locations=LOCATIONS)
MODEL_WRAPPERS = root.Registry(
    "model wrapper", parent=root.MODEL_WRAPPERS, scope="pinas_mm", locations=LOCATIONS
)
LOOPS = root.Registry("loop", parent=root.LOOPS, scope="pinas_mm", locations=LOCATIONS)
METRICS = root.Registry("metric", parent=root.METRICS, scope="pinas_mm", locations=LOCATIONS)
WEIGHT_INITIALIZERS = root.Registry(
    "weight initializer", parent=root.WEIGHT_INITIALIZERS, scope="pinas_mm", locations=LOCATIONS
)
PATH_SAMPLERS = root.Registry(
    "path sampler", parent=root.TASK_UTILS, scope="pinas_mm", locations=LOCATIONS
)
SCORES = root.Registry("score of architectures", scope="pinas_mm", locations=LOCATIONS)
ARCH_SAMPLERS = root.Registry("arch sampler", scope="pinas_mm", locations=LOCATIONS)
