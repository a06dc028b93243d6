# The sandwich rule: the dearest, the cheapest and two random paths a step.
_base_ = ["spos.py"]

model = dict(paths=dict(type="pinas_mm.SandwichPaths", num_paths=4, image_size=12))
train_cfg = dict(max_epochs=16, val_interval=16)
default_hooks = dict(checkpoint=dict(interval=16))
