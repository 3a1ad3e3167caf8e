"""Does recipe:teaching beat a mixed-effects model? The model is lme4's, fitted in R to the same training rows; both predict the same test rows.

apt-get install r-cran-lme4
python bench/teaching.py RUN [RUN...]      # run folders of recipe:teaching, or none to fit lme4 alone

Printed, in Markdown: the RMSE of each formula, and how much lower the product's is, with a bootstrap interval over the test rows.
"""

from __future__ import annotations

import argparse
import csv
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow.csv

from dapeng import api
from dapeng.core.kinds import samples

# From few effects to many.
FIXED = "rating ~ factor(semester) + factor(semesters_ago) + service + (1|student) + (1|lecturer)"
CROSSED = f"{FIXED} + (1|department:service) + (1|lecturer:department) + (1|lecturer:service)"
FORMULAS = {
    "students and lecturers": "rating ~ service + (1|student) + (1|lecturer)",
    "and departments": f"{FIXED} + (1|department)",
    "and service in departments": f"{FIXED} + (1|department:service)",
    "and lecturers crossed": CROSSED,
}
RESAMPLES = 2_000

SCRIPT = """
suppressMessages(library(lme4))
arguments <- commandArgs(TRUE)
codes <- c(student = "factor", lecturer = "factor", department = "factor", service = "factor")
train <- read.csv(file.path(arguments[1], "train.csv"), colClasses = codes)
test <- read.csv(file.path(arguments[1], "test.csv"), colClasses = codes)
fit <- lmer(as.formula(arguments[2]), train, REML = TRUE)
print(VarCorr(fit), comp = c("Variance", "Std.Dev."))
found <- predict(fit, test, allow.new.levels = TRUE)
write.table(found, file.path(arguments[1], "found.txt"), row.names = FALSE, col.names = FALSE)
"""


def fitted(folder: Path, formula: str) -> np.ndarray:
    """What lme4 predicts for the test rows: fixed effects and BLUPs, 0 for those it has not seen."""
    (folder / "fit.R").write_text(SCRIPT, encoding="utf-8")
    done = subprocess.run(
        ["Rscript", str(folder / "fit.R"), str(folder), formula], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(done.stderr[-800:])
    print(done.stdout, file=sys.stderr)
    return np.loadtxt(folder / "found.txt")


def rmse(errors: np.ndarray) -> float:
    return float(np.sqrt(np.mean(errors**2)))


def lower_by(ours: np.ndarray, theirs: np.ndarray) -> tuple[float, float, float]:
    """How much lower our RMSE is, and the middle 95 % of it over resampled test rows; both members see the same rows."""
    draw = np.random.default_rng(0)
    drawn = (draw.integers(0, len(ours), len(ours)) for _ in range(RESAMPLES))
    differences = [rmse(theirs[rows]) - rmse(ours[rows]) for rows in drawn]
    low, high = np.quantile(differences, [0.025, 0.975])
    return rmse(theirs) - rmse(ours), float(low), float(high)


def main(runs: list[str], formulas: dict[str, str]) -> None:
    if shutil.which("Rscript") is None:
        raise SystemExit("needs R and lme4: apt-get install r-cran-lme4")
    parts = samples.members()["teaching"]().load()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for side, source in parts.items():
            pyarrow.csv.write_csv(source.read(), folder / f"{side}.csv")
        with (folder / "test.csv").open(encoding="utf-8", newline="") as file:
            wanted = np.array([float(row["rating"]) for row in csv.DictReader(file)])
        ours = {}
        for run in runs:
            answer = api.load(run).predict(parts["test"])
            ours[run] = answer.column("rating").to_numpy() - wanted
            print(f"{run}: RMSE {rmse(ours[run]):.4f}")
        print("| lme4 | formula | RMSE | seconds |" + "".join(f" lower by {Path(r).name} |" for r in runs))
        print("|---|---|---|---|" + "---|" * len(runs))
        for what, formula in formulas.items():
            began = time.perf_counter()
            theirs = fitted(folder, formula) - wanted
            cells = [
                what,
                "`" + formula.replace("|", "\\|") + "`",
                f"{rmse(theirs):.4f}",
                f"{time.perf_counter() - began:.0f}",
            ]
            cells += ["{:.4f} ({:.4f} to {:.4f})".format(*lower_by(e, theirs)) for e in ours.values()]
            print("| " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("runs", nargs="*")
    asked.add_argument("--only", choices=FORMULAS, help="one of the formulas, instead of all")
    options = asked.parse_args()
    main(options.runs, {options.only: FORMULAS[options.only]} if options.only else FORMULAS)
