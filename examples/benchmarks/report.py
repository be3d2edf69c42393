"""What every benchmark states: the machine, the versions, and a table saved beside its data."""

from __future__ import annotations

import json
import platform
from importlib.metadata import version
from pathlib import Path

import torch

RESULTS = Path(__file__).parent / "results"


def machine() -> dict:
    """Name the processor, the device, the threads and the versions."""
    cpu = platform.processor() or platform.machine()
    if Path("/proc/cpuinfo").exists():
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        cpu = next((s.split(":")[1].strip() for s in lines if s.startswith("model name")), cpu)
    return {
        "cpu": cpu,
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        **{name: version(name) for name in ("noisyfit", "torch", "skorch", "scikit-learn")},
    }


def markdown(head: list[str], rows: list[list]) -> str:
    """Lay out a Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def measured_with(where: dict) -> str:
    """Say in a line what `machine` named."""
    stated = ", ".join(f"{key} {value}" for key, value in where.items() if value is not None)
    return f"Measured with {stated}."


def save(name: str, text: str, data: dict) -> None:
    """Print a report, and save it as results/NAME.md with its data as results/NAME.json."""
    RESULTS.mkdir(exist_ok=True)
    where = machine()
    text = f"{text}\n\n{measured_with(where)}\n"
    print(text)
    (RESULTS / f"{name}.md").write_text(text)
    (RESULTS / f"{name}.json").write_text(json.dumps({"machine": where, **data}, indent=1) + "\n")
