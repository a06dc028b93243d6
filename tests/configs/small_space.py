# What small_supernet.py and small_linear.py choose from: three blocks of four candidates.
small_space = dict(
    candidates=[(1, 1, 64), (2, 1, 64), (1, 2, 48), (2, 2, 32)],
    depths=(2, 1),
    widths=(16, 16),
    strides=(2, 2),
    expansion=2,
    stem_widths=(8, 8, 16),
    stem_stride=2,
    stem_pool=False,
)
