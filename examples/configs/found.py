# What the configs beside this one share: a found backbone, and what it asks of a model around it.
# Set the three for your own architecture; neck and head follow.
custom_imports = dict(imports=["pinas_mm"], allow_failed_imports=False)

# The file of tools/export.py knows architecture, search space and norm layers. To train from random
# weights, say them in place of init_cfg: arch="301-3231-203213-032", space=dict(...).
found = dict(
    type="pinas_mm.PiNASBackbone",
    init_cfg=dict(type="Pretrained", checkpoint="winner.pth"),
)
# Channels of its stages: of the paper's space the widths 64, 128, 256, 512 times the expansion 4.
channels = [256, 512, 1024, 2048]
# How images were normalized where it was trained; most detectors' own backbones want others.
normalization = dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], bgr_to_rgb=True)
# Norm layers of mmseg's models, which are trained on several GPUs.
sync_bn = dict(type="SyncBN", requires_grad=True)
