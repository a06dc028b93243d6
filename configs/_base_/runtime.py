custom_imports = dict(imports=["pinas_mm"], allow_failed_imports=False)
default_scope = "mmpretrain"

default_hooks = dict(
    timer=dict(type="IterTimerHook"),
    # Curves of trainings and validations are over the same iterations.
    logger=dict(type="LoggerHook", interval=50, log_metric_by_epoch=False),
    param_scheduler=dict(type="ParamSchedulerHook"),
    # Three are kept, so that the one being written never replaces the only good one.
    checkpoint=dict(
        type="CheckpointHook", interval=1, max_keep_ckpts=3, backend_args=dict(backend="atomic")
    ),
    sampler_seed=dict(type="DistSamplerSeedHook"),
)
custom_hooks = [
    dict(type="pinas_mm.InvalidLossHook"),
    dict(type="pinas_mm.SafeCheckpointHook"),
]

env_cfg = dict(
    cudnn_benchmark=True,
    mp_cfg=dict(mp_start_method="fork", opencv_num_threads=0),
    # timeout: seconds that processes wait for one of them, with or without GPUs, before they end
    # with an error. More than one may be busy alone, as with a metric of all images.
    dist_cfg=dict(backend="nccl", timeout=1800),
)
vis_backends = [dict(type="LocalVisBackend"), dict(type="TensorboardVisBackend")]
visualizer = dict(type="UniversalVisualizer", vis_backends=vis_backends)
log_level = "INFO"
load_from = None
resume = False
randomness = dict(seed=0)
