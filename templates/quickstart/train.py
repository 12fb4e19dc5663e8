"""Train the model on the breast-cancer data that scikit-learn carries.

Writes medians.json (for the reduction step), model.joblib, and rows.csv (raw rows for the golden examples).
"""

import csv
import json
from pathlib import Path

import joblib
import numpy as np
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.model_selection import train_test_split

HERE = Path(__file__).parent
MEASURED = ["mean_radius", "radius_error"]  # besides the ten worst_... columns


def main():
    data = load_breast_cancer()
    names = [name.replace(" ", "_") for name in data.feature_names]
    used = [at for at, name in enumerate(names) if name in MEASURED or name.startswith("worst_")]
    rows, names = data.data[:, used], [names[at] for at in used]
    rows = with_gaps(rows)
    training, test, answers, test_answers = train_test_split(rows, data.target, random_state=0)

    medians = {name: float(np.nanmedian(training[:, at])) for at, name in enumerate(names)}
    (HERE / "medians.json").write_text(json.dumps(medians, indent=1) + "\n", encoding="utf-8")
    from reduction import reduce  # it reads medians.json

    def reduced(raw):
        return reduce(dict(zip(names, raw.T, strict=True)))["X"]

    model = GradientBoostingClassifier(n_estimators=80, max_depth=3, random_state=0)
    model.fit(reduced(training), answers)
    joblib.dump(model, HERE / "model.joblib")
    write_rows(HERE / "rows.csv", names, test)
    print(f"accuracy on {len(test)} rows it has not seen: {model.score(reduced(test), test_answers):.3f}")


def with_gaps(rows):
    """Measurements get lost in practice: about three in a hundred are missing here."""
    lost = np.random.default_rng(0).random(rows.shape) < 0.03
    return np.where(lost, np.nan, rows)


def write_rows(path, names, rows):
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(names)
        writer.writerows(["" if np.isnan(value) else repr(float(value)) for value in row] for row in rows)


if __name__ == "__main__":
    main()
