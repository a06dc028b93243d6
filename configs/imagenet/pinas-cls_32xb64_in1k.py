# Pi-NAS-cls, retrained; published: 81.6 top-1, 95.7 top-5.
_base_ = ["../_base_/imagenet_resnest.py", "../_base_/pinas.py"]

model = dict(backbone=dict(_delete_=True, **_base_.pinas_cls, out_indices=(3,)))
