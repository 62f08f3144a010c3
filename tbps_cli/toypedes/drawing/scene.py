"""Backgrounds: where a person walks. Drawn in pixels of a picture 128 high, then blurred."""

from __future__ import annotations

from random import Random

from PIL import Image, ImageDraw, ImageFilter

from tbps_cli.toypedes import palette
from tbps_cli.toypedes.view import View

REFERENCE_HEIGHT = 128


class Sketch:
    """A picture of any size, addressed as if it were 128 high; `width` follows from its shape."""

    def __init__(self, width: int, height: int) -> None:
        self.image = Image.new("RGB", (width, height))
        self.scale = height / REFERENCE_HEIGHT
        self.width = width / self.scale
        self.height = float(REFERENCE_HEIGHT)
        self._draw = ImageDraw.Draw(self.image)

    def rectangle(self, left: float, top: float, right: float, bottom: float, colour: palette.RGB) -> None:
        """Fill a rectangle; one that is turned inside out is drawn too."""
        (left, right), (top, bottom) = sorted((left, right)), sorted((top, bottom))
        self._draw.rectangle([value * self.scale for value in (left, top, right, bottom)], fill=colour)

    def ellipse(self, x: float, y: float, radius_x: float, radius_y: float, colour: palette.RGB) -> None:
        """Fill an ellipse."""
        corners = (x - radius_x, y - radius_y, x + radius_x, y + radius_y)
        self._draw.ellipse([value * self.scale for value in corners], fill=colour)

    def polygon(self, points: list[tuple[float, float]], colour: palette.RGB) -> None:
        """Fill a polygon."""
        self._draw.polygon([(x * self.scale, y * self.scale) for x, y in points], fill=colour)

    def line(self, x0: float, y0: float, x1: float, y1: float, colour: palette.RGB, width: float = 1) -> None:
        """Draw a straight line."""
        ends = [value * self.scale for value in (x0, y0, x1, y1)]
        self._draw.line(ends, fill=colour, width=max(1, round(width * self.scale)))

    def gradient(self, top: float, bottom: float, upper: palette.RGB, lower: palette.RGB) -> None:
        """Fill all between two heights with six steps from one colour to another."""
        for step in range(6):
            start, end = (top + (bottom - top) * share / 6 for share in (step, step + 1))
            self.rectangle(0, start, self.width, end, blended(upper, lower, step / 5))


def draw_scene(view: View, width: int, height: int) -> Image.Image:
    """Draw the background of a view, `(height, width)`; it depends on `scene` and `look` alone."""
    sketch, rng = Sketch(width, height), Random(f"{view.look}/scene")
    horizon = REFERENCE_HEIGHT * rng.uniform(0.30, 0.62)
    _SCENES[view.scene](sketch, rng, horizon)
    if view.scene in ("street", "plaza", "park", "shop"):
        _draw_distant_people(sketch, rng, horizon)
    if rng.random() < 0.25:
        x = rng.choice((rng.uniform(0, 8), sketch.width - rng.uniform(1, 9)))
        sketch.rectangle(x, 0, x + 2, horizon + 12, (72, 74, 78))
    return sketch.image.filter(ImageFilter.BoxBlur(rng.uniform(0.5, 1.3) * sketch.scale))


def scaled(colour: palette.RGB, factor: float) -> palette.RGB:
    """A brighter or darker colour."""
    red, green, blue = (min(255, int(value * factor)) for value in colour)
    return (red, green, blue)


def blended(colour: palette.RGB, other: palette.RGB, share: float) -> palette.RGB:
    """`share` of the other colour mixed in."""
    red, green, blue = (int(a + (b - a) * share) for a, b in zip(colour, other, strict=True))
    return (red, green, blue)


def shifted(colour: palette.RGB, rng: Random, spread: float) -> palette.RGB:
    """A colour near this one."""
    common = rng.gauss(0, spread)
    red, green, blue = (min(255, max(0, int(value + common + rng.gauss(0, spread / 2)))) for value in colour)
    return (red, green, blue)


def _grey(rng: Random, low: int, high: int) -> palette.RGB:
    value = rng.randint(low, high)
    return (value, value + rng.randint(-6, 6), value + rng.randint(-10, 8))


def _draw_street(sketch: Sketch, rng: Random, horizon: float) -> None:
    _draw_facade(sketch, rng, horizon)
    _draw_pavement(sketch, rng, horizon)


def _draw_wall(sketch: Sketch, rng: Random, horizon: float) -> None:
    wall = _wall_colour(rng)
    sketch.gradient(0, horizon, scaled(wall, 1.05), scaled(wall, 0.85))
    joint = scaled(wall, 0.82)
    for row in range(int(horizon // 6) + 1):
        sketch.line(0, row * 6, sketch.width, row * 6, joint)
        for x in range(-7, int(sketch.width), 14):
            sketch.line(x + row % 2 * 7, row * 6, x + row % 2 * 7, min(horizon, row * 6 + 6), joint)
    _draw_pavement(sketch, rng, horizon)


def _draw_shop(sketch: Sketch, rng: Random, horizon: float) -> None:
    _draw_facade(sketch, rng, horizon)
    awning = rng.choice(((150, 40, 40), (40, 80, 120), (60, 110, 70), (190, 150, 60), (70, 60, 80)))
    sketch.rectangle(0, horizon * 0.25, sketch.width, horizon * 0.42, awning)
    for _ in range(3):
        x = rng.uniform(0, sketch.width)
        goods = shifted(rng.choice(((190, 180, 160), (90, 70, 60), (160, 190, 200), (210, 120, 90))), rng, 12)
        sketch.rectangle(x, horizon * 0.5, x + rng.uniform(6, 18), horizon - 1, goods)
    _draw_pavement(sketch, rng, horizon)


def _draw_car(sketch: Sketch, rng: Random, horizon: float) -> None:
    _draw_street(sketch, rng, horizon)
    paint = shifted(rng.choice(((180, 182, 186), (50, 52, 58), (140, 40, 40), (60, 80, 120), (225, 225, 225))), rng, 8)
    length = sketch.width * 1.1
    left, sill = rng.choice((-0.5, 0.35, 0.5)) * sketch.width, horizon - 2

    def along(share: float) -> float:
        return left + length * share

    sketch.rectangle(left, sill - 10, left + length, sill + 20, paint)
    roof = [
        (along(0.20), sill - 9),
        (along(0.32), sill - 26),
        (along(0.70), sill - 26),
        (along(0.86), sill - 9),
    ]
    window = [
        (along(0.25), sill - 9),
        (along(0.34), sill - 23),
        (along(0.50), sill - 23),
        (along(0.50), sill - 9),
    ]
    sketch.polygon(roof, scaled(paint, 0.85))
    sketch.polygon(window, (70, 82, 92))
    for share in (0.2, 0.8):
        sketch.ellipse(along(share), sill + 19, 9, 9, (28, 28, 30))


def _draw_park(sketch: Sketch, rng: Random, horizon: float) -> None:
    width, height = sketch.width, sketch.height
    sketch.gradient(0, horizon, (186, 206, 222), (206, 214, 212))
    for _ in range(9):
        radius = rng.uniform(7, 20)
        leaves = shifted((74, 104, 58), rng, 16)
        sketch.ellipse(rng.uniform(-5, width + 5), rng.uniform(horizon * 0.2, horizon), radius, radius, leaves)
    for _ in range(2):
        x = rng.uniform(0, width)
        sketch.rectangle(x, horizon * 0.4, x + 4, horizon + 5, (84, 66, 50))
    grass, path = shifted((104, 132, 74), rng, 12), shifted((170, 160, 142), rng, 10)
    sketch.gradient(horizon, height, scaled(grass, 0.85), scaled(grass, 1.08))
    bend = rng.uniform(-15, 15)
    near = [(width * 1.15, height), (-width * 0.1, height)]
    sketch.polygon([(width * 0.4 + bend, horizon), (width * 0.6 + bend, horizon), *near], path)


def _draw_indoor(sketch: Sketch, rng: Random, horizon: float) -> None:
    width, wall = sketch.width, rng.choice(((205, 200, 190), (180, 190, 196), (212, 205, 178)))
    sketch.gradient(0, horizon, scaled(wall, 0.95), wall)
    sketch.rectangle(0, horizon - 4, width, horizon, scaled(wall, 0.6))
    x = rng.uniform(-10, width - 10)
    sketch.rectangle(x, horizon * 0.15, x + 22, horizon, rng.choice(((140, 105, 75), (110, 120, 130), (90, 80, 76))))
    if rng.random() < 0.6:
        x = rng.uniform(0, width - 14)
        poster = shifted(rng.choice(((200, 90, 70), (80, 120, 160), (230, 220, 150))), rng, 14)
        sketch.rectangle(x, horizon * 0.2, x + 14, horizon * 0.5, poster)
    floor = shifted((176, 170, 160), rng, 14)
    sketch.gradient(horizon, sketch.height, scaled(floor, 0.88), scaled(floor, 1.05))
    for column in range(-6, 7):
        middle = width / 2
        sketch.line(middle + column * 9, horizon, middle + column * 34, sketch.height, scaled(floor, 0.86))
    for row in range(5):
        y = horizon + (sketch.height - horizon) * ((row + 0.4) / 5) ** 1.5
        sketch.line(0, y, width, y, scaled(floor, 0.86))


def _draw_plaza(sketch: Sketch, rng: Random, horizon: float) -> None:
    sketch.gradient(0, horizon, (196, 206, 216), (214, 216, 216))
    house, x = _grey(rng, 120, 180), 0.0
    while x < sketch.width + 8:
        width = rng.uniform(8, 22)
        sketch.rectangle(x, rng.uniform(0.15, 0.6) * horizon, x + width, horizon, shifted(house, rng, 14))
        x += width
    floor = shifted((178, 172, 162), rng, 12)
    sketch.gradient(horizon, sketch.height, scaled(floor, 0.92), scaled(floor, 1.06))
    for row in range(4):
        y = horizon + (sketch.height - horizon) * ((row + 0.5) / 4) ** 1.4
        sketch.line(0, y, sketch.width, y, scaled(floor, 0.9))


def _wall_colour(rng: Random) -> palette.RGB:
    brick = (150 + rng.randint(-20, 20), 110, 90)
    return rng.choice((_grey(rng, 90, 190), brick, (175, 160, 135), (120, 125, 135)))


def _draw_facade(sketch: Sketch, rng: Random, horizon: float) -> None:
    wall = _wall_colour(rng)
    sketch.gradient(0, horizon, scaled(wall, 1.05), scaled(wall, 0.85))
    width, height = rng.randint(9, 16), rng.randint(11, 18)
    glass = rng.choice(((70, 85, 105), (55, 60, 66), (150, 165, 180), (200, 190, 150)))
    top, pitch = rng.randint(-6, 4), width + rng.randint(4, 8)
    for x in range(rng.randint(-8, 8) - width, int(sketch.width) + width, pitch):
        for y in range(top, int(horizon) - height + 4, height + 6):
            sketch.rectangle(x, y, x + width - 3, y + height - 4, shifted(glass, rng, 6))


def _draw_pavement(sketch: Sketch, rng: Random, horizon: float) -> None:
    ground, width, depth = _grey(rng, 95, 165), sketch.width, sketch.height - horizon
    sketch.gradient(horizon, sketch.height, scaled(ground, 0.9), scaled(ground, 1.06))
    sketch.line(0, horizon + 2, width, horizon + rng.uniform(-2, 6), scaled(ground, 0.7), width=2)
    for row in range(4):
        y = horizon + depth * ((row + 1) / 4.5) ** 1.4
        sketch.line(0, y, width, y + rng.uniform(-3, 3), scaled(ground, 0.9))
    for column in range(-3, 4):
        sketch.line(width / 2 + column * 8, horizon, width / 2 + column * 40, sketch.height, scaled(ground, 0.92))


def _draw_distant_people(sketch: Sketch, rng: Random, horizon: float) -> None:
    for _ in range(rng.choice((0, 0, 1, 2, 3))):
        x, top, height = rng.uniform(0, sketch.width), horizon - rng.uniform(4, 14), rng.uniform(20, 34)
        upper = shifted(rng.choice(list(palette.COLOURS.values()))[0], rng, 10)
        lower = shifted(rng.choice(((40, 42, 50), (60, 70, 100), (90, 80, 70))), rng, 8)
        sketch.ellipse(x, top - 2.5, 2.3, 2.5, (170, 130, 105))
        sketch.rectangle(x - 4, top, x + 4, top + height * 0.45, upper)
        sketch.rectangle(x - 3, top + height * 0.45, x - 0.5, top + height, lower)
        sketch.rectangle(x + 0.8, top + height * 0.45, x + 3, top + height, lower)


_SCENES = {
    "street": _draw_street,
    "park": _draw_park,
    "indoor": _draw_indoor,
    "plaza": _draw_plaza,
    "shop": _draw_shop,
    "car": _draw_car,
    "wall": _draw_wall,
}
