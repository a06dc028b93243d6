# A linear classifier on the features of all three stages.
_base_ = ["probe.py"]

custom_imports = dict(imports=["pinas_mm", "benchmarks.ranking.stages"], allow_failed_imports=False)
model = dict(
    model=dict(
        backbone=dict(out_indices=(0, 1, 2)),
        neck=dict(_delete_=True, type="PooledStages"),
        head=dict(in_channels=sum(_base_.ranking_space["widths"])),
    ),
)
