"""How a picture is read outside of Dapeng: a class of its own, with numpy and Pillow, which exports carry along."""

from __future__ import annotations


class ImageReader:
    """Paths, bytes or arrays to uint8 pixels, with numpy and Pillow."""

    def __init__(self, channels, height, width, resize, followed=False):
        self.channels, self.height, self.width, self.resize = channels, height, width, resize
        self.followed = followed

    def affine(self, width, height):
        """From pixels of a picture of this size to those that are read."""
        import numpy as np

        across, down, left, top = self.width / width, self.height / height, 0, 0
        if self.resize == "crop":
            across = down = max(across, down)
            left, top = (self.width - across * width) / 2, (self.height - down * height) / 2
        elif self.resize == "pad":
            fit = (self.width, round(height / width * self.width))
            if width * self.height < height * self.width:
                fit = (round(width / height * self.height), self.height)
            across, down = fit[0] / width, fit[1] / height
            left, top = round((self.width - fit[0]) / 2), round((self.height - fit[1]) / 2)
        return np.array([[across, 0, left], [0, down, top]], np.float32)

    def one(self, cell):
        return self.sized(cell)[0]

    def sized(self, cell):
        import io

        import numpy as np
        from PIL import Image, ImageOps

        picture = Image.open(io.BytesIO(cell) if isinstance(cell, bytes) else cell)
        if picture.width * picture.height > 40_000_000:
            raise ValueError("the picture is over 40,000,000 pixels")
        picture.load()
        if picture.getexif().get(0x0112, 1) != 1:
            picture = ImageOps.exif_transpose(picture)
        if picture.mode.startswith("I") or picture.mode == "F":
            wide = np.asarray(picture, np.float64)
            deep = picture.mode.startswith("I;16") or wide.max(initial=0) > 255
            wide = wide / 257 if deep else wide
            picture = Image.fromarray(np.clip(np.round(wide), 0, 255).astype(np.uint8))
        if picture.mode in ("RGBA", "LA", "PA") or "transparency" in picture.info:
            white = Image.new("RGBA", picture.size, (255, 255, 255, 255))
            picture = Image.alpha_composite(white, picture.convert("RGBA"))
        picture = picture.convert("L" if self.channels == 1 else "RGB")
        came, size = picture.size, (self.width, self.height)
        if picture.size != size:
            if self.resize == "crop":
                picture = ImageOps.fit(picture, size, Image.Resampling.BILINEAR)
            elif self.resize == "pad":
                picture = ImageOps.pad(picture, size, Image.Resampling.BILINEAR)
            else:
                picture = picture.resize(size, Image.Resampling.BILINEAR, reducing_gap=3.0)
        array = np.asarray(picture)
        return (array[None] if self.channels == 1 else array.transpose(2, 0, 1)), came

    @staticmethod
    def seen(pixels):
        """(N, C Y X) float32 of encoded pictures, as classical learners see them: from 0 to 1, at no more than 32 x 32."""
        import numpy as np

        x = pixels.astype(np.float32) / 255
        n, c, h, w = x.shape
        step = max(1, round(max(h, w) / 32))
        if step > 1:
            x = x[:, :, : h // step * step, : w // step * step]
            x = x.reshape(n, c, h // step, step, w // step, step).mean((3, 5))
        return x.reshape(n, -1)

    def matrix(self, cells):
        """(N, C Y X) of cells, as `seen`."""
        return self.seen(self.encode(cells)["pixels"])

    def encode(self, cells):
        import numpy as np

        present = np.array([c is not None for c in cells])
        blank = np.zeros((self.channels, self.height, self.width), np.uint8), (1, 1)
        each = [blank if c is None else self.sized(c) for c in cells]
        out = {"pixels": np.stack([pixels for pixels, _ in each]), "present": present}
        if self.followed:
            out["affine"] = np.stack([self.affine(*size) for _, size in each])
        return out
