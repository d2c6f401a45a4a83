"""How large a network of the paper is: the five released factories, and what the shapes of a checkpoint tell.

Source: T. Li, Q. Sun, L. Fan, K. He, "Fractal Generative Models", 2025, https://arxiv.org/abs/2502.17437
"""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace

from skts.errors import ParameterError, PersistenceError

__all__ = ["FACTORIES", "METADATA", "PaperConfig", "config_of"]

METADATA = "skts.fractal.paper"  # where a safetensors file keeps the configuration as JSON


@dataclass(frozen=True)
class PaperConfig:
    """Sizes of a fractal network for square RGB images.

    Parameters
    ----------
    kind : {"ar", "mar"}
        The generator of all levels: causal in raster order, or masked in any order.
    sides : tuple of int
        Side of a block at each level in pixels, the image first and 1 last: (64, 4, 1).
    dims, blocks, heads : tuple of int
        Width, transformer blocks and attention heads, one for each level and one for the pixel head.
    guiding : bool, default=False
        Levels below the first model the mean colour of their block before its patches. Needs "mar".
    n_classes : int, default=1000
        Classes that a vector is learned for.
    dropout : float, default=0.1
        In training only.
    label_drop : float, default=0.1
        Share of training labels that the null vector replaces.
    red_weight : float, default=5.0
        Weight of the red channel in the training loss, against 1 of green and of blue.

    Raises
    ------
    ParameterError
        If the parts do not fit each other.
    """

    kind: str
    sides: tuple[int, ...]
    dims: tuple[int, ...]
    blocks: tuple[int, ...]
    heads: tuple[int, ...]
    guiding: bool = False
    n_classes: int = 1000
    dropout: float = 0.1
    label_drop: float = 0.1
    red_weight: float = 5.0

    def __post_init__(self) -> None:
        problem = _problem(self)
        if problem:
            hint = "Take one of skts.fractal.paper.FACTORIES, or change this part of the configuration."
            raise ParameterError("a fractal network whose parts fit each other", problem, hint)

    @property
    def n_levels(self) -> int:
        """Generators above the pixel head."""
        return len(self.sides) - 1

    @property
    def n_conds(self) -> int:
        """Condition vectors that a block receives: its own, and those of its four neighbours with "mar"."""
        return 1 if self.kind == "ar" else 5

    @property
    def n_patches(self) -> tuple[int, ...]:
        """Children of a block at each level (k)."""
        return tuple((s // t) ** 2 for s, t in zip(self.sides, self.sides[1:], strict=False))

    def guided(self, level: int) -> bool:
        """Whether a level models the mean colour of its blocks."""
        return self.guiding and level > 0

    def to_json(self) -> str:
        """Text that `from_json` reads."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "PaperConfig":
        """Read what `to_json` wrote."""
        return cls(**{k: tuple(v) if isinstance(v, list) else v for k, v in json.loads(text).items()})


def _problem(c: PaperConfig) -> str | None:
    """What is wrong with a configuration."""
    if c.kind not in ("ar", "mar"):
        return f"kind={c.kind!r}, neither 'ar' nor 'mar'"
    if len(c.sides) < 2 or c.sides[-1] != 1 or any(s % t or s == t for s, t in zip(c.sides, c.sides[1:], strict=False)):
        return f"sides={c.sides}, which do not divide each other down to 1"
    if {len(c.dims), len(c.blocks), len(c.heads)} != {len(c.sides)}:
        return f"sides={c.sides} beside dims={c.dims}, blocks={c.blocks}, heads={c.heads} of other lengths"
    if any(d % h for d, h in zip(c.dims, c.heads, strict=True)):
        return f"dims={c.dims}, which heads={c.heads} do not divide"
    if c.kind == "ar" and any((d // h) % 4 for d, h in zip(c.dims[:-1], c.heads[:-1], strict=True)):
        return f"dims={c.dims} over heads={c.heads}: a width of a head that 4 does not divide, as rotary places need"
    if c.kind == "ar" and c.guiding:
        return "guiding pixels with kind='ar'"
    return None


def _mar(sides: tuple[int, ...], dims: tuple[int, ...], blocks: tuple[int, ...], heads: tuple[int, ...]) -> PaperConfig:
    return PaperConfig("mar", sides, dims, blocks, heads, guiding=len(sides) > 3)


# The released networks, by the names of their factories.
FACTORIES: dict[str, PaperConfig] = {
    "fractalar_in64": PaperConfig("ar", (64, 4, 1), (1024, 512, 128), (32, 8, 3), (16, 8, 4)),
    "fractalmar_in64": _mar((64, 4, 1), (1024, 512, 128), (32, 8, 3), (16, 8, 4)),
    "fractalmar_base_in256": _mar((256, 16, 4, 1), (768, 384, 192, 64), (24, 6, 3, 1), (12, 6, 3, 4)),
    "fractalmar_large_in256": _mar((256, 16, 4, 1), (1024, 512, 256, 64), (32, 8, 4, 1), (16, 8, 4, 4)),
    "fractalmar_huge_in256": _mar((256, 16, 4, 1), (1280, 640, 320, 64), (40, 10, 5, 1), (16, 8, 4, 4)),
}


def config_of(shapes: Mapping[str, tuple[int, ...]], heads: tuple[int, ...] | None = None) -> PaperConfig:
    """Read the configuration off the tensors of an official checkpoint.

    Everything but the attention heads shows in a shape. The heads are those given, else those of the released network
    that agrees in all the rest.

    Parameters
    ----------
    shapes : dict of str to tuple of int
        Shape of each tensor by its official name.
    heads : tuple of int, optional
        Attention heads of each level and of the pixel head.

    Returns
    -------
    PaperConfig

    Raises
    ------
    PersistenceError
        If these are not the tensors of a fractal network, or the heads are not known.
    """
    try:
        found = _read(shapes)
    except (KeyError, IndexError, ValueError) as error:
        got = f"no usable {error}, with {sorted(shapes)[:3]}"
        raise PersistenceError(
            "the tensors of a fractal network", got, "Pass the weights of FractalAR or MAR."
        ) from error
    if heads is not None:
        return replace(found, heads=tuple(heads))
    for known in FACTORIES.values():
        if (known.dims, known.sides) == (found.dims, found.sides):
            named = replace(found, heads=known.heads)
            if named == replace(known, n_classes=found.n_classes):
                return named
    got = f"{found.kind} with sides {found.sides}, dims {found.dims}, blocks {found.blocks}"
    hint = "No shape tells the attention heads: pass heads=(...), one for each level and one for the pixel head."
    raise PersistenceError(f"the sizes of a released network ({', '.join(FACTORIES)})", got, hint)


def _read(shapes: Mapping[str, tuple[int, ...]]) -> PaperConfig:
    """A configuration with one head everywhere."""
    kind = "mar" if "generator.mask_token" in shapes else "ar"
    sides, dims, blocks, prefix = [1], [], [], ""
    guiding = any(key.endswith("generator.pix_proj.weight") for key in shapes)
    ks, patch_sides = [], []
    while f"{prefix}generator.norm.weight" in shapes:
        dims.append(shapes[f"{prefix}generator.norm.weight"][0])
        blocks.append(_count(shapes, f"{prefix}generator.blocks."))
        patch_sides.append(math.isqrt(shapes[f"{prefix}generator.patch_emb.weight"][1] // 3))
        surplus = (1 if kind == "ar" else 5) + (f"{prefix}generator.pix_proj.weight" in shapes)
        ks.append(shapes[f"{prefix}generator.pos_embed_learned"][1] - surplus)
        prefix += "next_fractal."
    sides = [patch_sides[0] * math.isqrt(ks[0]), *patch_sides]
    dims.append(shapes[f"{prefix}cond_proj.weight"][0])
    blocks.append(_count(shapes, f"{prefix}blocks."))
    ones = (1,) * len(dims)
    n_classes = shapes["class_emb.weight"][0]
    # One head keeps every check of the widths satisfied until the true numbers are known.
    return PaperConfig(kind, tuple(sides), tuple(dims), tuple(blocks), ones, guiding, n_classes)


def _count(shapes: Mapping[str, tuple[int, ...]], prefix: str) -> int:
    return len({key.removeprefix(prefix).split(".")[0] for key in shapes if key.startswith(prefix)})
