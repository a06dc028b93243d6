# The paper's four kinds of candidates in a skeleton small enough for two CPU cores: 4 blocks, 4^4
# architectures. Their base widths are multiples that 16 planes divide into groups.
demo_space = dict(
    candidates=[(1, 1, 64), (2, 1, 64), (1, 2, 48), (2, 2, 32)],
    depths=(1, 1, 1, 1),
    widths=(16, 16, 32, 32),
    strides=(2, 1, 2, 1),
    expansion=2,
    stem_widths=(8, 8, 16),
    stem_stride=2,
    stem_pool=False,
)

# Digits of 32 pixels; CachedDataset decodes each once.
digits_pipeline = [dict(type="pinas_mm.LoadImage"), dict(type="PackInputs")]
digits_root = "{{$PINAS_DATA:data}}/imagenet"
digits = dict(type="pinas_mm.ImageFolder", data_root=digits_root, pipeline=digits_pipeline)
digits_train = dict(**digits, split="train")
digits_val = dict(**digits, split="val")
