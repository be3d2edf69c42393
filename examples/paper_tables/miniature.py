"""The papers' tables in miniature: small images on which a small network memorises wrong labels.

CIFAR-10 averaged to 16 x 16 pixels, 5,000 training images, `ConvNet(width=16)`, batches of 64, a
learning rate of 0.05 with a cosine, momentum 0.9, no weight decay, no augmentation, 24 epochs of
training for every method (MILD: rounds of 12, 6 and 6). Plain training then fits nearly every wrong
label, so that there is something to protect a network from; at the sizes that people use on a CPU,
with crops and weight decay, it does not. A fit takes half a minute to a few minutes of one core.

    python examples/paper_tables/miniature.py --data DIR --tables main --seeds 0 1 2
    python examples/paper_tables/miniature.py --table

--help says what DIR holds. --tables are: "main", each method beside plain training and the oracle,
which has the rows with a right label only (Tables 1 of the four papers, 6 and 7 of MILD, 3 of IEG,
5 of DLT); "semi", methods that use the rejected rows without their labels (MILD-MM, MILD-MUCL,
DivideMix, and DLT*, Table 4 of DLT); "mild", its ablations (Tables 4, 5 and 8); "dlt", the
threshold of the last epoch beside the window (Table 1); "meta", the ablations of IEG (Table 9), its
method with the trusted labels alone (Table 8) and its consistency weight of 20; "debug", DivideMix
after 5 and 10 % of the labels were put right (Table 3 of the LSTM paper).

Reported are the accuracy after the last epoch on the 10,000 test images, and that of the epoch with
the best accuracy on 1,000 *noisy* validation labels, on 2,000 of them. "symmetric" draws from all
ten classes; the realised proportion of wrong labels stands in the table. DLT and the paper's
ablations with a fixed ratio are told a number, as in their papers: DLT that proportion, MILD to
keep 0.9. IEG has ten trusted images of each class, and for its two views crops, flips and cutout,
which the others do not have. Methods are by themselves: no judges (``judge_epochs=0``).
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import cifar
import numpy as np
from miniature_methods import ABLATIONS, METHODS, fit
from miniature_tables import tables

from noisyfit.training import resolve_device

if TYPE_CHECKING:
    import argparse

FILES = """
DIR holds torchvision's ``cifar-10-batches-py`` or ``cifar10_jpeg_full.npz``. A finished result is
one JSON line in --out; a run that is called again skips what is there.
"""
SYMMETRIC = ["symmetric-0.2", "symmetric-0.4", "symmetric-0.6", "symmetric-0.8"]
HALVES = ["symmetric-0.2", "symmetric-0.5", "symmetric-0.8"]
# Table: what it takes, by setting.
TABLES = {
    "main": [
        (setting, method)
        for setting in [*SYMMETRIC, "asymmetric-0.4", "cifar10n-worst"]
        for method in ("recorded", "oracle", "mild", "dlt", "meta")
    ],
    "semi": [
        (setting, method)
        for setting in HALVES
        for method in (
            *("recorded", "oracle", "mild", "dlt"),
            *("mild_mm", "mild_mucl", "dividemix", "dividemix_dlt"),
        )
    ],
    "mild": [
        *[("symmetric-0.8", m) for m in ("mild", "memorisation", "full_ratio", "full")],
        *[("symmetric-0.2", m) for m in ("mild", "small_loss", "eigenvector")],
        *[(s, m) for s in HALVES for m in ("simple_ratio", "full_ratio")],
    ],
    "dlt": [
        (setting, method)
        for setting in [*SYMMETRIC[:3], "asymmetric-0.4"]
        for method in ("recorded", "dlt", "dlt_epoch", "dlt_estimated")
    ],
    "meta": [
        (setting, method)
        for setting in ("symmetric-0.4", "symmetric-0.8")
        for method in ("meta", "meta_k20", "meta_no_labels", *ABLATIONS, "M-10")
    ],
    "debug": [("symmetric-0.4", m) for m in ("dividemix", "dividemix_5", "dividemix_10")],
}


def split(config: dict, folder: str) -> cifar.Split:
    """Return the rows of a seed, images averaged over squares of two by two pixels."""
    rows = cifar.split(config, folder)
    images = ("X", "X_val", "X_test")
    return rows._replace(**{name: averaged(getattr(rows, name)) for name in images})


def averaged(x: np.ndarray) -> np.ndarray:
    """Average over squares of two by two pixels."""
    n, channels, height, width = x.shape
    squares = x.reshape(n, channels, height // 2, 2, width // 2, 2)
    return squares.mean(axis=(3, 5)).round().astype(np.uint8)


def run(config: dict, options: dict) -> dict:
    """Train once and return the result line."""
    cifar.use_threads(options)
    rows = split(config, options["data"])
    wrong = rows.given != rows.y
    name = f"{config['setting']} seed {config['seed']} {config['method']}"
    start, processor = time.time(), time.process_time()
    device = resolve_device(options["device"])
    measured, precision = fit(config, rows, device)
    processor = time.process_time() - processor
    print(name, f"{processor:.0f} s of the processor", shown(measured), flush=True)
    return {
        "config": config,
        "noise_rate": cifar.plain(wrong.mean()),
        "measured": measured,
        "processor_seconds": processor,
        **cifar.circumstances(options, start, device, precision),
    }


def shown(measured: dict) -> dict:
    return {name: round(found["last"], 4) for name, found in measured.items() if "last" in found}


def configurations(args: argparse.Namespace) -> list[dict]:
    """List all runs that the command line asks for, each once."""
    wanted = dict.fromkeys(pair for table in args.tables for pair in TABLES[table])
    return [
        {
            "setting": setting,
            "method": method,
            "seed": seed,
            "module": "ConvNet(width=16)",
            "batch_size": 64,
            "precision": args.precision,
            "n_train": args.limit or 5_000,
            "n_eval": args.limit or 10_000,
            "images": cifar.source(args.data, "cifar10") + ", 16 x 16",
        }
        for setting, method in wanted
        for seed in args.seeds
        if args.settings is None or setting in args.settings
        if args.methods is None or method in args.methods
    ]


def main() -> None:
    parser = cifar.command_line(__doc__, out="miniature.jsonl", files=FILES)
    parser.add_argument("--tables", nargs="+", choices=list(TABLES), default=list(TABLES))
    settings = dict.fromkeys(setting for table in TABLES.values() for setting, _ in table)
    parser.add_argument("--settings", nargs="+", choices=list(settings), metavar="NAME")
    parser.add_argument("--methods", nargs="+", choices=list(METHODS), metavar="NAME")
    parser.add_argument("--table", action="store_true", help="only print --out")
    parser.set_defaults(seeds=[0, 1, 2])
    args = cifar.parse(parser)
    if not args.table:
        cifar.train_missing(run, configurations(args), args)
    print(tables(cifar.read(args.out), TABLES))


if __name__ == "__main__":
    main()
