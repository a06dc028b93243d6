"""Reading image files so that a broken one is named."""

from __future__ import annotations

from mmcv.transforms import LoadImageFromFile

from pinas_mm.errors import UserError
from pinas_mm.registry import TRANSFORMS


@TRANSFORMS.register_module()
class LoadImage(LoadImageFromFile):
    """mmcv's LoadImageFromFile, strict about truncated and unreadable files.

    OpenCV fills what is missing of a truncated JPEG with gray and goes on; Pillow refuses it.

    Args:
        ignore_empty: skip files that cannot be read (another sample takes the place).
        imdecode_backend: ``pillow``; others do not notice truncation.
        **kwargs: as for LoadImageFromFile.

    Raises:
        UserError: a file is missing or broken and ``ignore_empty`` is False; it is named.
    """

    def __init__(
        self, ignore_empty: bool = False, imdecode_backend: str = "pillow", **kwargs
    ) -> None:
        super().__init__(imdecode_backend=imdecode_backend, ignore_empty=False, **kwargs)
        self.skip_broken = ignore_empty

    def transform(self, results: dict) -> dict | None:
        """Adds ``img`` (H, W, 3; BGR, uint8) and its shape to ``results``."""
        try:
            return super().transform(results)
        except (OSError, SyntaxError, AttributeError) as error:
            # Pillow raises SyntaxError for broken PNG chunks; mmcv trips over None elsewhere.
            if self.skip_broken:
                return None
            raise UserError(
                f"cannot read image {results['img_path']} ({error}): repair or delete it, or skip "
                "such files with ignore_empty=True in the pipeline's pinas_mm.LoadImage"
            ) from error
