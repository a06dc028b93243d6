# A supernet that Pi-NAS trained goes on with labels, along a uniform path a step.
_base_ = ["spos_short.py"]

model = dict(
    model=dict(
        backbone=dict(init_cfg=dict(type="pinas_mm.FromSupernet", checkpoint="supernet.pth"))
    )
)
