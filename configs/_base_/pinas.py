# What every config of a transfer shares: the paper's two architectures as backbones, and the hooks.
#
# Another architecture: --cfg-options model.backbone.arch=301-3231-203213-032, or from a search,
# model.backbone.arch=$(cat work_dirs/search/best.txt).
#
# The backbone starts from random weights unless it is told otherwise. The paper's detectors and
# segmentors start from ImageNet weights:
#   --cfg-options model.backbone.init_cfg.type=Pretrained model.backbone.init_cfg.checkpoint=FILE
# takes what tools/export.py wrote, type=pinas_mm.FromSupernet a supernet's checkpoint.
custom_imports = dict(imports=["pinas_mm"], allow_failed_imports=False)
custom_hooks = [
    dict(type="pinas_mm.InvalidLossHook"),
    dict(type="pinas_mm.SafeCheckpointHook"),
    dict(type="pinas_mm.SyncBNOnCPUHook"),
]

pinas_cls = dict(type="pinas_mm.PiNASBackbone", arch="301-3231-203213-032")
pinas_trans = dict(type="pinas_mm.PiNASBackbone", arch="333-3113-330011-021")
sync_bn = dict(type="SyncBN", requires_grad=True)
