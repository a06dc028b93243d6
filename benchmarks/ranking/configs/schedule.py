# How all supernets are trained. They see the training images as often, 187 steps an epoch; how many
# paths and views an image takes is each one's own.
adamw = dict(type="OptimWrapper", optimizer=dict(type="AdamW", lr=3e-3, weight_decay=1e-4))
cosine = [
    dict(type="LinearLR", start_factor=0.01, end=1, by_epoch=True, convert_to_iter_based=True),
    dict(type="CosineAnnealingLR", begin=1, by_epoch=True, convert_to_iter_based=True),
]
epochs = 32
