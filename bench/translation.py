"""BLEU of a run's test rows as the tutorials of torchtext count it: over lower-cased tokens of spaCy, without smoothing.

python bench/translation.py RUN [RUN ...]            # needs spacy (its blank English tokeniser, no model)

Beside it sacrebleu's own, with its signature: BLEU of whole texts, cased, tokenised as WMT does.
"""

from __future__ import annotations

import argparse

import sacrebleu

import dapeng


def main() -> None:
    import spacy  # pyright: ignore[reportMissingImports]

    parser = argparse.ArgumentParser()
    parser.add_argument("runs", nargs="+")
    args = parser.parse_args()
    cut = spacy.blank("en")
    for path in args.runs:
        run = dapeng.load(path)
        (name,) = run.product.written
        import pyarrow.parquet as pq

        table = pq.read_table(run.path / "predictions.parquet").to_pydict()
        said, truth = table[f"{name}.wrote"], table[f"{name}.truth"]
        tokens = [[" ".join(t.text for t in cut(text.lower())) for text in texts] for texts in (said, truth)]
        plain = sacrebleu.corpus_bleu(tokens[0], [tokens[1]], smooth_method="none", tokenize="none", force=True)
        bleu = sacrebleu.metrics.BLEU()
        own = bleu.corpus_score(said, [truth])
        print(f"{path}: {len(said):,} rows; lower-cased spaCy tokens: BLEU {plain.score:.2f}")
        print(f"    sacrebleu: {own.score:.2f} ({bleu.get_signature()})")


if __name__ == "__main__":
    main()
