# Pi-NAS-trans, retrained: the weights that detection and segmentation start from.
_base_ = ["../_base_/imagenet_resnest.py", "../_base_/pinas.py"]

model = dict(backbone=dict(_delete_=True, **_base_.pinas_trans, out_indices=(3,)))
