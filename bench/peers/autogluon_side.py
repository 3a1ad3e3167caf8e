"""AutoGluon on one task, as its own documentation shows it; runs with the interpreter of AutoGluon's environment.

autogluon_side.py WHICH TRAIN.csv TEST.csv LABEL SECONDS OUT

WHICH is tables, multimodal, "multimodal, no hub" (random weights and its smallest preset), "tables of pixels" (pictures
unpacked to a column a pixel first) or "tables of character pairs" (a text without spaces is one word to it: here the words are
its pairs of characters). Writes OUT/predictions.txt, one label a line, and OUT/fit.txt, the wall seconds of fit
alone, which the limit is about.
"""

import sys
import time
from itertools import pairwise
from pathlib import Path

import pandas as pd


def pixels(rows: pd.DataFrame) -> pd.DataFrame:
    import numpy as np
    from PIL import Image

    cells = np.stack([np.asarray(Image.open(file)).ravel() for file in rows["image"]])
    return pd.concat([pd.DataFrame(cells).add_prefix("p"), rows.drop(columns="image")], axis=1)


def pairs(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.assign(text=[" ".join(a + b for a, b in pairwise(text)) for text in rows["text"]])


def main(which: str, train: str, test: str, label: str, limit: str, out: str) -> None:
    tables = [pd.read_csv(file) for file in (train, test)]
    if which.startswith("tables"):
        from autogluon.tabular import TabularPredictor

        if which == "tables of pixels":
            tables = [pixels(rows) for rows in tables]
        if which == "tables of character pairs":
            tables = [pairs(rows) for rows in tables]
        predictor = TabularPredictor(label, path=f"{out}/model")
        more = {"num_cpus": 1}
    else:
        from autogluon.multimodal import MultiModalPredictor

        hub = {"pretrained": False, "presets": "medium_quality"} if which == "multimodal, no hub" else {}
        predictor = MultiModalPredictor(label, path=f"{out}/model", **hub)
        more = {}
    began = time.monotonic()
    predictor.fit(tables[0], time_limit=float(limit), **more)
    Path(out, "fit.txt").write_text(str(time.monotonic() - began))
    if which.startswith("tables"):
        print(predictor.leaderboard(silent=True).to_string())
    found = predictor.predict(tables[1].drop(columns=label))
    Path(out, "predictions.txt").write_text("".join(f"{value}\n" for value in found))


if __name__ == "__main__":
    main(*sys.argv[1:])
