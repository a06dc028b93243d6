# The demo's supernet without negatives and without teacher: it collapses, as the paper says.
_base_ = ["digits_supernet.py"]

model = dict(
    head=dict(pair=dict(_delete_=True, type="pinas_mm.PiModelHead")),
    teacher=dict(_delete_=True, type="pinas_mm.SelfTeacher", stop_gradient=False),
)

# It has collapsed long before that.
train_cfg = dict(max_epochs=4, val_interval=4)
