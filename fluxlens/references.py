"""Reference images as the pipeline should see them: upright, opaque, RGB, big enough."""

from __future__ import annotations

from PIL import Image, ImageOps

Reference = Image.Image | tuple[Image.Image, ...] | list[Image.Image]


def prepare(image: object) -> Image.Image:
    """Check a reference and make it plain RGB.

    An EXIF rotation is applied; transparency is composited on white (the authors' code drops alpha,
    which feeds the hidden, often black, pixels). `TypeError` for what is not a PIL image,
    `ValueError` for one that the pipeline could not use: sides under 64 pixels, an aspect over 8:1,
    more than 8 bits a channel, a file that cannot be decoded.
    """
    if not isinstance(image, Image.Image):
        raise TypeError(
            f"a reference must be a PIL image, not {type(image).__name__}: open a file with "
            "PIL.Image.open(path), turn an array into one with PIL.Image.fromarray(array)"
        )
    try:
        image.load()
    except (OSError, ValueError) as error:  # damaged, or closed
        raise ValueError(f"the reference cannot be decoded: {error}") from error
    image = ImageOps.exif_transpose(image)
    width, height = image.size
    if min(width, height) < 64:
        raise ValueError(
            f"the reference is {width}×{height} pixels; editors need at least 64 on "
            "each side: use a larger image, or enlarge it with image.resize(...)"
        )
    if max(width, height) > 8 * min(width, height):
        raise ValueError(f"the reference is {width}×{height}: crop it to an aspect of 8:1 or less")
    if image.mode.startswith(("I", "F")):
        raise ValueError(
            f"the reference has mode {image.mode!r}, more than 8 bits a channel: scale it to 0…255 "
            "and convert it to 'RGB' first"
        )
    if "A" in image.getbands() or "a" in image.getbands() or "transparency" in image.info:
        rgba = image.convert("RGBA")
        white = Image.new("RGBA", rgba.size, (255, 255, 255, 255))
        return Image.alpha_composite(white, rgba).convert("RGB")
    return image.convert("RGB")


def prepare_row(reference: object) -> tuple[Image.Image, ...]:
    """One row's references: an image, a tuple or list of several, or None for none."""
    if reference is None:
        return ()
    if isinstance(reference, tuple | list):
        if not reference:
            raise ValueError("a row's list of references is empty; pass None for no reference")
        return tuple(prepare(image) for image in reference)
    return (prepare(reference),)


def encoded_size(width: int, height: int, multiple: int = 16) -> tuple[int, int]:
    """Give the (width, height) in pixels at which FLUX.2's pipelines really encode a reference.

    They shrink what exceeds 1024² pixels and then crop each side to a multiple, silently.
    """
    if width * height > 1024 * 1024:
        scale = (1024 * 1024 / (width * height)) ** 0.5
        width, height = int(width * scale), int(height * scale)
    return width // multiple * multiple, height // multiple * multiple
