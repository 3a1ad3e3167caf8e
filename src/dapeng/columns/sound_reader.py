"""How a sound is read: a path or the bytes of a file. One class, so that a standalone export ships what columns use."""

from __future__ import annotations

from dapeng.columns.log_mel import log_mel


class SoundReader:
    """Paths or bytes to int16 samples of one channel at one rate, with numpy, soundfile and soxr.

    rate: samples a second; 0: as they come. longest: seconds; longer sounds are refused by what their header says, before anything
    is decoded. channel: "mix" for the mean of all, "first" for the first one.
    """

    CARRIES = "dapeng.columns.log_mel"
    """The module whose functions are called here: exports ship it too."""
    BANDS, PARTS = 40, 8
    """Mel bands and parts in which classical learners see a sound."""

    def __init__(self, rate, longest, channel):
        self.rate, self.longest, self.channel = rate, longest, channel

    @staticmethod
    def _stream(content):
        """A stream in memory that stays within its bounds: a header that leads in front of the first byte ends there."""
        import io

        class Bounded(io.BytesIO):
            def seek(self, offset, whence=0):
                start = (0, self.tell(), len(content))[whence]
                return super().seek(max(0, start + offset))

        return Bounded(content)

    def open(self, cell):
        """A soundfile.SoundFile of a cell, whose header has been looked at. Raises ValueError with the reason."""
        import os

        import soundfile

        if isinstance(cell, bytes):
            size, source = len(cell), self._stream(cell)
        elif os.path.isfile(cell):
            size, source = os.path.getsize(cell), os.fspath(cell)
        else:
            raise ValueError(f"no such file: {os.fspath(cell)}")
        if not size:
            raise ValueError("the file is empty")
        try:
            sound = soundfile.SoundFile(source)
        except (soundfile.SoundFileError, OSError, ValueError, TypeError, RuntimeError):
            raise ValueError("not a sound that can be read (WAV, FLAC, OGG or MP3)") from None
        try:
            self.check(sound)
        except ValueError:
            sound.close()
            raise
        return sound

    def check(self, sound):
        """Raises ValueError for a header that says nothing, or too much."""
        if not 100 <= sound.samplerate <= 1_000_000:
            raise ValueError(f"{sound.samplerate:,} samples a second")
        if sound.frames <= 0:
            raise ValueError("holds no samples")
        if sound.channels > 64:
            raise ValueError(f"{sound.channels:,} channels")
        seconds = sound.frames / sound.samplerate
        if self.longest and seconds > self.longest:
            raise ValueError(f"{seconds:,.1f} seconds are over the cap of {self.longest:,g} (max_seconds)")

    def decoded(self, sound):
        """(T,) float32 of an opened sound, at its own rate, and the rate. Raises ValueError with the reason."""
        import numpy as np
        import soundfile

        with sound:
            rate = sound.samplerate
            try:
                x = sound.read(sound.frames, dtype="float32", always_2d=True)
            except (soundfile.SoundFileError, OSError, ValueError, RuntimeError, MemoryError):
                raise ValueError("damaged: it can't be decoded") from None
        if not len(x):
            raise ValueError("holds no samples")
        x = x[:, 0] if self.channel == "first" or x.shape[1] == 1 else x.mean(1)
        if not np.isfinite(x).all():
            raise ValueError("not every sample is a finite number")
        return np.ascontiguousarray(x), rate

    def at(self, x, rate, wanted):
        """(T,) int16 of samples from -1 to 1, at the rate that is wanted; what is beyond is cut."""
        import numpy as np

        if wanted and rate != wanted:
            import soxr

            x = soxr.resample(x, rate, wanted)
            x = x if len(x) else np.zeros(1, np.float32)
        return np.clip(np.rint(np.clip(x, -2, 2) * 32768.0), -32768, 32767).astype(np.int16)

    def samples(self, cell):
        """(T,) int16 of a cell. Raises ValueError with the reason."""
        x, rate = self.decoded(self.open(cell))
        return self.at(x, rate, self.rate)

    def described(self, samples):
        """(2 M + P M / 2 + 1,) of one sound: mean and deviation of each mel band, the spectrum of each part, and the length."""
        from itertools import pairwise

        import numpy as np

        x = log_mel(samples, self.rate, self.BANDS)
        bounds = np.linspace(0, len(x), self.PARTS + 1)
        parts = [x[int(a) : max(int(a) + 1, int(np.ceil(b)))].mean(0) for a, b in pairwise(bounds)]
        coarse = np.stack(parts).reshape(self.PARTS, self.BANDS // 2, 2).mean(2)
        return np.concatenate([x.mean(0), x.std(0), coarse.ravel(), [np.log(len(samples) / self.rate)]])

    def nothing(self):
        """What classical learners see where there is no sound."""
        import numpy as np

        return np.full(2 * self.BANDS + self.PARTS * self.BANDS // 2 + 1, np.nan)

    def matrix(self, cells):
        """(N, 2 M + P M / 2 + 1) float32 as classical learners see sounds; nan where there is none."""
        import numpy as np

        each = [self.nothing() if c is None else self.described(self.samples(c)) for c in cells]
        return np.stack(each).astype(np.float32)

    def encode(self, cells):
        import numpy as np

        found = [np.zeros(0, np.int16) if c is None else self.samples(c) for c in cells]
        longest = max([len(x) for x in found] + [1])
        samples = np.zeros((len(found), longest), np.int16)
        for row, x in enumerate(found):
            samples[row, : len(x)] = x
        mask = np.arange(longest) < np.array([len(x) for x in found])[:, None]
        return {"samples": samples, "mask": mask, "present": np.array([c is not None for c in cells])}
