"""What the miniature tables show of the results."""

from __future__ import annotations

import json

import cifar
import numpy as np
from miniature_methods import METHODS

TITLES = {
    "main": "**Each method beside plain training and the oracle.**",
    "semi": "**Methods that use the rejected rows, without their labels.**",
    "mild": "**MILD: what is measured, and a fixed ratio.**",
    "dlt": "**DLT: thresholds.**",
    "meta": "**IEG: what each part adds.**",
    "debug": "**DivideMix after labels were put right.**",
}
NAMES = {name: method.title for name, method in METHODS.items()}
NAMES |= {"plain": "plain", "aum": "AUM", "lstm": "LSTM"}


def tables(results: list[dict], wanted: dict) -> str:
    """Return Markdown tables; proportions in per cent, mean and deviation of the seeds."""
    results = list({json.dumps(r["config"], sort_keys=True): r for r in results}.values())
    parts = [OVERVIEW, overview(results), "<!-- in detail -->"]  # docs/miniature.md has both
    for table, pairs in wanted.items():
        rows = [row for pair in dict.fromkeys(pairs) for row in lines(results, *pair)]
        if rows:
            parts += [TITLES[table], cifar.markdown(HEAD, rows)]
    for title, head, rows in (
        ("**Rounds of MILD.**", ROUNDS_HEAD, round_lines(results)),
        ("**Rates found in plain training.**", RATES_HEAD, rate_lines(results)),
    ):
        if rows:
            parts += [title, cifar.markdown(head, rows)]
    return "\n\n".join([*parts, cifar.machines(results)])


OVERVIEW = "**Accuracy after the last epoch**, per cent; mean and deviation of the seeds."
SHOWN = dict.fromkeys(("plain", "aum", "lstm"), "recorded")
for _name in (
    "mild",
    "dlt",
    "meta",
    "mild_mm",
    "mild_mucl",
    "dividemix",
    "dividemix_dlt",
    "oracle",
):
    SHOWN[_name] = _name


def overview(results: list[dict]) -> str:
    """Return a table with a line for each method and a column for each setting."""
    columns, rows = settings(results), []
    for name, method in SHOWN.items():
        cells = [runs_of(results, setting, method) for setting in columns]
        if any(cells):
            values = [[r["measured"][name]["last"] for r in runs] for runs in cells]
            most = max(map(len, values))
            few = [f" ({len(v)} of {most} seeds)" if 0 < len(v) < most else "" for v in values]
            cells = [spread(v) + f if v else "-" for v, f in zip(values, few, strict=True)]
            rows.append([NAMES[name], *cells])
    wrong = []
    for setting in columns:
        here = [r["noise_rate"] for r in results if r["config"]["setting"] == setting]
        wrong.append(f"{np.mean(here):.1%}")
    return cifar.markdown(["", *columns], [["wrong labels", *wrong], *rows])


HEAD = [
    *("setting", "wrong labels", "method", "seeds", "**last epoch**", "by noisy val", "kept"),
    *("of them right", "wrong labels fitted", "AUROC", "rate found", "seconds"),
]
ROUNDS_HEAD = ["setting", "seeds", "round", "rows", "of them right", "right ones that are left"]
RATES_HEAD = ["setting", "seeds", "wrong labels", "`estimate_noise_rate`", "Eq. 8, to the letter"]


def runs_of(results: list[dict], setting: str, method: str) -> list[dict]:
    """Return the results of a method, by seed."""
    pair = (setting, method)
    runs = [r for r in results if (r["config"]["setting"], r["config"]["method"]) == pair]
    return sorted(runs, key=lambda r: r["config"]["seed"])


def seeds(runs: list[dict]) -> str:
    return ", ".join(str(r["config"]["seed"]) for r in runs)


def settings(results: list[dict]) -> list[str]:
    """Return symmetric noise first, then asymmetric, then human labels."""
    order = ("symmetric", "asymmetric", "cifar10n")
    named = {r["config"]["setting"] for r in results}
    return sorted(named, key=lambda s: (order.index(s.split("-")[0]), s))


def lines(results: list[dict], setting: str, method: str) -> list[list]:
    """Return a line for each name under which the runs of a method were measured."""
    runs, found = runs_of(results, setting, method), []
    for name in names_of(runs[0]) if runs else []:
        values = [r["measured"][name] for r in runs]
        found.append(
            [
                *(setting, f"{np.mean([r['noise_rate'] for r in runs]):.1%}"),
                *(NAMES[name], seeds(runs)),
                *(spread([v[key] for v in values]) for key in ("last", "by_noisy_val")),
                mean(values, "kept", ",.0f"),
                *(mean(values, key, ".1%") for key in ("kept_right", "wrong_fitted")),
                mean(values, "auroc", ".3f"),
                mean(values, "rate_found", ".1%"),
                # A recorded run is trained upon three times.
                f"{np.mean([r['processor_seconds'] / len(names_of(r)) for r in runs]):.0f}",
            ]
        )
    return found


def names_of(result: dict) -> list[str]:
    return [name for name in result["measured"] if name != "rates"]


def round_lines(results: list[dict]) -> list[list]:
    """Return what the rows of each round are, Table 7 of MILD."""
    found = []
    for setting in settings(results):
        runs = runs_of(results, setting, "mild")
        rounds = [r["measured"]["mild"]["rounds"] for r in runs]
        for i in range(max(map(len, rounds), default=0)):
            rows, right, left = np.mean([r[i] for r in rounds if i < len(r)], axis=0)
            shares = f"{right:.1%}", f"{left:.1%}"
            found.append([setting, seeds(runs), i + 1, f"{rows:,.0f}", *shares])
    return found


def rate_lines(results: list[dict]) -> list[list]:
    """Return the rates that were found in the records of plain training, Table 5 of DLT."""
    found = []
    for setting in settings(results):
        runs = runs_of(results, setting, "recorded")
        if runs:
            rates = [r["measured"]["rates"] for r in runs]
            found.append(
                [
                    *(setting, seeds(runs), f"{np.mean([r['noise_rate'] for r in runs]):.1%}"),
                    *(
                        spread([r[key] for r in rates]) if key in rates[0] else "-"
                        for key in ("estimate_noise_rate", "eq_8")
                    ),
                ]
            )
    return found


def spread(numbers: list[float]) -> str:
    """Return mean and standard deviation in per cent."""
    mean = f"{100 * np.mean(numbers):.1f}"
    return f"{mean} ± {100 * np.std(numbers):.1f}" if len(numbers) > 1 else mean


def mean(values: list[dict], key: str, form: str) -> str:
    """Return the mean, or a dash where there is none."""
    numbers = [v[key] for v in values if v.get(key) is not None]
    return format(np.mean(numbers), form) if numbers else "-"
