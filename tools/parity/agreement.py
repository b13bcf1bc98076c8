#!/usr/bin/env python3
"""Agreement of judges by the libraries that people use: tests/fixtures/vote/agreement.json.

    python3 tools/parity/agreement.py

Kendall's tau-b is scipy.stats.kendalltau, Cohen's kappa both sklearn.metrics.cohen_kappa_score and
statsmodels' cohens_kappa (the script stops where the two differ), normalised sums are
scipy.stats.zscore and sklearn's minmax_scale. Made with scipy 1.17.1, scikit-learn 1.9.1,
statsmodels 0.15.0, numpy 2.4.6. A null is a score that is missing, or a value that is not defined.
"""
import json
import math
import os
import warnings

import numpy as np
import scipy.stats
import sklearn.metrics
import sklearn.preprocessing
import statsmodels.stats.inter_rater

CATEGORIES = [1, -1, 0]  # picture 0, picture 1, tie


def finite_or_none(value):
    return float(value) if math.isfinite(value) else None


def choices(a, b, margin):
    d = a - b
    return np.where(np.abs(d) <= margin, 0, np.sign(d)).astype(int)


def kappa(x, y):
    if len(set(x)) == 1 and set(x) == set(y):
        return math.nan  # 0 / 0: the libraries warn, or answer differently
    of_sklearn = sklearn.metrics.cohen_kappa_score(x, y, labels=CATEGORIES)
    table = sklearn.metrics.confusion_matrix(x, y, labels=CATEGORIES)
    of_statsmodels = statsmodels.stats.inter_rater.cohens_kappa(table, return_results=False)
    assert abs(of_sklearn - of_statsmodels) < 1e-13, (of_sklearn, of_statsmodels)
    return of_sklearn


def expect(case):
    a, b = (np.array([[math.nan if s is None else s for s in side] for side in case[k]])
            for k in ("first", "second"))
    both = np.isfinite(a).all(axis=0) & np.isfinite(b).all(axis=0)
    a, b = a[:, both], b[:, both]
    x, y = choices(*a, case["margins"][0]), choices(*b, case["margins"][1])
    decided = (x != 0) & (y != 0)
    out = {"n_pairs": int(both.sum())}
    if out["n_pairs"] > 0:
        out["table"] = sklearn.metrics.confusion_matrix(x, y, labels=CATEGORIES).tolist()
    for name, value in {
        "rate": np.mean(x == y) if len(x) else math.nan,
        "rate_decided": np.mean(x[decided] == y[decided]) if decided.any() else math.nan,
        "kappa": kappa(x, y) if len(x) else math.nan,
        "tau": scipy.stats.kendalltau(a[0] - a[1], b[0] - b[1]).statistic,
        "tau_choices": scipy.stats.kendalltau(x, y).statistic,
    }.items():
        out[name] = finite_or_none(value)
    return out


def scores(random, n, kind):
    """Scores of the two pictures of n pairs, with few binary digits."""
    if kind == "grid":
        out = random.integers(0, 5, (2, n)) / 4
    elif kind == "label":
        h = random.choice([0, 0.5, 1], n, p=[0.45, 0.1, 0.45])
        return np.stack([h, 1 - h])
    else:
        out = random.normal(size=(2, n))
    return np.round(out * 1024) / 1024


def as_list(values, lost=()):
    rows = [[float(v) for v in row] for row in values]
    for side, i in lost:
        rows[side][i] = None
    return rows


def make_cases(random):
    cases = []

    def add(name, first, second, margins=(0.0, 0.0), lost=((), ())):
        case = {"name": name, "margins": list(margins), "first": as_list(first, lost[0]),
                "second": as_list(second, lost[1])}
        case["expected"] = expect(case)
        cases.append(case)

    for n in (2, 3, 5, 17, 100):
        add(f"continuous {n}", scores(random, n, "normal"), scores(random, n, "normal"))
        add(f"grid {n}", scores(random, n, "grid"), scores(random, n, "grid"))
        add(f"label {n}", scores(random, n, "label"), scores(random, n, "normal"))
    a = scores(random, 150, "normal")
    like = a + 0.75 * scores(random, 150, "normal")
    add("alike", a, like)
    add("alike, margins", a, like, margins=(0.5, 0.25))
    add("alike, lost scores", a, like, lost=(((0, 3), (1, 77)), ((0, 3), (0, 149))))
    add("with itself", a, a)
    add("with its opposite", a, a[::-1])
    g = scores(random, 150, "grid")
    add("grid with itself", g, g)
    add("grid with its opposite", g, g[::-1])
    same = np.ones((2, 20))
    add("both always tie", same, same)
    add("one always ties", same, scores(random, 20, "normal"))
    first_wins = np.stack([np.ones(20), np.zeros(20)])
    add("both always the first", first_wins, first_wins)
    add("always the first, always the second", first_wins, first_wins[::-1])
    add("always the first, any", first_wins, scores(random, 20, "grid"))
    add("one pair", scores(random, 1, "normal"), scores(random, 1, "normal"))
    add("nothing in common", scores(random, 2, "normal"), scores(random, 2, "normal"),
        lost=(((0, 0),), ((1, 1),)))
    return cases


def make_sums(random):
    """Three scorers of different scales: what is summed, and the statistics."""
    n = 40
    each = [(scores(random, n, "normal") * s + m).astype(np.float32).astype(float)
            for s, m in ((0.03, 0.25), (1.5, 20), (0.4, 5.5))]
    z = [scipy.stats.zscore(s, axis=None) for s in each]
    unit = [sklearn.preprocessing.minmax_scale(s.reshape(-1)).reshape(s.shape) for s in each]
    return {
        "scores": [as_list(s) for s in each],
        "mean": [float(s.mean()) for s in each],
        "deviation": [float(s.std()) for s in each],
        "zscore": [float(v) for v in sum(s[0] - s[1] for s in z)],
        "minmax": [float(v) for v in sum(s[0] - s[1] for s in unit)],
        "sum": [math.fsum(v) for v in zip(*[s[0] - s[1] for s in each])],
    }


def main():
    random = np.random.default_rng(4)
    warnings.simplefilter("ignore")  # of coefficients that are not defined
    made = {"cases": make_cases(random), "sums": make_sums(random)}
    here = os.path.dirname(os.path.abspath(__file__))
    path = os.path.join(here, "../../tests/fixtures/vote/agreement.json")
    with open(path, "w") as f:
        json.dump(made, f, separators=(",", ":"))
        f.write("\n")
    for case in made["cases"]:
        print(case["name"], case["expected"])


if __name__ == "__main__":
    main()
