# The benchmark's images; CachedDataset decodes each once.
pipeline = [dict(type="pinas_mm.LoadImage"), dict(type="PackInputs")]
digits = dict(type="pinas_mm.ImageFolder", data_root="{{$PINAS_DATA:data}}", pipeline=pipeline)
digits_train = dict(type="pinas_mm.CachedDataset", dataset=dict(**digits, split="train"))
digits_val = dict(type="pinas_mm.CachedDataset", dataset=dict(**digits, split="val"))
mean, std = [80.0], [40.0]
# Of gray images brightness and contrast are all there is of colors; a digit is none when flipped.
views = dict(size=12, scale=(0.5, 1.0), hue=0.0, saturation=0.0, gray=0.0, blur=0.0, flip=0.0)
# Of trainings with labels, as of architectures alone.
labelled_views = dict(views, scale=(0.7, 1.0))
