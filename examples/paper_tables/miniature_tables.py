"""What the miniature tables show of the results."""

from __future__ import annotations

import cifar
import numpy as np
from miniature_methods import METHODS

TITLES = {
    "main": "Each method beside plain training and the oracle.",
    "semi": "With the rejected rows, without their labels.",
    "mild": "MILD, other metrics and a fixed ratio.",
    "dlt": "DLT, thresholds and rates.",
    "meta": "IEG, ablations.",
    "debug": "DivideMix after debugging.",
}
NAMES = {name: method.title for name, method in METHODS.items()}
NAMES |= {"plain": "plain", "aum": "AUM", "lstm": "LSTM"}


def tables(results: list[dict], wanted: dict) -> str:
    """Return Markdown tables: accuracies in per cent, mean and deviation of the seeds."""
    parts = []
    for table, pairs in wanted.items():
        rows = [row for pair in dict.fromkeys(pairs) for row in lines(results, *pair)]
        if rows:
            parts += [TITLES[table], cifar.markdown(HEAD, rows)]
    return "\n\n".join([*parts, cifar.machines(results)])


HEAD = [
    *("setting", "wrong labels", "method", "seeds", "**last epoch**", "by noisy val", "kept"),
    *("of them right", "wrong labels fitted", "AUROC", "rate found", "seconds"),
]


def lines(results: list[dict], setting: str, method: str) -> list[list]:
    """Return a line for each name under which the runs of a method were measured."""
    runs = [
        r for r in results if (r["config"]["setting"], r["config"]["method"]) == (setting, method)
    ]
    names = [name for name in runs[0]["measured"] if name != "rates"] if runs else []
    found = []
    for name in names:
        values = [r["measured"][name] for r in runs]
        wrong = f"{np.mean([r['noise_rate'] for r in runs]):.1%}"
        found.append(
            [
                *(setting, wrong, NAMES[name], ", ".join(str(r["config"]["seed"]) for r in runs)),
                *(spread(values, key) for key in ("last", "by_noisy_val")),
                mean(values, "kept", ",.0f"),
                *(mean(values, key, ".1%") for key in ("kept_right", "wrong_fitted")),
                mean(values, "auroc", ".3f"),
                mean(values, "rate_found", ".1%"),
                f"{np.mean([r['processor_seconds'] for r in runs]):.0f}",
            ]
        )
    return found


def spread(values: list[dict], key: str) -> str:
    """Return mean and standard deviation in per cent."""
    numbers = [100 * v[key] for v in values]
    return f"{np.mean(numbers):.1f} ± {np.std(numbers):.1f}"


def mean(values: list[dict], key: str, form: str) -> str:
    """Return the mean, or a dash where there is none."""
    numbers = [v[key] for v in values if v.get(key) is not None]
    return format(np.mean(numbers), form) if numbers else "-"
