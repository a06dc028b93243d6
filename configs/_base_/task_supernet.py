# A supernet inside a detector or segmentor (DetNAS: Chen et al., NeurIPS 2019): pre-trained on
# ImageNet, fine-tuned in the model along uniform single paths with SyncBN and the library's
# schedule, searched by the model's own metric (task_search.py); the winner is then trained anew.
#
# It starts from Pi-NAS's supernet; from SPOS's by
#   --cfg-options model.model.backbone.init_cfg.checkpoint=work_dirs/spos
_base_ = ["space.py"]

single_path = dict(type="pinas_mm.SinglePath", paths=dict(type="pinas_mm.UniformPaths"))
supernet = dict(
    type="pinas_mm.PiNASSupernet",
    space={{_base_.space}},
    out_indices=(0, 1, 2, 3),
    norm_cfg=dict(type="SyncBN", requires_grad=True),
    # A work dir means its last checkpoint; a file can be given as well.
    init_cfg=dict(type="pinas_mm.FromSupernet", checkpoint="work_dirs/pinas_supernet"),
)
# Each architecture's batch-norm statistics are recomputed on 16 batches in each process.
val_loop = dict(type="pinas_mm.SupernetValLoop", calibration_batches=16, num_archs=8)
test_loop = dict(val_loop, type="pinas_mm.SupernetTestLoop")
model_wrapper_cfg = dict(type="pinas_mm.PathDataParallel")
