"""How a video is read: a path, the bytes of a file, or a folder of frames. One class, so that a standalone export ships what columns use."""

from __future__ import annotations

from typing import Any


class VideoReader:
    """Videos to uint8 frames of one size, with numpy, Pillow and PyAV.

    frames, clips: frames of a clip, and clips. sampling: "spread" over the whole video, the clips interleaved; "consecutive": `rate`
    frames a second, the clips beginning evenly spaced. channels, height, width, resize: as pictures are brought to size.
    longest: seconds, pixels: of a frame; both are looked at in the header, before anything is decoded.
    """

    HEADS = ((4, b"ftyp", "mov"), (8, b"AVI ", "avi"), (0, b"GIF8", "gif"), (0, b"\x1aE\xdf\xa3", "matroska"))
    """Where a kind of file has its mark, the mark, and the one format that it is then opened as: no other is tried."""
    PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm")
    FORMATS = ("PNG", "JPEG", "BMP", "PPM", "GIF", "TIFF", "WEBP")
    FEW, SMALL = 8, 12
    """Frames that classical learners see, and their side."""

    def __init__(self, frames, clips, sampling, rate, channels, height, width, resize, longest, pixels):
        self.frames, self.clips, self.sampling, self.rate = frames, clips, sampling, rate
        self.channels, self.height, self.width, self.resize = channels, height, width, resize
        self.longest, self.pixels = longest, pixels

    def places(self, count, rate):
        """(clips x frames,) which of so many frames, of so many a second, are looked at, clip by clip."""
        import numpy as np

        if self.sampling == "spread":
            every = self.frames * self.clips
            at = ((np.arange(every) + 0.5) * count / every).reshape(self.frames, self.clips).T.ravel()
        else:
            step = (rate / self.rate) if self.rate else 1.0
            room = max(0.0, count - 1 - (self.frames - 1) * step)
            starts = room * ((np.arange(self.clips) + 0.5) / self.clips if self.clips > 1 else np.zeros(1))
            at = (starts[:, None] + step * np.arange(self.frames)).ravel() + 0.5
        return np.clip(at.astype(np.int64), 0, count - 1)

    def sampled(self, cell):
        """(clips x frames, C, Y, X) uint8. Raises ValueError with the reason."""
        import numpy as np

        with self.opened(cell) as video:
            wanted = self.places(video.count, video.rate)
            found = {at: self.fitted(frame) for at, frame in video.at(sorted(set(wanted.tolist())))}
        if not found:
            raise ValueError("damaged: no frame can be decoded")
        last = max(found)  # a header may promise more frames than there are
        return np.stack([found[min(at, last)] if min(at, last) in found else found[last] for at in wanted.tolist()])

    def fitted(self, picture):
        """(C, Y, X) uint8 of a Pillow picture."""
        import numpy as np
        from PIL import Image, ImageOps

        picture = picture.convert("L" if self.channels == 1 else "RGB")
        size = (self.width, self.height)
        if picture.size != size:
            if self.resize == "crop":
                picture = ImageOps.fit(picture, size, Image.Resampling.BILINEAR)
            elif self.resize == "pad":
                picture = ImageOps.pad(picture, size, Image.Resampling.BILINEAR)
            else:
                picture = picture.resize(size, Image.Resampling.BILINEAR, reducing_gap=3.0)
        array = np.asarray(picture)
        return array[None] if self.channels == 1 else array.transpose(2, 0, 1)

    def opened(self, cell):
        """What holds the frames: `count`, `rate` a second, `size` (height, width), and `at(places)`, pictures in order. Raises ValueError."""
        import os

        if not isinstance(cell, bytes):
            cell = os.fspath(cell)
            if os.path.isdir(cell):
                return self.Folder(cell, self)
            if not os.path.isfile(cell):
                raise ValueError(f"no such file: {cell}")
        return self.File(cell, self)

    class File:
        """A file, or the bytes of one."""

        def __init__(self, cell, reader):
            import importlib
            import io

            try:
                self.av = importlib.import_module("av")
            except ImportError:
                raise ValueError(
                    "videos are read with PyAV, which is not installed: pip install 'dapeng[video]'"
                ) from None
            self.source = io.BytesIO(cell) if isinstance(cell, bytes) else open(cell, "rb")  # noqa: SIM115
            self.container: Any = None
            try:
                self._open(reader)
            except BaseException:
                self.close()
                raise

        def _open(self, reader):
            head = self.source.read(16)
            self.source.seek(0)
            if not head:
                raise ValueError("the file is empty")
            form = [f for at, mark, f in reader.HEADS if head[at : at + len(mark)] == mark]
            if not form:
                raise ValueError("not a video that can be read (MP4, MOV, AVI, MKV, WebM or GIF)")
            self.form = form[0]
            try:
                self._look(reader)
            except (self.av.error.FFmpegError, OSError, MemoryError) as error:
                raise ValueError(f"damaged ({type(error).__name__})") from None

        def _start(self):
            self.source.seek(0)
            self.container = self.av.open(self.source, format=self.form, options={"enable_drefs": "0"})
            if not self.container.streams.video:
                raise ValueError("holds no pictures")
            stream = self.container.streams.video[0]
            if stream.codec_context is None:
                raise ValueError("damaged: nothing is known that decodes its pictures")
            stream.codec_context.thread_count = 1
            return stream

        def _look(self, reader):
            """Sizes and length from the header, and how many frames there are from the packets: nothing is decoded."""
            stream = self._start()
            height, width = stream.codec_context.height, stream.codec_context.width
            if height * width > reader.pixels:
                raise ValueError(f"{width} x {height} pixels are over the cap of {reader.pixels:,} (max_pixels)")
            if min(height, width) < 2:
                raise ValueError(f"{width} x {height} pixels")
            rate = float(stream.average_rate or stream.guessed_rate or 25)
            told = float(stream.duration * stream.time_base) if stream.duration and stream.time_base else 0.0
            self._check(told, reader)
            most = int(reader.longest * rate) + 1
            count = 0
            for packet in self.container.demux(stream):
                count += packet.size > 0
                if count > most:
                    self._check(count / rate, reader)
            self._check(count / rate, reader)
            if count < 2:
                raise ValueError(f"{count} frames are no video")
            self.container.close()
            self.count, self.rate, self.size = count, rate, (height, width)

        def _check(self, seconds, reader):
            if seconds > reader.longest:
                raise ValueError(f"{seconds:,.1f} seconds are over the cap of {reader.longest:,g} (max_seconds)")

        def at(self, places):
            wanted = set(places)
            try:
                stream = self._start()
                for number, frame in enumerate(self.container.decode(stream)):
                    if number in wanted:
                        yield number, frame.to_image()
                    if number >= places[-1]:
                        return
            except (self.av.error.FFmpegError, OSError, MemoryError) as error:
                raise ValueError(f"damaged ({type(error).__name__})") from None

        def close(self):
            if self.container is not None:
                self.container.close()
            self.source.close()

        def __enter__(self):
            return self

        def __exit__(self, *_):
            self.close()

    class Folder:
        """Pictures in a folder, in the order of the numbers in their names."""

        def __init__(self, folder, reader):
            import os
            import re

            names = [n for n in os.listdir(folder) if n.lower().endswith(reader.PICTURES)]
            natural = lambda n: [int(p) if p.isdigit() else p for p in re.split(r"(\d+)", n)]  # noqa: E731
            self.files = [os.path.join(folder, n) for n in sorted(names, key=natural)]
            if len(self.files) < 2:
                raise ValueError(f"the folder holds {len(self.files)} pictures, which are no video")
            self.reader, self.count, self.rate = reader, len(self.files), reader.rate or 25.0
            with self._picture(self.files[0]) as first:
                self.size = (first.height, first.width)

        def _picture(self, path):
            from PIL import Image

            try:
                picture = Image.open(path, formats=self.reader.FORMATS)
            except (OSError, ValueError, SyntaxError, TypeError, Image.DecompressionBombError):
                raise ValueError(f"{path}: not a picture that can be read") from None
            if picture.width * picture.height > self.reader.pixels:
                raise ValueError(f"{path}: over the cap of {self.reader.pixels:,} pixels (max_pixels)")
            return picture

        def at(self, places):
            for place in places:
                with self._picture(self.files[place]) as picture:
                    try:
                        picture.load()
                    except (OSError, ValueError, SyntaxError, EOFError, MemoryError, IndexError):
                        raise ValueError(f"{self.files[place]}: damaged") from None
                    yield place, picture

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

    def seen(self, frames, present=None):
        """(N, F C Y X) float32 of encoded frames, as classical learners see them: some of the first clip from 0 to 1, at no more
        than 12 x 12; nan where not present."""
        import numpy as np

        x = frames[:, : self.frames]
        x = x[:, np.linspace(0, x.shape[1] - 1, min(self.FEW, x.shape[1])).astype(int)].astype(np.float32) / 255
        step = max(1, min(x.shape[3:]) // self.SMALL)
        n, f, c, h, w = x.shape
        x = x[..., : h // step * step, : w // step * step].reshape(n, f, c, h // step, step, w // step, step)
        x = x.mean((4, 6)).reshape(n, -1)
        return x if present is None else np.where(present[:, None], x, np.nan)

    def matrix(self, cells):
        """(N, F C Y X) of cells, as `seen`."""
        read = self.encode(cells)
        return self.seen(read["frames"], read["present"])

    def encode(self, cells):
        import numpy as np

        blank = np.zeros((self.frames * self.clips, self.channels, self.height, self.width), np.uint8)
        frames = np.stack([blank if c is None else self.sampled(c) for c in cells])
        return {"frames": frames, "present": np.array([c is not None for c in cells])}
