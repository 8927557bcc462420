"""A picture from outside as a model's input: decoded within limits, scaled to the model's size."""

from __future__ import annotations

import io
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pyfl.errors import ImageError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["LARGEST_FILE", "LARGEST_PIXELS", "ImageInput"]

# A photograph of today's telephones passes; what only looks like a picture cannot make us allocate more than 80 MB.
LARGEST_FILE = 10_000_000
LARGEST_PIXELS = 20_000_000
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "PPM", "TIFF")


@dataclass(frozen=True, slots=True)
class ImageInput:
    """The pictures that a model takes: [height, width, channels], 1 channel for grey or 3 for colour."""

    height: int
    width: int
    channels: int
    classes: tuple[str, ...]
    """Names of the classes, in the order of the model's outputs."""
    scale: float | None = None
    """None: the model takes uint8, 0 to 255, and scales itself. Else it takes float32: pixels times this."""

    def decode(self, content: bytes, *, invert: bool = False) -> NDArray[Any]:
        """One picture, as a batch of one. `invert`: dark becomes bright, for digits written dark on white.

        The whole picture is kept: what has another aspect ratio gets black edges. Raises `ImageError`.
        """
        from PIL import Image, ImageOps, UnidentifiedImageError

        if len(content) > LARGEST_FILE:
            raise ImageError(f"The image has {len(content):,} bytes; at most {LARGEST_FILE:,} are read. Scale it down first.")
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error", Image.DecompressionBombWarning)
                picture = Image.open(io.BytesIO(content), formats=FORMATS)
            if picture.width * picture.height > LARGEST_PIXELS:
                raise ImageError(
                    f"The image has {picture.width} x {picture.height} pixels; at most {LARGEST_PIXELS:,} are decoded. Scale it down first."
                )
            picture = ImageOps.exif_transpose(picture).convert("L" if self.channels == 1 else "RGB")
        except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
            raise ImageError(f"The image has too many pixels; at most {LARGEST_PIXELS:,} are decoded. Scale it down first.") from error
        except UnidentifiedImageError as error:
            raise ImageError(f"This is not an image that can be read; expected one of {', '.join(FORMATS)}.") from error
        except (OSError, SyntaxError, ValueError) as error:  # what Pillow's decoders raise for damaged files
            raise ImageError(f"The image is damaged: {error}. Save it again, as PNG.") from error
        if invert:
            picture = ImageOps.invert(picture)
        if picture.size != (self.width, self.height):
            picture = ImageOps.pad(picture, (self.width, self.height), Image.Resampling.LANCZOS)
        pixels = np.asarray(picture, np.uint8).reshape(1, self.height, self.width, self.channels)
        return pixels if self.scale is None else (pixels * np.float32(self.scale)).astype(np.float32)
