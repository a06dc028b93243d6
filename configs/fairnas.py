# FairNAS (Chu et al., ICCV 2021): every candidate of every block once a step, as many paths as
# there are candidates, each with a backward pass of its own. 8 GPUs of 32 images, 150 epochs.
_base_ = ["spos.py"]

model = dict(paths=dict(type="pinas_mm.FairPaths", num_paths=4))

train_dataloader = dict(batch_size=32)
optim_wrapper = dict(optimizer=dict(lr=0.045))
param_scheduler = [dict(type="CosineAnnealingLR", by_epoch=True, convert_to_iter_based=True)]
train_cfg = dict(max_epochs=150)
auto_scale_lr = dict(base_batch_size=256)
