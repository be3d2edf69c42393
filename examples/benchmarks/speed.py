"""How fast is noisyfit on this machine? One command, one table and one JSON file.

Parts, each in a process of its own:

- engine: an epoch of `NoisyNet`, with and without recording, against a hand-written torch loop with
  the same settings and against stock skorch, on an MLP, a small conv net and a residual network;
- utilisation: floating-point operations a second of training those networks, as a share of what
  large matrix products reach in the same run;
- scores: time to noise scores against cleanlab on 5-fold out-of-fold probabilities of the same
  network and epochs, and how well each ranks the wrong labels;
- recording: `DynamicsRecorder` against the ``update`` of the aum package;
- steps: a step of DLTClassifier and of MetaRelabelClassifier against a plain step;
- streaming: rows read by worker processes against rows that lie in memory;
- growth: time and memory against rows, epochs and classes, with the fitted exponent.

Variants are measured in turn, in an order that is drawn anew for each repetition; ratios are
medians over the repetitions. On a CPU seconds are those of the processor, since the machine may be
shared, except where worker processes take part; on a GPU they are those of the clock.

    OMP_NUM_THREADS=1 python examples/benchmarks/speed.py

writes results/speed_cpu.md and .json (or speed_cuda), part by part: one that was measured is kept,
and measured anew when it is named in --parts.
"""

from __future__ import annotations

import argparse
import importlib
import json
import multiprocessing
from concurrent.futures import ProcessPoolExecutor

from report import RESULTS, machine, measured_with

from noisyfit.training import resolve_device

#: Part -> module and function(device, scale); scale 1 is the full measurement.
PARTS = {
    "engine": ("speed_engine", "engine"),
    "utilisation": ("speed_engine", "utilisation"),
    "scores": ("speed_scores", "scores"),
    "recording": ("speed_scores", "recording"),
    "steps": ("speed_steps", "steps"),
    "streaming": ("speed_steps", "streaming"),
    "growth": ("speed_growth", "growth"),
}


def measure(part: str, device: str, scale: float, left_out: list[str]) -> dict:
    """Measure one part: its text, its figures and the machine."""
    module, function = PARTS[part]
    more = (left_out,) if part == "engine" else ()
    text, figures = getattr(importlib.import_module(module), function)(device, scale, *more)
    return {"text": text, "figures": figures, "machine": machine()}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--parts", nargs="+", choices=list(PARTS), default=None)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--scale", type=float, default=1.0, help="of the number of repetitions")
    parser.add_argument(
        "--leave-out",
        nargs="+",
        choices=["torch.compile", "stock skorch"],
        default=[],
        help="of the engine's table, what takes longest",
    )
    args = parser.parse_args()
    device = resolve_device(args.device).type
    path = RESULTS / f"speed_{device}.json"
    done = json.loads(path.read_text()) if path.exists() else {}
    context = multiprocessing.get_context("spawn")
    for part in args.parts or [part for part in PARTS if part not in done]:
        with ProcessPoolExecutor(1, mp_context=context) as pool:
            done[part] = pool.submit(measure, part, device, args.scale, args.leave_out).result()
        print(f"## {part}\n\n{done[part]['text']}\n", flush=True)
        path.write_text(json.dumps(done, indent=1) + "\n")
        path.with_suffix(".md").write_text(
            "\n".join(
                f"## {name}\n\n{done[name]['text']}\n\n{measured_with(done[name]['machine'])}\n"
                for name in PARTS
                if name in done
            )
        )


if __name__ == "__main__":
    main()
