# A supernet in mmseg's UPerNet on ADE20K; how it is trained: _base_/task_supernet.py.
_base_ = ["upernet_pinas-trans_4xb4-160k_ade20k-480x480.py", "../_base_/task_supernet.py"]

model = dict(
    _delete_=True, **_base_.single_path, model=dict(_base_.model, backbone=_base_.supernet)
)
train_dataloader = dict(dataset=dict(_delete_=True, **_base_.training_part))
val_dataloader = dict(dataset=dict(_delete_=True, **_base_.held_out_part))
val_cfg = dict(**_base_.val_loop, calibration_dataloader=_base_.calibration_dataloader)
test_cfg = dict(**_base_.test_loop, calibration_dataloader=_base_.calibration_dataloader)
