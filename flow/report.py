"""A page about a build: one HTML file that needs nothing else."""

import dataclasses
import json
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path
from typing import Any

from prunus.boards.estimate import memories
from prunus.hw import image as container
from prunus.hw.config import Config

from .build import Build, LayerReport

__all__ = ["read_simulation", "report_html"]

STYLE = """
:root { --ink: #1d2327; --soft: #667079; --line: #dfe3e6; --paper: #fff; --card: #f6f7f8;
  --a: #8e2a5b; --b: #d27ba3; --c: #e9c46a; --d: #9aa5ad; --good: #23794a; --bad: #b3261e; }
@media (prefers-color-scheme: dark) { :root { --ink: #e8eaec; --soft: #9ba5ad; --line: #333a40;
  --paper: #15191c; --card: #1e2428; --a: #d4638f; --b: #8e4a6b; --good: #5cc48a;
  --bad: #ff8a80; } }
* { box-sizing: border-box; }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper);
  max-width: 62rem; margin: 2rem auto; padding: 0 1.25rem; }
h1 { margin: 0; font-size: 1.7rem; } h2 { margin: 2.2rem 0 .6rem; font-size: 1.15rem; }
p { color: var(--soft); margin: .3rem 0; }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(9rem, 1fr)); gap: .7rem;
  margin-top: 1.2rem; }
.card { background: var(--card); border-radius: .5rem; padding: .7rem .9rem; }
.card b { display: block; font-size: 1.35rem; } .card span { color: var(--soft); }
.good { color: var(--good); } .bad { color: var(--bad); }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th { text-align: left; color: var(--soft); font-weight: 500; }
th, td { padding: .3rem .6rem .3rem 0; border-bottom: 1px solid var(--line); white-space: nowrap; }
td.n, th.n { text-align: right; } td.bar { width: 34%; min-width: 9rem; }
.track { display: flex; height: .8rem; border-radius: .2rem; overflow: hidden; }
.track i { display: block; height: 100%; }
.a { background: var(--a); } .b { background: var(--b); } .c { background: var(--c); }
.d { background: var(--d); } .key { display: inline-block; width: .8rem; height: .8rem;
  border-radius: .2rem; margin: 0 .3rem 0 .9rem; vertical-align: -.08rem; }
"""


def read_simulation(folder: Path) -> dict[str, Any] | None:
    """The figures of the last simulation of a build directory; None when there are none."""
    try:
        found = json.loads((folder / "simulation.json").read_text())
        complete = found["cycles"] and {"samples", "bit_exact", "layers"} <= found.keys()
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return found if complete else None


def report_html(build: Build, simulation: dict[str, Any] | None = None) -> str:
    """The page; ``simulation`` is what :meth:`prunus.flow.simulate.Simulation.summary` gives."""
    name = escape(build.graph.name)
    parts = [_head(build, simulation), _layers(build), _rom(build)]
    if simulation is not None:
        parts.append(_simulation(simulation))
    parts += [_memories(build.config), _configuration(build)]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{name} - Prunus</title><style>{STYLE}</style></head>\n<body>\n"
        + "\n".join(parts)
        + "\n</body></html>\n"
    )


def _head(build: Build, simulation: dict[str, Any] | None) -> str:
    cards = [
        (f"{build.compression_ratio:.1f} x", "smaller than float32"),
        (f"{build.rom_bytes:,}", "bytes of ROM"),
        (f"{build.macs:,}", "multiplications"),
        (f"{_multipliers(build.config):,}", "multiplications a cycle, at most"),
    ]
    if simulation is not None:
        cycles = simulation["cycles"]
        cards.append((f"{sum(cycles) / len(cycles):,.0f}", "cycles an inference"))
        exact = bool(simulation["bit_exact"])
        mark = f'<span class="{"good" if exact else "bad"}">{"yes" if exact else "no"}</span>'
        cards.append((mark, f"bit-exact, {simulation['samples']:,} samples"))
    drawn = "".join(f'<div class="card"><b>{a}</b><span>{b}</span></div>' for a, b in cards)
    changed = "No weight was changed." if build.lossless else "Weights were changed."
    settings = ", ".join(f"{k} {v}" for k, v in build.settings.items() if v is not None)
    said = f"{changed} {escape(settings)}".strip()
    return f'<h1>{escape(build.graph.name)}</h1><p>{said}</p><div class="cards">{drawn}</div>'


def _multipliers(config: Config) -> int:
    """Multiplications that the EIE and the systolic array can do in a cycle, one at a time."""
    return max(config.pes, config.act_word * config.tile_outputs)


def _layers(build: Build) -> str:
    largest = max(1, *(layer.rom_bits for layer in build.layers))
    rows = []
    for layer in build.layers:
        rom = layer.rom
        rest = rom.rom_bits - rom.code_bits - rom.run_bits - rom.table_bits
        parts = (rom.code_bits, rom.run_bits, rom.table_bits, rest)
        rows.append((
            layer.name, layer.op, layer.engine, *_weights(layer), f"{layer.cycles:,}",
            _others(layer), f"{rom.rom_bits / 8:,.0f}", _bar(parts, largest),
        ))  # fmt: skip
    titles = (
        "layer", "operator", "engine", "storage", "weights", "kept", "values",
        "entropy/weight", "codes and runs/weight", "bits/weight",
        "predicted cycles", "on other engines", "bytes",
    )  # fmt: skip
    key = "".join(
        f'<span class="key {c}"></span>{text}'
        for c, text in zip(
            "abcd", ("codes", "runs", "tables", "biases, records, program"), strict=True
        )
    )
    right = (*range(4, 11), 12)
    return f"<h2>Layers</h2><p>{key}</p>" + _table((*titles, "ROM"), rows, right=right)


def _weights(layer: LayerReport) -> tuple[str, ...]:
    """How a layer's weights are stored, their number, and what they cost; nothing without any."""
    if not layer.weights:
        return ("",) * 7
    coded = layer.rom.code_bits + layer.rom.run_bits
    return (
        "dense" if layer.dense else "sparse",
        f"{layer.weights:,}",
        f"{layer.nonzeros / layer.weights:.1%}",
        f"{layer.distinct}",
        f"{layer.rom.entropy_bits / layer.weights:.3f}",
        f"{coded / layer.weights:.3f}",
        f"{layer.rom_bits / layer.weights:.2f}",
    )


def _others(layer: LayerReport) -> str:
    """What a layer would take on the other engines that could do it."""
    others = {name: n for name, n in layer.costs.items() if name != layer.engine}
    return ", ".join(f"{name} {n:,}" for name, n in others.items())


def _rom(build: Build) -> str:
    sizes = {kind: 0 for kind in container.Kind}
    for section in container.unpack(build.image, build.config.hash):
        sizes[section.kind] += len(section.payload) + 8
    used = [(kind.name.lower(), size) for kind, size in sizes.items() if size]
    used.append(("header", container.HEADER_BYTES))
    largest = max(size for _, size in used)
    rows = [
        (name, f"{size:,}", f"{size / build.rom_bytes:.1%}", _bar((size,), largest))
        for name, size in used
    ]
    return "<h2>ROM image</h2>" + _table(("section", "bytes", "share", ""), rows, right=(1, 2))


def _simulation(simulation: dict[str, Any]) -> str:
    cycles = simulation["cycles"]
    layers = simulation["layers"]
    largest = max((layer["cycles"] for layer in layers), default=1) or 1
    rows = [
        (
            str(layer["name"]), str(layer["engine"]), f"{layer['cycles']:,.0f}",
            f"{layer['utilization']:.1%}",
            _bar((layer["utilization"] * layer["cycles"],
                  (1 - layer["utilization"]) * layer["cycles"]), largest),
        )
        for layer in layers
    ]  # fmt: skip
    loading = simulation.get("load_cycles")
    said = (
        f"{min(cycles):,} to {max(cycles):,} cycles an inference"
        + (f", {loading:,} to load and decode the image" if loading else "")
        + '. <span class="key a"></span>work<span class="key b"></span>waiting, padding, draining'
    )
    titles = ("layer", "engine", "cycles", "utilization", "")
    return f"<h2>Simulation</h2><p>{said}</p>" + _table(titles, rows, right=(2, 3))


def _memories(config: Config) -> str:
    found = memories(config, 0)
    largest = max(count * width * depth for count, width, depth in found.values())
    rows = [
        (
            name, f"{count:,}", f"{depth:,} x {width}", f"{count * width * depth / 1024:,.1f}",
            _bar((count * width * depth,), largest),
        )
        for name, (count, width, depth) in found.items()
    ]  # fmt: skip
    titles = ("memory", "count", "words x bits", "kbit", "")
    said = "<p>The image is not among them: it is in flash, in block RAM or with the host.</p>"
    return "<h2>Memories</h2>" + said + _table(titles, rows, right=(1, 2, 3))


def _configuration(build: Build) -> str:
    rows = [(name, str(value)) for name, value in dataclasses.asdict(build.config).items()]
    rows.append(("hash", f"{build.config.hash:08x}"))
    return "<h2>Configuration</h2>" + _table(("parameter", "value"), rows, right=(1,))


class _Html(str):
    """Text that is markup already."""


def _bar(parts: Sequence[float], whole: float) -> _Html:
    shares = "".join(
        f'<i class="{c}" style="width:{100 * part / whole:.2f}%"></i>'
        for c, part in zip("abcd", parts, strict=False)
    )
    return _Html(f'<div class="track">{shares}</div>')


def _table(titles: Sequence[str], rows: Sequence[Sequence[str]], right: Iterable[int] = ()) -> str:
    numeric = set(right)

    def cell(tag: str, column: int, text: str) -> str:
        kind = "bar" if isinstance(text, _Html) else "n" if column in numeric else ""
        inner = text if isinstance(text, _Html) else escape(text)
        return f'<{tag} class="{kind}">{inner}</{tag}>'

    lines = [
        "<tr>" + "".join(cell(tag, n, text) for n, text in enumerate(row)) + "</tr>"
        for tag, row in [("th", titles), *(("td", row) for row in rows)]
    ]
    return '<div class="wide"><table>' + "\n".join(lines) + "</table></div>"
