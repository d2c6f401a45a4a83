"""Draw who imports whom in skts, from the code's own imports: `python docs/draw_architecture.py OUT.svg`."""

import ast
import sys
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

import skts

ROOT = Path(skts.__file__).parent

# What each part is for; its place is computed from the imports.
PURPOSE = {
    "testing": "contracts of an estimator",
    "inspection": "displays, compare",
    "persistence": "save, load",
    "fmamba": "FMambaForecaster",
    "interop": "sktime's side",
    "base": "module to estimator",
    "engine": "training (skorch)",
    "nn": "shared blocks (torch)",
    "datasets": "loaders, generators",
    "metrics": "scorers",
    "validation": "checks of input",
    "errors": "errors in three parts",
}


def part_of(module: str) -> str | None:
    """The part of the house that a dotted name belongs to."""
    pieces = module.split(".")
    return pieces[1] if pieces[0] == "skts" and len(pieces) > 1 and pieces[1] in PURPOSE else None


def imports() -> dict[str, set[str]]:
    """Part -> parts that it imports."""
    found: dict[str, set[str]] = {part: set() for part in PURPOSE}
    for path in ROOT.rglob("*.py"):
        name = path.relative_to(ROOT).with_suffix("").parts[0]
        if name not in PURPOSE:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            names = (
                [node.module]
                if isinstance(node, ast.ImportFrom) and node.module
                else [alias.name for alias in node.names]
                if isinstance(node, ast.Import)
                else []
            )
            found[name] |= {part for part in map(part_of, names) if part and part != name}
    return found


def levels(found: dict[str, set[str]]) -> dict[str, int]:
    """Height of each part: one above the highest part that it imports. A cycle is an error."""
    heights: dict[str, int] = {}

    def height(part: str, path: tuple[str, ...]) -> int:
        assert part not in path, f"import cycle: {' -> '.join((*path, part))}"
        if part not in heights:
            heights[part] = 1 + max((height(other, (*path, part)) for other in found[part]), default=-1)
        return heights[part]

    for part in found:
        height(part, ())
    return heights


def direct(found: dict[str, set[str]]) -> dict[str, set[str]]:
    """Only the imports that no chain of others implies: the picture stays readable, the order is the same."""

    def reach(part: str) -> set[str]:
        return found[part] | {far for other in found[part] for far in reach(other)}

    return {part: {o for o in others if not any(o in reach(p) for p in others - {o})} for part, others in found.items()}


def draw(out: Path) -> None:
    """Boxes by level, arrows from a part to what it imports."""
    found = imports()
    heights = levels(found)
    found = direct(found)
    rows: dict[int, list[str]] = {}
    for part in PURPOSE:
        rows.setdefault(heights[part], []).append(part)
    figure, ax = plt.subplots(figsize=(9, 1.15 * len(rows) + 0.4))
    place = {}
    for y, row in rows.items():
        for i, part in enumerate(row):
            place[part] = (((i + 0.5) / len(row)) * 9.0, y * 1.2)
    for part, others in found.items():
        for other in others:
            (x0, y0), (x1, y1) = place[part], place[other]
            arrow = FancyArrowPatch(
                (x0, y0 - 0.28), (x1, y1 + 0.28), arrowstyle="-|>", mutation_scale=9, color="#7a8794", lw=0.9
            )
            ax.add_patch(arrow)
    for part, (x, y) in place.items():
        family = part == "fmamba"
        box = FancyBboxPatch(
            (x - 0.85, y - 0.27), 1.7, 0.54, boxstyle="round,pad=0.02,rounding_size=0.08", lw=1.1,
            facecolor="#d7e8f5" if family else "#f3f5f7", edgecolor="#0072b2" if family else "#55606b",
        )  # fmt: skip
        ax.add_patch(box)
        ax.text(x, y + 0.09, part, ha="center", va="center", fontsize=10, fontweight="bold")
        ax.text(x, y - 0.12, PURPOSE[part], ha="center", va="center", fontsize=7.5)
    ax.set(xlim=(0, 9), ylim=(-0.5, max(rows) * 1.2 + 0.5))
    ax.axis("off")
    figure.savefig(out, bbox_inches="tight", metadata={"Date": None})
    figure.savefig(out.with_suffix(".png"), bbox_inches="tight", dpi=110)
    plt.close(figure)


if __name__ == "__main__":
    draw(Path(sys.argv[1] if len(sys.argv) > 1 else "architecture.svg"))
