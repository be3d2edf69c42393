"""What the four papers measure on photographs: a table each call, at the papers' settings.

    python examples/paper_tables/photographs.py --of mild-3 --data DIR --out photographs.jsonl
    python examples/paper_tables/photographs.py --table --out photographs.jsonl

--of says which, by paper and table:

- mild-2: Mini-ImageNet with noise from the web, plain MILD, MM and MUCL.
- mild-3: mini-WebVision, the same with Inception-ResNet v2 and with ResNet-18.
- dlt-3: Clothing1M, DLT with both strategies.
- lstm-2: Tiny ImageNet, WebVision's first 50 classes and 100,000 images of Clothing1M: all rows,
  and without the fifth that the shipped detector, or AUM, suspects most.
- lstm-3: CUB-200-2011 with 20 % symmetric noise, and mini-WebVision: DivideMix on the given
  labels, and after 5 or 10 % of them were replaced by the true ones, or by predictions.
- lstm-figure5: how well the shipped detector ranks 20 and 40 % symmetric noise of CUB-200-2011 and
  Caltech-256, as it is and fine-tuned.
- meta-6: WebVision, all of it and mini, with ResNet-50 and Inception-ResNet v2.
- meta-7: Food-101N; and Clothing1M, of which the text speaks.

DIR holds what is needed of ``Clothing1M``, ``WebVision``, ``ImageNet-val`` (a folder for each
class), ``Food-101N_release``, ``food-101``, ``CUB_200_2011``, ``caltech256``, ``tiny-imagenet-200``
and ``Mini-ImageNet`` (with ``train`` and ``test``), each as `noisyfit.datasets` reads it, and for
networks that start from ImageNet torchvision's weights as ``resnet34.pth`` and ``resnet50.pth``.
Inception-ResNet v2 is timm's: pip install "noisyfit[timm]". A finished result is one JSON line in
--out; a run that is called again skips what is there with the same configuration.

Reported are top-1 and top-5 accuracy after the last epoch. SETTINGS says of each number whether it
is the paper's [P], of its code [C], DivideMix's [D], or ours where nobody says [N]. A cosine takes
the place of steps of the learning rate. WebVision is tested on ImageNet where the paper does so;
trusted are ten images a class of WebVision's own validation images, where the paper takes some of
ImageNet's. None of this has been run at size, as no such data was at hand.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cifar
import numpy as np
import torch
from sklearn.metrics import top_k_accuracy_score
from torch import nn

from noisyfit import (
    DivideMixClassifier,
    DLTClassifier,
    DynamicsLSTMDetector,
    MetaRelabelClassifier,
    MILDSelector,
    datasets,
    debug_labels,
)
from noisyfit.augment import PerImage
from noisyfit.datasets import ImageFiles, LabeledImages
from noisyfit.metrics import auroc, average_precision
from noisyfit.modules import ResNet32
from noisyfit.noise import corrupt_labels, transition_matrix

if TYPE_CHECKING:
    import argparse

MILD_KINDS = {"mild": None, "mild_mm": "mixmatch", "mild_mucl": "mixup_contrastive"}
# Table: data sets, networks, methods.
TABLES: dict[str, tuple[list[str], list[str], list[str]]] = {
    "mild-2": (["mini_imagenet"], ["resnet18"], [*MILD_KINDS]),
    "mild-3": (["mini_webvision"], ["inception_resnet_v2", "resnet18"], [*MILD_KINDS]),
    "dlt-3": (["clothing1m"], ["resnet50"], ["sliding_window", "last_epoch"]),
    "lstm-2": (
        ["tiny_imagenet", "webvision50", "clothing100k"],
        ["of_the_data"],
        ["standard", "aum", "shipped"],
    ),
    "lstm-3": (["cub", "mini_webvision"], ["of_the_data"], ["divide", "divide_5", "divide_10"]),
    "lstm-figure5": (
        ["cub-0.2", "cub-0.4", "caltech-0.2", "caltech-0.4"],
        ["of_the_data"],
        ["shipped", "fine_tuned"],
    ),
    "meta-6": (["mini_webvision", "webvision"], ["resnet50", "inception_resnet_v2"], ["meta"]),
    "meta-7": (["food101n", "clothing1m"], ["resnet50"], ["meta"]),
}
NETWORKS = {  # where the table does not say
    "tiny_imagenet": "resnet32",
    "cub": "resnet50",
    "caltech": "resnet50",
    "mini_webvision": "inception_resnet_v2",
    "webvision50": "resnet50",
    "clothing100k": "resnet50",
}
FROM_IMAGENET = {("dlt-3", "clothing1m"), ("lstm-3", "cub")}  # [P], [C]
FROM_IMAGENET |= {("lstm-figure5", "cub"), ("lstm-figure5", "caltech")}  # [C]
SIZES = {"mini_imagenet": 84, "tiny_imagenet": 64}  # [P]; others 224 [P]

MILD = {"max_epochs": 100, "lr": 0.1, "batch_size": 128, "rounds": "auto"}  # [P]; rounds [N]
LSTM = {"max_epochs": 200, "lr": 0.1, "batch_size": 128, "optimizer__nesterov": True}  # [C]
LSTM |= {"optimizer__weight_decay": 1e-4, "remove": 0.2}  # [C]
META = {"lr": 0.1, "batch_size": 100, "max_epochs": 50, "ramp_epochs": 0}  # [P]; epochs [N]
META |= {"optimizer__weight_decay": 1e-4}  # [N]
SETTINGS: dict[tuple[str, str], dict[str, Any]] = {
    ("mild-2", "mini_imagenet"): MILD,
    ("mild-3", "mini_webvision"): MILD,
    ("dlt-3", "clothing1m"): {
        # A million rows an epoch; DivideMix has 80 epochs of 64,000.
        "max_epochs": 5,
        "warmup_epochs": 1,
        "ramp_epochs": 1,
        "window": 200,  # [N], s [P]
        "lr": 0.002,
        "batch_size": 32,
        "optimizer__weight_decay": 1e-3,  # [D]
        "mixup_alpha": 0.5,
        "lambda_noisy": 0.0,
        "noise_rate": 0.38,  # [D], the rate [P]
        "class_prior": "uniform",  # [P]
    },
    ("lstm-3", "cub"): {
        "max_epochs": 300,
        "warmup_epochs": 30,
        "lr": 0.1,
        "batch_size": 32,  # [C]
        "mixup_alpha": 4.0,
        "lambda_noisy": 25.0,
        "optimizer__weight_decay": 1e-4,  # [C]
        "noise_rate": 0.2,
        "class_prior": "uniform",  # [P]
    },
    ("lstm-3", "mini_webvision"): {
        "max_epochs": 80,
        "warmup_epochs": 1,
        "lr": 0.01,
        "batch_size": 32,  # [D]
        "mixup_alpha": 0.5,
        "lambda_noisy": 0.0,
        "optimizer__weight_decay": 5e-4,  # [D]
        "noise_rate": 0.2,
        "class_prior": "uniform",  # the rate [N]
    },
    ("meta-6", "mini_webvision"): META | {"pool_weight": 4.0, "consistency": 8.0},  # [P], text
    ("meta-6", "webvision"): META | {"pool_weight": 4.0, "consistency": 0.4},  # [P], text
    ("meta-7", "food101n"): META | {"pool_weight": 1.0, "consistency": 14.0},  # [P]
    ("meta-7", "clothing1m"): META | {"pool_weight": 1.0, "consistency": 3.5},  # [P]
}
# Accuracy in per cent, top-1 or top-1/top-5.
PAPER = {
    ("mild-3", "mini_webvision", "inception_resnet_v2", "mild"): "76.63",
    ("mild-3", "mini_webvision", "inception_resnet_v2", "mild_mm"): "78.88",
    ("mild-3", "mini_webvision", "inception_resnet_v2", "mild_mucl"): "80.52",
    ("mild-3", "mini_webvision", "resnet18", "mild"): "73.42",
    ("mild-3", "mini_webvision", "resnet18", "mild_mm"): "78.08",
    ("mild-3", "mini_webvision", "resnet18", "mild_mucl"): "78.52",
    ("dlt-3", "clothing1m", "resnet50", "sliding_window"): "73.58",
    ("dlt-3", "clothing1m", "resnet50", "last_epoch"): "74.04",
    ("lstm-2", "tiny_imagenet", "resnet32", "standard"): "50.7",
    ("lstm-2", "tiny_imagenet", "resnet32", "aum"): "51.4",
    ("lstm-2", "tiny_imagenet", "resnet32", "shipped"): "52.2",
    ("lstm-2", "webvision50", "resnet50", "standard"): "78.6",
    ("lstm-2", "webvision50", "resnet50", "aum"): "80.2",
    ("lstm-2", "webvision50", "resnet50", "shipped"): "81.4",
    ("lstm-2", "clothing100k", "resnet50", "standard"): "64.2",
    ("lstm-2", "clothing100k", "resnet50", "aum"): "66.5",
    ("lstm-2", "clothing100k", "resnet50", "shipped"): "68.2",
    ("lstm-3", "cub", "resnet50", "divide"): "73.89",
    ("lstm-3", "cub", "resnet50", "divide_5"): "74.44",
    ("lstm-3", "cub", "resnet50", "divide_10"): "74.99",
    ("lstm-3", "mini_webvision", "inception_resnet_v2", "divide"): "77.32/91.64",
    ("lstm-3", "mini_webvision", "inception_resnet_v2", "divide_5"): "77.84/92.16",
    ("lstm-3", "mini_webvision", "inception_resnet_v2", "divide_10"): "78.24/92.72",
    ("meta-6", "mini_webvision", "resnet50", "meta"): "78.0/94.4",
    ("meta-6", "mini_webvision", "inception_resnet_v2", "meta"): "80.0/94.9",
    ("meta-6", "webvision", "resnet50", "meta"): "65.8/85.8",
    ("meta-6", "webvision", "inception_resnet_v2", "meta"): "69.0/88.3",
    ("meta-7", "food101n", "resnet50", "meta"): "87.57",
    ("meta-7", "clothing1m", "resnet50", "meta"): "77.21",
}


# Networks


class Network(nn.Module):
    """A network by its name, from random weights or from those of a file."""

    def __init__(self, n_classes: int, name: str, weights: str | None = None) -> None:
        super().__init__()
        self.network = make_network(name, n_classes)
        if weights is not None:
            known = torch.load(weights, map_location="cpu", weights_only=True)
            known = {key: value for key, value in known.items() if not key.startswith("fc.")}
            left = self.network.load_state_dict(known, strict=False)
            if left.unexpected_keys or set(left.missing_keys) != {"fc.weight", "fc.bias"}:
                raise ValueError(f"{weights} does not hold the weights of torchvision's {name}.")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return logits."""
        return self.network(x)


def make_network(name: str, n_classes: int) -> nn.Module:
    if name == "resnet32":
        return ResNet32(n_classes)
    if name == "inception_resnet_v2":
        try:
            import timm
        except ImportError as error:
            raise ImportError(
                'Inception-ResNet v2 needs timm: pip install "noisyfit[timm]"'
            ) from error
        return timm.create_model(name, pretrained=False, num_classes=n_classes)
    from torchvision import models

    return getattr(models, name)(num_classes=n_classes)


# Data


def load(config: dict, folder: str) -> LabeledImages:
    """Read a data set, and take so many rows of it as the configuration says."""
    root, size = Path(folder), config["size"]
    name = config["dataset"].partition("-")[0]
    more: dict[str, Any] = {"transform": datasets.central_square(size)}
    if name == "clothing1m" or name == "clothing100k":
        trust = "clean" if config["method"] == "meta" else None
        data = datasets.load_clothing1m(root / "Clothing1M", clean_train=trust, **more)
    elif "webvision" in name:
        if config["of"].startswith("meta"):
            more["imagenet_val"] = root / "ImageNet-val"
        sources = ("google",) if name == "mini_webvision" else ("google", "flickr")
        n_classes = 1000 if name == "webvision" else 50
        data = datasets.load_webvision(
            root / "WebVision", sources=sources, n_classes=n_classes, **more
        )
    elif name == "food101n":
        data = datasets.load_food101n(root / "Food-101N_release", root, **more)
    elif name == "mini_imagenet":
        place = root / "Mini-ImageNet"
        data = datasets.load_image_folders(place / "train", place / "test", **more)
    else:
        readers = {
            "cub": (datasets.load_cub200, root / "CUB_200_2011"),
            "caltech": (datasets.load_caltech256, root),
            "tiny_imagenet": (datasets.load_tiny_imagenet, root / "tiny-imagenet-200"),
        }
        reader, place = readers[name]
        data = reader(place, **more)
    return limited(data, config)


def limited(data: LabeledImages, config: dict) -> LabeledImages:
    """Take a part of the rows, drawn by the seed."""
    n_train = 100_000 if config["dataset"] == "clothing100k" else len(data.y)
    n_train = min(n_train, config["limit"] or n_train)
    rng = np.random.default_rng(config["seed"])
    test = np.arange(len(data.y_test))
    if config["limit"]:
        test = rng.permutation(test)[: config["limit"]]
    rows = np.sort(rng.permutation(len(data.y))[:n_train])
    X, X_test = part(data.X, rows), part(data.X_test, test)
    is_right = None if data.is_right is None else data.is_right[rows]
    return data._replace(X=X, y=X.targets, X_test=X_test, y_test=X_test.targets, is_right=is_right)


def part(images: ImageFiles, rows: np.ndarray) -> ImageFiles:
    files = [images.files[row] for row in rows]
    return ImageFiles(files, images.targets[rows], images.transform)


def with_trusted(data: LabeledImages, config: dict) -> tuple[LabeledImages, np.ndarray]:
    """Return the rows with those to trust, and which ones they are."""
    if "webvision" not in config["dataset"]:
        return data, data.is_right == 1
    rng = np.random.default_rng(config["seed"])
    order = rng.permutation(len(data.y_val))
    chosen = np.concatenate([order[data.y_val[order] == c][:10] for c in np.unique(data.y_val)])
    more = part(data.X_val, chosen)
    y = np.concatenate([data.y, more.targets])
    X = ImageFiles([*data.X.files, *more.files], y, data.X.transform)
    return data._replace(X=X, y=y), np.arange(len(y)) >= len(data.y)


# One run


def shared(config: dict, options: dict) -> dict:
    """Return what all estimators of a run are given."""
    from torchvision.transforms.v2 import Compose, RandomHorizontalFlip, RandomResizedCrop

    weights = None
    if (config["of"], config["dataset"].partition("-")[0]) in FROM_IMAGENET:
        weights = str(Path(options["data"]) / f"{config['module']}.pth")
    return {
        "module": Network,
        "module__name": config["module"],
        "module__weights": weights,
        "judge_epochs": 0,  # the papers have none
        "min_share_of_class": 0.0,
        "augment": PerImage(Compose([RandomResizedCrop(config["size"]), RandomHorizontalFlip()])),
        "precision": config["precision"],
        "device": options["device"],
        "random_state": config["seed"],
    }


def fit(config: dict, data: LabeledImages, common: dict, true: np.ndarray) -> tuple[Any, dict]:
    """Train; return the estimator that predicts, and what was measured on the way."""
    method, given = config["method"], dict(config["parameters"])
    if method in MILD_KINDS:
        est = MILDSelector(**common, **given, semi_supervised=MILD_KINDS[method])
        return est.fit(data.X, data.y), {}
    if method in ("sliding_window", "last_epoch"):
        return DLTClassifier(**common, **given, strategy=method).fit(data.X, data.y), {}
    if method == "meta":
        data, trusted = with_trusted(data, config)
        est = MetaRelabelClassifier(**common, **given)
        return est.fit(data.X, data.y, trusted=trusted), {"trusted": int(trusted.sum())}
    detection = dict(config["detection"])
    if method == "standard":
        est = MILDSelector(**common, **detection | {"rounds": 1}, loss="cross_entropy")
        return est.fit(data.X, data.y), {}
    if method == "divide":
        return DivideMixClassifier(**common, **given).fit(data.X, data.y), {}
    remove = config["remove"]
    tuned = {"fine_tune": method == "fine_tuned", "recording": "training", "remove": remove}
    est = DynamicsLSTMDetector(**common, **detection, **tuned).fit(data.X, data.y)
    if method.startswith("divide_"):
        share = int(method.removeprefix("divide_")) / 100
        known = true if config["dataset"] == "cub" else None
        labels, replaced = debug_labels(est, data.X, data.y, share, known)
        X = ImageFiles(data.X.files, labels, data.X.transform)
        return DivideMixClassifier(**common, **given).fit(X, labels), {"n": int(replaced.sum())}
    if method == "aum":
        keep = np.argsort(-est.dynamics_.aum(), kind="stable")[: int(len(data.y) * (1 - remove))]
        rest = part(data.X, np.sort(keep))
        est = MILDSelector(**common, **detection | {"rounds": 1}, loss="cross_entropy")
        return est.fit(rest, rest.targets), {}
    wrong = data.y != true
    if not wrong.any():
        return est, {}
    scores = est.noise_scores_
    figures = {"average_precision": average_precision(wrong, scores), "auroc": auroc(wrong, scores)}
    return est, {name: cifar.plain(value) for name, value in figures.items()}


def run(config: dict, options: dict) -> dict:
    """Train once and return the result line."""
    cifar.use_threads(options)
    start, data = time.time(), load(config, options["data"])
    true = data.y
    if config["noise"]:
        matrix = transition_matrix("symmetric", len(data.class_names), config["noise"])
        classes = np.arange(len(data.class_names))
        y = corrupt_labels(true, matrix, config["seed"], classes=classes, exact=True).labels
        data = data._replace(X=ImageFiles(data.X.files, y, data.X.transform), y=y)
    print(config["of"], config["dataset"], config["module"], config["method"], "starts", flush=True)
    est, measured = fit(config, data, shared(config, options), true)
    probabilities = np.zeros((len(data.y_test), len(data.class_names)))
    probabilities[:, est.classes_] = est.predict_proba(data.X_test)
    names = np.arange(len(data.class_names))
    for k in (1, 5):
        accuracy = np.nan  # of less than six classes, top-5 means nothing
        if len(names) > k:
            accuracy = top_k_accuracy_score(data.y_test, probabilities, k=k, labels=names)
        measured[f"top{k}"] = cifar.plain(accuracy)
    return {
        "config": config,
        "rows": len(data.y),
        "noise_rate": cifar.plain((data.y != true).mean()) if config["noise"] else data.noise_rate,
        "estimated_noise_rate": cifar.plain(est.noise_rate_),
        **measured,
        **cifar.circumstances(options, start, est.net_.device, est.net_.precision),
    }


# Table and command line


def table(results: list[dict]) -> str:
    """Return a Markdown table of all results beside the paper's figures; accuracies in per cent."""
    head = ["table", "data", "network", "method", "seed", "rows", "epochs", "**top-1**", "top-5"]
    body = []
    for r in results:
        c = r["config"]
        key = (c["of"], c["dataset"], c["module"], c["method"])
        figures = ("top1", "top5", "average_precision")
        values = ["-" if r.get(f) is None else f"{100 * r[f]:.2f}" for f in figures]
        epochs = (c["parameters"] or c["detection"])["max_epochs"]
        row = [*key, c["seed"], f"{r['rows']:,}", epochs, *values, PAPER.get(key, "-")]
        body.append([*row, f"{r['seconds'] / 60:.1f}"])
    head += ["average precision", "paper", "min"]
    return f"{cifar.markdown(head, body)}\n\n{cifar.machines(results)}"


def configurations(args: argparse.Namespace) -> list[dict]:
    """List all runs that the command line asks for."""
    made = []
    names, networks, methods = TABLES[args.of]
    shorter = {} if args.epochs is None else {"max_epochs": args.epochs}
    for dataset in args.datasets or names:
        name, _, rate = dataset.partition("-")
        parameters = SETTINGS.get((args.of, name), {})
        if "warmup_epochs" in parameters and args.epochs:
            shorter["warmup_epochs"] = min(1, parameters["warmup_epochs"])
        if args.of.startswith("mild") and args.epochs:
            shorter["final_epochs"] = args.epochs
        detection = {k: v for k, v in LSTM.items() if k != "remove"} | {"max_epochs": 200}
        detection |= {} if args.epochs is None else {"max_epochs": args.epochs}
        for network in [args.network] if args.network else networks:
            module = NETWORKS[name] if network == "of_the_data" else network
            size = 299 if (args.of, name) == ("lstm-3", "mini_webvision") else SIZES.get(name, 224)
            common = {
                "module": module,
                "parameters": parameters | shorter if parameters else {},
                "detection": detection if args.of.startswith("lstm") else {},
                "remove": LSTM["remove"],
                "batch_size": (parameters or detection)["batch_size"],
                "noise": float(rate or (0.2 if name == "cub" else 0)),
                "size": args.size or size,
                "limit": args.limit,
                "precision": args.precision,
            }
            made += [
                {"of": args.of, "dataset": dataset, "method": method, "seed": seed, **common}
                for method in methods
                for seed in args.seeds
            ]
    return made


def main() -> None:
    parser = cifar.command_line(__doc__, out="photographs.jsonl", files="")
    parser.add_argument("--of", choices=list(TABLES), help="table of a paper")
    every = list(dict.fromkeys(name for names, _, _ in TABLES.values() for name in names))
    parser.add_argument("--datasets", nargs="+", choices=every, help="of those of the table")
    parser.add_argument("--epochs", type=int, help="in place of the papers'")
    parser.add_argument("--network", help="another one of torchvision, in place of the papers'")
    parser.add_argument("--size", type=int, help="pixels, in place of the papers'")
    parser.add_argument("--table", action="store_true", help="only print --out")
    args = cifar.parse(parser)
    if not args.table:
        if args.of is None:
            parser.error("--of is needed")
        cifar.train_missing(run, configurations(args), args)
    print(table(cifar.read(args.out)))


if __name__ == "__main__":
    main()
