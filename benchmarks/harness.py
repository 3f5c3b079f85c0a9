"""What every benchmark shares: interleaved rounds, medians, one table, one line of JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True)
class Contender:
    """Something to time: ``run`` does one round and returns its seconds."""

    name: str
    run: Callable[[], float]


@dataclass(frozen=True)
class Figure:
    """A measured value and the target it is held against."""

    name: str
    value: float
    target: float
    higher_is_better: bool
    meaning: str

    @property
    def ok(self) -> bool:
        """Whether the target is met."""
        if self.higher_is_better:
            return self.value >= self.target
        return self.value <= self.target


def measure(
    contenders: Sequence[Contender], rounds: int, before_each: Callable[[], None]
) -> dict[str, list[float]]:
    """Seconds of each contender in each round.

    Rounds are interleaved and begin with another contender each time, so that what the machine
    does meanwhile falls on all alike.

    Args:
        contenders: What to time.
        rounds: How often.
        before_each: Brings the machine to the same state; not timed.
    """
    seconds: dict[str, list[float]] = {contender.name: [] for contender in contenders}
    for number in range(rounds):
        first = number % len(contenders)
        for contender in (*contenders[first:], *contenders[:first]):
            before_each()
            seconds[contender.name].append(contender.run())
    return seconds


def medians(seconds: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """The median of each contender's rounds."""
    return {name: median(values) for name, values in seconds.items()}


def report(
    name: str,
    seconds: Mapping[str, Sequence[float]],
    figures: Sequence[Figure],
    notes: Sequence[str],
) -> int:
    """Print times, figures and notes, then one line of JSON.

    Returns:
        The exit code: 0 only when every figure meets its target.
    """
    console = Console()
    console.print(_times(name, seconds))
    console.print(_targets(figures))
    for note in notes:
        console.print(f"- {note}", highlight=False, markup=False, soft_wrap=True)
    summary = {
        figure.name: {"value": round(figure.value, 3), "target": figure.target, "ok": figure.ok}
        for figure in figures
    }
    print(json.dumps({"bench": name, "figures": summary}), flush=True)
    return 0 if all(figure.ok for figure in figures) else 1


def _times(name: str, seconds: Mapping[str, Sequence[float]]) -> Table:
    table = Table(title=f"{name}: seconds")
    table.add_column("contender")
    for heading in ("median", "least", "most"):
        table.add_column(heading, justify="right")
    for contender, values in seconds.items():
        spread = (median(values), min(values), max(values))
        table.add_row(contender, *(f"{value:.2f}" for value in spread))
    return table


def _targets(figures: Sequence[Figure]) -> Table:
    table = Table(title="figures")
    table.add_column("figure")
    table.add_column("value", justify="right")
    table.add_column("target", justify="right")
    table.add_column("met")
    table.add_column("meaning")
    for figure in figures:
        sign = "≥" if figure.higher_is_better else "≤"
        met = "yes" if figure.ok else "no"
        table.add_row(
            figure.name, f"{figure.value:.2f}", f"{sign} {figure.target:g}", met, figure.meaning
        )
    return table
