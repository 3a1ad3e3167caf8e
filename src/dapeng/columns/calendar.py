"""How dates are written, and what a calendar says of them. One class, so that a standalone export ships what columns use."""

from __future__ import annotations


class DateReader:
    """Raw cells to calendar features, with numpy and the standard library alone.

    family: how dates are written ("" where that isn't known yet). parts: those of PARTS that differ in training. mean, std, low,
    high: of the days since 1970 in training; features beyond the range are those of its ends.
    """

    PARTS = ("year", "month", "day", "weekday", "weekend", "hour")
    CYCLES = {"month": (1, 12), "day": (1, 31), "weekday": (0, 7), "hour": (0, 24)}
    MONTHS = "jan feb mar apr may jun jul aug sep oct nov dec"

    def __init__(self, missing, unix="none", family="", parts=(), mean=0.0, std=1.0, low=0.0, high=0.0, constant=False):
        import re

        self.missing, self.unix, self.family, self.parts = set(missing), unix, family, list(parts)
        self.mean, self.std, self.low, self.high, self.constant = mean, std, low, high, constant
        clock = r"(?:(?:T|\s+)(?P<H>\d{1,2}):(?P<M>\d{2})(?::(?P<S>\d{2})(?:[.,]\d+)?)?(?:\s*(?P<p>[AaPp]\.?[Mm]\.?))?"
        clock += r"\s*(?P<z>Z|z|UTC|GMT|[+-]\d{2}(?::?\d{2})?)?)?"
        plain = r"(?:T?(?P<H>\d{2}):?(?P<M>\d{2}):?(?P<S>\d{2})(?P<p>x)?(?P<z>Z|[+-]\d{2}:?\d{2})?)?"
        chinese = (
            r"(?:\s*(?P<H>\d{1,2})(?:[:时点](?P<M>\d{1,2}))?(?:[:分](?P<S>\d{1,2}))?[时点分秒]?(?P<p>x)?(?P<z>x)?)?"
        )
        forms = {
            "ymd": r"(?P<y>\d{4})(?P<s>[-/.])(?P<m>\d{1,2})(?P=s)(?P<d>\d{1,2})" + clock,
            "slashed": r"(?P<a>\d{1,2})(?P<s>[-/.])(?P<b>\d{1,2})(?P=s)(?P<c>\d{4}|\d{2})" + clock,
            "chinese": r"(?P<y>\d{4})\s*年\s*(?P<m>\d{1,2})\s*月\s*(?P<d>\d{1,2})\s*[日号]?" + chinese,
            "compact": r"(?P<y>(?:1[5-9]|2\d)\d{2})(?P<m>\d{2})(?P<d>\d{2})" + plain,
            "ym": r"(?P<y>\d{4})(?:[-/.]|\s*年\s*)(?P<m>\d{1,2})月?",
            "named": r"(?:[A-Za-z]{3,9},?\s+)?(?P<d>\d{1,2})(?:st|nd|rd|th)?[\s-]+(?P<n>[A-Za-z]{3,9})\.?,?[\s-]+(?P<y>\d{4})"
            + clock,
            "named ": r"(?:[A-Za-z]{3,9},?\s+)?(?P<n>[A-Za-z]{3,9})\.?\s+(?P<d>\d{1,2})(?:st|nd|rd|th)?,?\s+(?P<y>\d{4})"
            + clock,
        }
        self.forms = {family: re.compile(form) for family, form in forms.items()}
        self.nothing = re.compile(r"0{1,4}[-/.]0{1,2}[-/.]0{1,4}(?:[T\s]+0{1,2}:0{2}(?::0{2}(?:\.0+)?)?Z?)?|0{8}")

    def readings(self, cell):
        """({family: seconds since 1970}, whether day and month stand between slashes, the offset from UTC).

        Seconds are those of the clock on the wall. An empty mapping: not a date; None in its place: no date is there.
        """
        text = "" if cell is None else str(cell).strip()
        if text.lower() in self.missing or self.nothing.fullmatch(text):
            return None, False, None
        if self.unix != "none":
            return self.counted(text), False, None
        for family, form in self.forms.items():
            found = form.fullmatch(text)
            if found is not None:
                f = found.groupdict()
                clock = self.clock(f)
                if clock is None:
                    return {}, False, None
                days = {n: self.day(*ymd) for n, ymd in self.orders(family.strip(), f).items()}
                read = {n: d * 86_400.0 + clock for n, d in days.items() if d is not None}
                return read, f.get("s") == "/" and "a" in f, f.get("z")
        return {}, False, None

    def counted(self, text):
        """Unix time."""
        try:
            value = float(text) / (1000 if self.unix == "milliseconds" else 1)
        except ValueError:
            return {}
        return {"unix": value} if -62e9 < value < 253e9 else {}

    def orders(self, family, f):
        """Year, month and day, in every order that the cell could mean."""
        if family == "slashed":
            a, b, c = int(f["a"]), int(f["b"]), int(f["c"])
            year = c if len(f["c"]) == 4 else self.century(c)
            found = {"dmy": (year, b, a), "mdy": (year, a, b)}
            return found if len(f["c"]) == 4 else {**found, "yymd": (self.century(a), b, c)}
        if family == "named":
            known = self.MONTHS.split()
            name = f["n"].lower()[:3]
            return {family: (int(f["y"]), known.index(name) + 1 if name in known else 0, int(f["d"]))}
        return {family: (int(f["y"]), int(f["m"]), int(f["d"]) if f.get("d") else 1)}

    def century(self, year):
        """Of two digits: 1969 to 2068, as POSIX reads them."""
        return year + (1900 if year > 68 else 2000)

    def day(self, year, month, day):
        """Days since 1970; None if there is no such day."""
        import datetime

        try:
            return datetime.date(year, month, day).toordinal() - 719_163
        except ValueError:
            return None

    def clock(self, f):
        """Seconds since midnight; None if no clock says so."""
        hour, minute, second = (int(f.get(k) or 0) for k in "HMS")
        half = (f.get("p") or "").lower()[:1]
        if half:
            if not 1 <= hour <= 12:
                return None
            hour = hour % 12 + (12 if half == "p" else 0)
        whole = hour <= 23 or (hour == 24 and not minute and not second)  # midnight at the end of a day (ISO 8601)
        return hour * 3600 + minute * 60 + second if whole and minute <= 59 and second <= 60 else None

    def seconds(self, cell):
        """Of one cell, nan where there is no date. Raises ValueError for what can't be read as the training cells were."""
        readings, _, _ = self.readings(cell)
        if readings is None:
            return float("nan")
        if not self.family or self.family in readings:
            return readings[self.family] if self.family else next(iter(readings.values()), float("nan"))
        how = self.written(self.mean * 86_400)
        what = "is not written like the others" if readings else "is not a date"
        raise ValueError(f"{str(cell)[:40]!r} {what} (such as {how})")

    @staticmethod
    def parts_of(seconds):
        """(N, 1 + 6) days since 1970 with their fraction, and PARTS; of times without nan."""
        import numpy as np

        seconds = np.asarray(seconds, np.float64)
        whole = np.floor(seconds / 86_400)
        days = whole.astype(np.int64).astype("datetime64[D]")
        months = days.astype("datetime64[M]")
        year, month = months.astype(np.int64) // 12 + 1970, months.astype(np.int64) % 12 + 1
        day = (days - months.astype("datetime64[D]")).astype(np.int64) + 1
        weekday = (whole + 3) % 7  # 1970 began on a Thursday; Monday is 0
        hour = (seconds - whole * 86_400) / 3600
        return np.stack([seconds / 86_400, year, month, day, weekday, weekday >= 5, hour], 1).astype(np.float64)

    def features(self):
        """Names of what a network sees."""
        rounds = [f"{p} {way}" for p in self.parts if p in self.CYCLES for way in ("sine", "cosine")]
        flags = ["weekend"] if "weekend" in self.parts else []
        return ["days", *rounds, *flags]

    def values(self, seconds):
        """(N, F) float32, 0 where there is no date."""
        import numpy as np

        gone = np.isnan(seconds)
        parts = self.parts_of(np.where(gone, self.mean * 86_400, seconds))
        at = dict(zip(("days", *self.PARTS), parts.T))
        out = [np.zeros(len(parts)) if self.constant else (at["days"].clip(self.low, self.high) - self.mean) / self.std]
        for part in (p for p in self.parts if p in self.CYCLES):
            start, size = self.CYCLES[part]
            angle = (at[part] - start) * (2 * np.pi / size)
            out += [np.sin(angle), np.cos(angle)]
        if "weekend" in self.parts:
            out.append(at["weekend"])
        return np.where(gone[:, None], 0.0, np.stack(out, 1)).astype(np.float32)

    def raw(self, seconds):
        """(N, 1 + parts) float32: days since 1970, and the parts that differ; nan where there is no date."""
        import numpy as np

        gone = np.isnan(seconds)
        parts = self.parts_of(np.where(gone, 0.0, seconds))
        kept = [0, *(1 + self.PARTS.index(p) for p in self.parts)]
        return np.where(gone[:, None], np.nan, parts[:, kept]).astype(np.float32)

    def written(self, seconds):
        """A date as the training cells are written; times where these have some."""
        import datetime

        then = datetime.datetime(1970, 1, 1) + datetime.timedelta(seconds=round(seconds))
        if self.family == "unix":
            return str(round(seconds) * (1000 if self.unix == "milliseconds" else 1))
        forms = {"dmy": "%d/%m/%Y", "mdy": "%m/%d/%Y", "chinese": "%Y年%m月%d日", "compact": "%Y%m%d", "ym": "%Y-%m"}
        forms |= {"yymd": "%y-%m-%d", "named": "%d %b %Y"}
        form = forms.get(self.family, "%Y-%m-%d")
        return then.strftime(form + (" %H:%M" if "hour" in self.parts and self.family not in ("ym", "compact") else ""))

    def array(self, cells):
        """(N,) seconds of raw cells."""
        import numpy as np

        return np.array([self.seconds(c) for c in cells], np.float64)

    def encode(self, cells):
        """Tensors of a batch."""
        import numpy as np

        seconds = self.array(cells)
        return {"values": self.values(seconds), "present": ~np.isnan(seconds)}

    def matrix(self, cells):
        """What classical learners see."""
        return self.raw(self.array(cells))


PARTS = DateReader.PARTS
parts_of = DateReader.parts_of
