# The paper's search space: 16 choice blocks of four ResNeSt bottlenecks, 4^16 architectures.
space = dict(
    # radix, cardinality, base width
    candidates=[(1, 1, 64), (2, 1, 64), (1, 2, 42), (2, 2, 40)],
    depths=(3, 4, 6, 3),
    widths=(64, 128, 256, 512),
    strides=(1, 2, 2, 2),
    expansion=4,
    stem_widths=(32, 32, 64),
    stem_stride=2,
    stem_pool=True,
)
