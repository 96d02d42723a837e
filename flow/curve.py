"""A search as text and as a picture: accuracy against size."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .compress import Compression

__all__ = ["draw_curve", "report_text"]


def report_text(found: "Compression") -> str:
    """The steps as a table, the layers of the chosen model, and what came of the budget."""
    head = "step  density  bits  accuracy       bytes   ratio     cycles"
    lines = [f"{found.graph.name}: budget {found.budget}", "", head]
    for step in found.steps:
        mark = "  <- chosen" if step is found.best else ""
        lines.append(
            f"{step.number:>4} {step.density:>8.2%} {step.mean_bits:>5.2f} {step.accuracy:>9.2%} "
            f"{step.bytes:>11,} {step.ratio:>7.1f} {step.cycles:>10,}{mark}"
        )
    head = "layer                        weights    kept  values   code    run  entropy      bytes"
    lines += ["", head]
    for layer in found.best.layers:
        kept = max(1, layer["nonzeros"])
        lines.append(
            f"{layer['name'][:24]:<24} {layer['weights']:>11,} "
            f"{layer['nonzeros'] / layer['weights']:>7.2%} {layer['distinct_weights']:>7} "
            f"{layer['code_bits'] / kept:>6.2f} {layer['run_bits'] / kept:>6.2f} "
            f"{layer['entropy_bits'] / kept:>8.2f} "
            f"{layer['rom_bits'] // 8:>10,}"
        )
    lines += [
        "",
        "code and run: bits for each weight that is not zero; where one word stands for",
        "both, they are the code's; entropy: what codes of single ones cannot go below",
        "",
    ]
    lines.append(f"accuracy as given, in floats: {found.float_accuracy:.2%}")
    if found.test_accuracy is not None:
        lines.append(f"accuracy on the test samples: {found.test_accuracy:.2%}")
    return "\n".join([*lines, found.message, ""])


def draw_curve(found: "Compression", path: Path) -> None:
    """Accuracy against the bytes of the image, as SVG; the same search gives the same file."""
    import matplotlib

    matplotlib.use("Agg")
    matplotlib.rcParams["svg.hashsalt"] = "prunus"
    from matplotlib import pyplot

    steps = sorted(found.steps, key=lambda step: step.bytes)
    figure, axes = pyplot.subplots(figsize=(7, 4.5))
    try:
        axes.plot([s.bytes for s in steps], [100 * s.accuracy for s in steps], "-", color="#9aa5ad")
        for step in steps:
            best = step is found.best
            color = "#8e2a5b" if best else "#d27ba3"
            axes.plot([step.bytes], [100 * step.accuracy], "o", ms=9 if best else 6, color=color)
            label = f"{step.density:.1%}, {step.mean_bits:.1f} bit"
            axes.annotate(label, (step.bytes, 100 * step.accuracy), fontsize=8,
                          textcoords="offset points", xytext=(6, -12))  # fmt: skip
        if found.budget.kind == "size":
            axes.axvline(found.budget.value, color="#23794a", ls="--", lw=1)
        elif found.budget.kind == "accuracy":
            axes.axhline(100 * found.budget.value, color="#23794a", ls="--", lw=1)
        axes.set_xscale("log")
        axes.set_xlabel("bytes of the ROM image")
        axes.set_ylabel("accuracy on held-out samples, %")
        axes.set_title(f"{found.graph.name}: {found.best.ratio:.1f} times smaller", loc="left")
        axes.spines[["top", "right"]].set_visible(False)
        figure.tight_layout()
        figure.savefig(path, format=path.suffix[1:], metadata={"Date": None})
    finally:
        pyplot.close(figure)
