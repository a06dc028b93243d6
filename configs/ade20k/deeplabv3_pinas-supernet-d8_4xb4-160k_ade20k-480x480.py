# A supernet in the paper's DeepLabV3 on ADE20K; how it is trained: _base_/task_supernet.py.
_base_ = ["deeplabv3_pinas-trans-d8_4xb4-160k_ade20k-480x480.py", "../_base_/task_supernet.py"]

# Strides are the space's: so the winner computes what its path does (see PiNASBackbone).
backbone = dict(
    _base_.supernet, space=dict(_base_.space, strides=(1, 2, 1, 1)), dilations=(1, 1, 2, 4)
)
model = dict(_delete_=True, **_base_.single_path, model=dict(_base_.model, backbone=backbone))
train_dataloader = dict(dataset=dict(_delete_=True, **_base_.training_part))
val_dataloader = dict(dataset=dict(_delete_=True, **_base_.held_out_part))
val_cfg = dict(**_base_.val_loop, calibration_dataloader=_base_.calibration_dataloader)
test_cfg = dict(**_base_.test_loop, calibration_dataloader=_base_.calibration_dataloader)
