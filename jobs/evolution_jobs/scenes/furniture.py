"""What rooms are made of: the catalogue of furniture (sizes, places, colours, shapes), the palette and the room styles.

`rooms` chooses from it, `render` draws it. It is data: no placing, no drawing, no randomness. Any category, colour or
style may be left out of a room, which is how a model is pre-trained on some and meets the others later.
"""

from dataclasses import dataclass
from typing import Literal

from evolution_api.scene import Vector

Shape = Literal["box", "round", "taper", "ball", "wheel"]
"""round: upright cylinder; taper: upright cone cut at 0.45 of its base; wheel: cylinder along the depth."""
Place = Literal["wall", "floor", "top", "mounted"]
"""wall: back against a wall; floor: anywhere, turned at will; top: on a table or cabinet, else by a wall; mounted: on a wall."""
Range = tuple[float, float]


@dataclass(frozen=True)
class Part:
    """One primitive, in fractions of the object's box: x along its width, y from back (0) to front (1), z up."""

    shape: Shape
    low: Vector
    high: Vector
    paint: str | None = None
    """A colour of PALETTE; None means the object's own."""


@dataclass(frozen=True)
class Category:
    width: Range
    """Metres, along the wall."""
    depth: Range
    height: Range
    place: Place
    colours: tuple[str, ...]
    """Colour words that it comes in."""
    parts: tuple[Part, ...]
    """Together they touch all six sides of the unit box."""
    most: int = 1
    """Most instances in one room."""
    mount: Range = (0.0, 0.0)
    """Height of the lower edge above the floor where it hangs, metres."""
    clearance_m: float = 0.0
    """Free space that it needs before its front."""


@dataclass(frozen=True)
class Style:
    floor: str
    walls: str
    floor_pattern: Literal["plain", "planks", "tiles"]
    wall_pattern: Literal["plain", "stripes"]
    brightness: float


PALETTE: dict[str, Vector] = {
    "white": (0.95, 0.95, 0.93),
    "black": (0.10, 0.10, 0.11),
    "grey": (0.52, 0.53, 0.55),
    "red": (0.80, 0.12, 0.12),
    "green": (0.13, 0.55, 0.20),
    "blue": (0.15, 0.32, 0.82),
    "yellow": (0.96, 0.83, 0.16),
    "orange": (0.95, 0.50, 0.10),
    "purple": (0.50, 0.20, 0.62),
    "pink": (0.96, 0.52, 0.68),
    "brown": (0.45, 0.27, 0.13),
    "beige": (0.86, 0.76, 0.57),
    "teal": (0.06, 0.55, 0.55),
    "navy": (0.09, 0.12, 0.38),
    # Materials, not words that questions use.
    "wood": (0.60, 0.39, 0.20),
    "dark": (0.20, 0.18, 0.17),
    "steel": (0.70, 0.73, 0.77),
    "glass": (0.55, 0.80, 0.97),
    "water": (0.25, 0.72, 0.90),
    "screen": (0.16, 0.26, 0.50),
    "flame": (1.00, 0.55, 0.05),
    "brick": (0.62, 0.27, 0.20),
    "leaf": (0.16, 0.60, 0.16),
    "gold": (0.83, 0.64, 0.20),
    "card": (0.78, 0.60, 0.38),
    "oak": (0.72, 0.55, 0.36),
    "slate": (0.40, 0.43, 0.47),
    "sand": (0.82, 0.75, 0.62),
    "mint": (0.72, 0.88, 0.78),
    "sky": (0.70, 0.82, 0.93),
    "rose": (0.93, 0.78, 0.78),
    "cream": (0.95, 0.91, 0.80),
    "moss": (0.50, 0.56, 0.42),
    "plum": (0.52, 0.42, 0.52),
}


def _box(x0: float, x1: float, y0: float, y1: float, z0: float, z1: float, paint: str | None = None) -> Part:
    return Part("box", (x0, y0, z0), (x1, y1, z1), paint)


def _part(shape: Shape, x0: float, x1: float, y0: float, y1: float, z0: float, z1: float, paint: str | None = None) -> Part:
    return Part(shape, (x0, y0, z0), (x1, y1, z1), paint)


def _legs(thickness: float, top: float, paint: str) -> tuple[Part, ...]:
    near, far = (0.0, thickness), (1 - thickness, 1.0)
    return tuple(_box(*x, *y, 0, top, paint) for x in (near, far) for y in (near, far))


CATALOGUE: dict[str, Category] = {
    "bed": Category(
        (1.4, 1.8), (1.9, 2.1), (0.8, 1.0), "wall", ("blue", "purple", "pink"),
        (_box(0, 1, 0, 0.05, 0, 1, "wood"), _box(0, 1, 0.05, 1, 0, 0.3, "wood"),
        _box(0.02, 0.98, 0.05, 0.98, 0.3, 0.5, "white"),
         _box(0, 1, 0.38, 1, 0.2, 0.56), _box(0.08, 0.46, 0.07, 0.3, 0.5, 0.66, "white"),
         _box(0.54, 0.92, 0.07, 0.3, 0.5, 0.66, "white")),
        most=2,
    ),
    "sofa": Category(
        (1.6, 2.3), (0.85, 1.0), (0.75, 0.9), "wall", ("red", "green", "navy"),
        (_box(0, 1, 0, 1, 0.05, 0.45), _box(0, 1, 0, 0.28, 0.45, 1), _box(0, 0.12, 0.28, 1, 0.45, 0.7),
        _box(0.88, 1, 0.28, 1, 0.45, 0.7),
         _box(0.03, 0.97, 0.05, 0.95, 0, 0.05, "dark"), _box(0.49, 0.51, 0.28, 0.99, 0.45, 0.47, "dark")),
        most=3, clearance_m=0.3,
    ),
    "chair": Category(
        (0.45, 0.52), (0.45, 0.55), (0.85, 1.0), "floor", ("orange", "teal", "brown"),
        (*_legs(0.14, 0.45, "dark"), _box(0, 1, 0, 1, 0.43, 0.53), _box(0, 1, 0, 0.14, 0.53, 1)), most=5,
    ),
    "stool": Category(
        (0.36, 0.45), (0.36, 0.45), (0.45, 0.6), "floor", ("yellow", "green", "white"),
        (_part("round", 0, 1, 0, 1, 0.75, 1), _part("round", 0.38, 0.62, 0.38, 0.62, 0.1, 0.75, "steel"),
         _part("round", 0.15, 0.85, 0.15, 0.85, 0, 0.1, "steel")), most=5,
    ),
    "table": Category(
        (1.2, 1.8), (0.8, 1.0), (0.72, 0.78), "floor", ("brown", "white"),
        (*_legs(0.09, 0.88, "wood"), _box(0, 1, 0, 1, 0.86, 1)), most=3,
    ),
    "desk": Category(
        (1.1, 1.5), (0.6, 0.75), (0.72, 0.78), "wall", ("beige", "grey"),
        (_box(0, 1, 0, 1, 0.93, 1), _box(0.62, 1, 0.05, 0.97, 0, 0.93, "navy"), _box(0.66, 0.96, 0.97, 1, 0.1, 0.42, "white"),
         _box(0.66, 0.96, 0.97, 1, 0.52, 0.84, "white"), _box(0, 0.06, 0.05, 0.97, 0, 0.93, "navy")), most=3,
    ),
    "bookshelf": Category(
        (0.8, 1.2), (0.3, 0.4), (1.7, 2.0), "wall", ("brown", "white"),
        (_box(0, 1, 0, 0.2, 0, 1), _box(0, 0.06, 0, 1, 0, 1), _box(0.94, 1, 0, 1, 0, 1),
         *(_box(0.06, 0.94, 0.2, 1, z, z + 0.03) for z in (0, 0.24, 0.48, 0.72, 0.97)),
         *(_box(x, x + w, 0.2, 0.8, z, z + h, paint) for z, row in (
             (0.03, ((0.08, 0.2, 0.15, "red"), (0.3, 0.25, 0.17, "blue"), (0.58, 0.3, 0.14, "yellow"))),
             (0.27, ((0.08, 0.3, 0.16, "green"), (0.4, 0.2, 0.14, "white"), (0.64, 0.26, 0.17, "red"))),
             (0.51, ((0.1, 0.22, 0.15, "orange"), (0.36, 0.3, 0.17, "navy"), (0.7, 0.2, 0.14, "green"))),
             (0.75, ((0.08, 0.26, 0.16, "blue"), (0.38, 0.22, 0.17, "yellow"), (0.64, 0.26, 0.15, "purple"))),
         ) for x, w, h, paint in row)), most=3,
    ),
    "cabinet": Category(
        (0.8, 1.2), (0.42, 0.5), (0.8, 1.0), "wall", ("green", "beige"),
        (_box(0, 1, 0, 0.94, 0, 1), _box(0.04, 0.48, 0.94, 0.97, 0.08, 0.92, "sand"),
        _box(0.52, 0.96, 0.94, 0.97, 0.08, 0.92, "sand"),
         _box(0.4, 0.45, 0.97, 1, 0.42, 0.58, "dark"), _box(0.55, 0.6, 0.97, 1, 0.42, 0.58, "dark")), most=3,
    ),
    "nightstand": Category(
        (0.42, 0.52), (0.38, 0.45), (0.5, 0.6), "wall", ("purple", "teal"),
        (_box(0, 1, 0, 0.92, 0.2, 1), *_legs(0.12, 0.2, "dark"), _box(0.08, 0.92, 0.92, 1, 0.3, 0.58, "gold"),
         _box(0.08, 0.92, 0.92, 1, 0.66, 0.94, "gold")), most=3,
    ),
    "lamp": Category(
        (0.4, 0.5), (0.4, 0.5), (1.5, 1.75), "floor", ("yellow", "white", "orange"),
        (_part("taper", 0, 1, 0, 1, 0.76, 1), _part("round", 0.46, 0.54, 0.46, 0.54, 0.03, 0.76, "dark"),
         _part("round", 0.2, 0.8, 0.2, 0.8, 0, 0.03, "dark")), most=4,
    ),
    "plant": Category(
        (0.5, 0.8), (0.5, 0.8), (0.9, 1.5), "floor", ("orange", "white", "blue"),
        (_part("ball", 0, 1, 0, 1, 0.4, 1, "leaf"), _part("round", 0.45, 0.55, 0.45, 0.55, 0.25, 0.5, "brown"),
         _part("taper", 0.25, 0.75, 0.25, 0.75, 0, 0.32)), most=5,
    ),
    "tv": Category(
        (1.0, 1.5), (0.07, 0.1), (0.6, 0.85), "mounted", ("black", "grey"),
        (_box(0, 1, 0, 0.9, 0, 1), _box(0.05, 0.95, 0.9, 1, 0.08, 0.94, "screen"),
        _box(0.1, 0.4, 0.95, 1, 0.55, 0.85, "water")),
        most=2, mount=(0.8, 1.1), clearance_m=0.6,
    ),
    "refrigerator": Category(
        (0.65, 0.85), (0.65, 0.75), (1.7, 1.95), "wall", ("white", "grey", "red"),
        (_box(0, 1, 0, 0.92, 0, 1), _box(0.01, 0.99, 0.92, 0.97, 0.02, 0.62), _box(0.01, 0.99, 0.92, 0.97, 0.65, 0.99),
         _box(0, 1, 0.92, 0.94, 0.62, 0.65, "black"), _box(0.07, 0.13, 0.97, 1, 0.3, 0.58, "black"),
         _box(0.07, 0.13, 0.97, 1, 0.69, 0.88, "black")),
        clearance_m=0.3,
    ),
    "stove": Category(
        (0.6, 0.75), (0.58, 0.65), (0.88, 0.98), "wall", ("white", "grey"),
        (_box(0, 1, 0, 0.94, 0, 0.94), _box(0, 1, 0, 0.95, 0.94, 0.97, "black"), _box(0, 1, 0, 0.06, 0.94, 1),
         _box(0.12, 0.88, 0.94, 0.97, 0.15, 0.62, "black"), _box(0.2, 0.8, 0.97, 0.98, 0.25, 0.5, "flame"),
         _box(0.1, 0.9, 0.94, 1, 0.68, 0.73, "steel"),
         *(_box(x, x + 0.1, 0.94, 0.98, 0.8, 0.89, "red") for x in (0.1, 0.33, 0.57, 0.8)),
         *(_part("round", x, x + 0.34, y, y + 0.34, 0.97, 0.98, "brick") for x in (0.1, 0.56) for y in (0.12, 0.54))),
        clearance_m=0.3,
    ),
    "washing machine": Category(
        (0.6, 0.7), (0.55, 0.65), (0.85, 0.92), "wall", ("white", "grey"),
        (_box(0, 1, 0, 0.95, 0, 1), _part("wheel", 0.14, 0.86, 0.95, 0.98, 0.12, 0.72, "dark"),
         _part("wheel", 0.24, 0.76, 0.98, 1, 0.2, 0.64, "glass"), _box(0.05, 0.4, 0.95, 0.97, 0.82, 0.94, "blue")), most=2,
        clearance_m=0.3,
    ),
    "toilet": Category(
        (0.38, 0.45), (0.65, 0.72), (0.75, 0.82), "wall", ("white",),
        (_box(0, 1, 0, 0.3, 0.4, 0.96), _box(0, 1, 0, 0.32, 0.96, 1, "slate"),
        _part("round", 0.02, 0.98, 0.28, 1, 0.38, 0.5),
         _part("round", 0.18, 0.82, 0.4, 0.92, 0.5, 0.52, "water"), _box(0.3, 0.7, 0.1, 0.75, 0, 0.4)), most=2, clearance_m=0.3,
    ),
    "bathtub": Category(
        (1.5, 1.8), (0.7, 0.8), (0.52, 0.62), "wall", ("white", "pink"),
        (_box(0, 1, 0, 0.1, 0, 1), _box(0, 1, 0.9, 1, 0, 1), _box(0, 0.05, 0.1, 0.9, 0, 1), _box(0.95, 1, 0.1, 0.9, 0, 1),
         _box(0.05, 0.95, 0.1, 0.9, 0, 0.82, "water")), clearance_m=0.3,
    ),
    "fireplace": Category(
        (1.1, 1.5), (0.38, 0.5), (1.1, 1.3), "wall", ("red", "grey"),
        (_box(0, 0.25, 0, 0.92, 0, 0.88), _box(0.75, 1, 0, 0.92, 0, 0.88), _box(0.25, 0.75, 0, 0.92, 0.62, 0.88),
         _box(0.25, 0.75, 0, 0.1, 0, 0.62, "black"), _box(0, 1, 0, 1, 0.88, 1, "white"),
         _part("taper", 0.33, 0.67, 0.3, 0.8, 0.05, 0.5, "flame"),
         _box(0.28, 0.72, 0.3, 0.85, 0, 0.08, "dark")), clearance_m=0.4,
    ),
    "piano": Category(
        (1.4, 1.55), (0.6, 0.7), (1.1, 1.25), "wall", ("black", "brown"),
        (_box(0, 1, 0, 0.5, 0, 1), _box(0, 1, 0.5, 1, 0.5, 0.58), _box(0.04, 0.96, 0.5, 0.96, 0.58, 0.63, "white"),
         *(_box(x / 10, x / 10 + 0.04, 0.5, 0.78, 0.63, 0.66, "black") for x in range(1, 10)),
         _box(0, 0.07, 0.5, 1, 0, 0.5), _box(0.93, 1, 0.5, 1, 0, 0.5)), clearance_m=0.4,
    ),
    "bicycle": Category(
        (1.55, 1.75), (0.42, 0.5), (0.95, 1.05), "wall", ("red", "green", "blue"),
        (_part("wheel", 0, 0.38, 0.4, 0.6, 0, 0.62, "black"), _part("wheel", 0.62, 1, 0.4, 0.6, 0, 0.62, "black"),
         _part("wheel", 0.06, 0.32, 0.38, 0.62, 0.1, 0.52, "steel"), _part("wheel", 0.68, 0.94, 0.38, 0.62, 0.1, 0.52, "steel"),
         _box(0.18, 0.8, 0.45, 0.55, 0.6, 0.7), _box(0.3, 0.36, 0.45, 0.55, 0.28, 0.85), _box(0.74, 0.8, 0.45, 0.55, 0.3, 0.95),
         _box(0.19, 0.62, 0.45, 0.55, 0.28, 0.36), _box(0.72, 0.82, 0, 1, 0.94, 1, "black"),
         _box(0.24, 0.42, 0.3, 0.7, 0.85, 0.92, "black")),
        most=3,
    ),
    "box": Category(
        (0.4, 0.6), (0.35, 0.5), (0.3, 0.5), "top", ("brown",),
        (_box(0, 1, 0, 1, 0, 0.98, "card"), _box(0.4, 0.6, 0, 1, 0.97, 1, "cream"),
        _box(0.4, 0.6, 0.99, 1, 0.6, 0.98, "cream")), most=5,
    ),
    "trash bin": Category(
        (0.3, 0.4), (0.3, 0.4), (0.45, 0.65), "wall", ("blue", "grey", "green"),
        (_part("round", 0.05, 0.95, 0.05, 0.95, 0, 0.86), _part("round", 0, 1, 0, 1, 0.82, 0.9, "dark"),
        _part("ball", 0.05, 0.95, 0.05, 0.95, 0.72, 1, "dark")),
        most=4,
    ),
    "mirror": Category(
        (0.5, 0.8), (0.04, 0.06), (1.0, 1.4), "mounted", ("yellow", "black"),
        (_box(0, 1, 0, 0.8, 0, 1), _box(0.1, 0.9, 0.8, 1, 0.06, 0.94, "glass"), _box(0.2, 0.45, 0.9, 1, 0.5, 0.9, "white")),
        most=2, mount=(0.5, 0.8), clearance_m=0.4,
    ),
    "window": Category(
        (1.0, 1.6), (0.06, 0.1), (1.0, 1.25), "mounted", ("white", "brown"),
        (_box(0, 1, 0, 1, 0, 0.07), _box(0, 1, 0, 1, 0.93, 1), _box(0, 0.06, 0, 1, 0, 1), _box(0.94, 1, 0, 1, 0, 1),
         _box(0.47, 0.53, 0, 1, 0, 1), _box(0, 1, 0, 0.9, 0.47, 0.53), _box(0.05, 0.95, 0, 0.4, 0.05, 0.95, "water")),
        most=4, mount=(0.85, 1.1), clearance_m=0.3,
    ),
    "door": Category(
        (0.85, 0.95), (0.05, 0.08), (1.95, 2.05), "mounted", ("brown", "white", "green"),
        (_box(0, 1, 0, 0.6, 0, 1, "dark"), _box(0.06, 0.94, 0.6, 0.8, 0, 0.96), _box(0.2, 0.8, 0.8, 0.9, 0.55, 0.88, "cream"),
         _box(0.2, 0.8, 0.8, 0.9, 0.1, 0.42, "cream"), _box(0.82, 0.9, 0.8, 1, 0.46, 0.51, "gold")), most=3, clearance_m=0.7,
    ),
    "guitar": Category(
        (0.36, 0.42), (0.14, 0.2), (0.95, 1.1), "wall", ("orange", "red"),
        (_part("ball", 0, 1, 0, 1, 0, 0.36), _part("ball", 0.14, 0.86, 0.1, 0.9, 0.26, 0.52),
        _box(0.42, 0.58, 0.4, 0.7, 0.45, 0.9, "dark"),
         _box(0.36, 0.64, 0.4, 0.7, 0.88, 1, "dark"), _part("wheel", 0.35, 0.65, 0.9, 1, 0.18, 0.3, "black")), most=3,
    ),
    "vase": Category(
        (0.22, 0.32), (0.22, 0.32), (0.45, 0.65), "top", ("purple", "navy", "teal"),
        (_part("ball", 0.05, 0.95, 0.05, 0.95, 0, 0.5), _part("round", 0.35, 0.65, 0.35, 0.65, 0.4, 0.6),
        _part("ball", 0, 1, 0, 1, 0.6, 1, "pink")),
        most=4,
    ),
    "radiator": Category(
        (0.8, 1.2), (0.1, 0.15), (0.55, 0.7), "wall", ("white", "grey"),
        (*(_box(x / 8, x / 8 + 0.08, 0, 1, 0.08, 1) for x in range(7)), _box(0.92, 1, 0, 1, 0.08, 1),
        _box(0, 1, 0.2, 0.6, 0.12, 0.92, "dark"),
         _box(0.04, 0.08, 0.3, 0.7, 0, 0.1, "steel"), _box(0.92, 0.96, 0.3, 0.7, 0, 0.1, "steel")), most=3,
    ),
    "aquarium": Category(
        (0.8, 1.2), (0.38, 0.45), (1.1, 1.3), "wall", ("black", "brown"),
        (_box(0, 1, 0, 1, 0, 0.5), _box(0.02, 0.98, 0.03, 0.97, 0.5, 0.94, "water"), _box(0, 1, 0, 1, 0.94, 1),
         _box(0.25, 0.42, 0.97, 1, 0.68, 0.78, "orange"), _box(0.6, 0.75, 0.97, 1, 0.58, 0.66, "yellow"),
         _box(0.04, 0.96, 0.97, 0.98, 0.5, 0.56, "leaf")),
    ),
    "suitcase": Category(
        (0.45, 0.52), (0.24, 0.3), (0.65, 0.8), "floor", ("pink", "teal", "yellow"),
        (_box(0, 1, 0, 1, 0.06, 0.84), _box(0.32, 0.37, 0.45, 0.55, 0.84, 1, "dark"),
        _box(0.63, 0.68, 0.45, 0.55, 0.84, 1, "dark"),
         _box(0.32, 0.68, 0.45, 0.55, 0.96, 1, "dark"), _box(0.05, 0.2, 0.2, 0.8, 0, 0.06, "black"),
         _box(0.8, 0.95, 0.2, 0.8, 0, 0.06, "black")),
        most=4,
    ),
    "speaker": Category(
        (0.28, 0.36), (0.28, 0.36), (0.9, 1.1), "wall", ("black", "brown"),
        (_box(0, 1, 0, 0.94, 0, 1), _part("wheel", 0.12, 0.88, 0.94, 1, 0.14, 0.4, "steel"),
        _part("wheel", 0.12, 0.88, 0.94, 1, 0.56, 0.82, "steel")),
        most=4,
    ),
    "whiteboard": Category(
        (1.2, 1.8), (0.04, 0.06), (0.9, 1.2), "mounted", ("grey", "black"),
        (_box(0, 1, 0, 0.8, 0, 1), _box(0.04, 0.96, 0.8, 0.9, 0.05, 0.95, "white"), _box(0.12, 0.6, 0.9, 1, 0.7, 0.76, "red"),
         _box(0.12, 0.7, 0.9, 1, 0.5, 0.56, "blue"),
         _box(0.12, 0.5, 0.9, 1, 0.3, 0.36, "blue")), most=2, mount=(0.8, 1.0), clearance_m=0.4,
    ),
    "painting": Category(
        (0.8, 1.2), (0.04, 0.06), (0.7, 0.95), "mounted", ("brown", "yellow"),
        (_box(0, 1, 0, 0.8, 0, 1), _box(0.08, 0.92, 0.8, 0.9, 0.5, 0.92, "flame"),
        _box(0.08, 0.92, 0.8, 0.9, 0.08, 0.5, "purple"),
         _part("wheel", 0.35, 0.65, 0.9, 1, 0.42, 0.75, "red")), most=4, mount=(1.1, 1.4), clearance_m=0.3,
    ),
}  # fmt: skip
CATEGORIES = tuple(CATALOGUE)

SUPPORTS = ("table", "desk", "cabinet")
"""What things of place `top` stand on."""

STYLES: dict[str, Style] = {
    "oak": Style("oak", "cream", "planks", "plain", 1.0),
    "slate": Style("slate", "white", "tiles", "plain", 1.0),
    "sand": Style("sand", "sky", "plain", "plain", 1.0),
    "mint": Style("oak", "mint", "planks", "plain", 0.95),
    "rose": Style("sand", "rose", "tiles", "stripes", 1.0),
    "dusk": Style("slate", "plum", "planks", "plain", 0.95),
    "moss": Style("wood", "moss", "planks", "stripes", 0.9),
    "tiled": Style("white", "sky", "tiles", "plain", 1.05),
    "brown": Style("brown", "sand", "plain", "stripes", 0.9),
    "grey": Style("grey", "steel", "plain", "plain", 0.95),
}
