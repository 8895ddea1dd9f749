#!/usr/bin/env python3
"""Draws the roofline of a result of nibble-bench as SVG.

  bench/roofline.py bench/results/NAME.json docs/roofline.svg

The result has to be made with --kernels, and without --no-copy. A point is a kernel of a decode or
a prefill step: operations a byte to the right, operations a second upwards, both logarithmic, its
area the kernel's share of the step. The lines are what the device does at most, measured: bytes
that kernels copy a second, and float32 operations a second. Below the dashed line, at 40 % of both,
a kernel waits for something else.
"""

import html
import json
import math
import sys

WIDTH, HEIGHT = 900, 560
LEFT, RIGHT, TOP, BOTTOM = 80, 24, 84, 58
LATENCY = 0.4
STYLES = {"decode": ("#1f6fb4", "circle"), "prefill": ("#c8571b", "square")}
LINE_HEIGHT = 13
LETTER_WIDTH = 6.1  # of 11 px sans-serif
# Where a label may stand from its point: up or down, aside, and on which side; the nearest first.
PLACES = sorted(((up, aside, side) for up in range(-280, 281, 7) for aside in range(0, 401, 20)
                 for side in (1, -1)),
                key=lambda place: (abs(place[0]) + 0.6 * place[1], -place[2], place[0]))


class Axes:
    def __init__(self, x_range, y_range):
        self.x_range, self.y_range = x_range, y_range

    @staticmethod
    def part(value, ends):
        low, high = (math.log10(end) for end in ends)
        return (math.log10(value) - low) / (high - low)

    def x(self, value):
        return LEFT + self.part(value, self.x_range) * (WIDTH - LEFT - RIGHT)

    def y(self, value):
        return HEIGHT - BOTTOM - self.part(value, self.y_range) * (HEIGHT - TOP - BOTTOM)


def fail(message):
    sys.exit(f"roofline.py: {message}")


def read_points(result):
    points = []
    for phase in result["kernels"]:
        for row in phase["rows"]:
            if row["bytes"] > 0 and row["flops"] > 0 and row["gigaflops"] > 0:
                points.append({"phase": phase["phase"], "tokens": phase["tokens"],
                               "kernel": row["kernel"], "share": row["share"],
                               "x": row["flops"] / row["bytes"], "y": row["gigaflops"]})
    return points


def decades(low, high):
    return [10.0 ** e for e in range(math.floor(math.log10(low) + 1e-9),
                                     math.ceil(math.log10(high) - 1e-9) + 1)]


def text(x, y, words, size=11, anchor="start", color="#222", extra=""):
    return (f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}" '
            f'fill="{color}"{extra}>{html.escape(words)}</text>')


def line(x1, y1, x2, y2, color, width=1.0, dash=""):
    dashes = f' stroke-dasharray="{dash}"' if dash else ""
    return (f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" '
            f'stroke="{color}" stroke-width="{width}"{dashes}/>')


def number(value):
    return f"{value:g}" if value < 1e4 else f"{value:.0f}"


def draw_grid(axes):
    out = []
    for value in decades(*axes.x_range):
        out.append(line(axes.x(value), TOP, axes.x(value), HEIGHT - BOTTOM, "#e3e3e3"))
        out.append(text(axes.x(value), HEIGHT - BOTTOM + 16, number(value), anchor="middle"))
    for value in decades(*axes.y_range):
        out.append(line(LEFT, axes.y(value), WIDTH - RIGHT, axes.y(value), "#e3e3e3"))
        out.append(text(LEFT - 8, axes.y(value) + 4, number(value), anchor="end"))
    out.append(text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 18,
                    "operations a byte (FLOP/B)", 12, "middle"))
    middle = (TOP + HEIGHT - BOTTOM) / 2
    out.append(text(22, middle, "GFLOP/s", 12, "middle",
                    extra=f' transform="rotate(-90 22 {middle:.1f})"'))
    return out


def roof_ends(axes, copy, peak):
    """The ends and the knee of the device's limit, as places in the picture."""
    low, high = axes.x_range
    knee = min(max(peak / copy, low), high)
    xs = [max(low, axes.y_range[0] / copy), knee, high]
    return [(axes.x(x), axes.y(min(copy * x, peak))) for x in xs]


def draw_roof(axes, copy, peak):
    out = []
    for part, color, width, dash in ((1, "#333", 2, ""), (LATENCY, "#999", 1.2, "5 4")):
        ends = roof_ends(axes, copy * part, peak * part)
        for a, b in zip(ends, ends[1:]):
            out.append(line(*a, *b, color, width, dash))
        (x1, y1), (x2, y2), end = ends
        words = f"{copy:.1f} GB/s" if part == 1 else f"{LATENCY * 100:.0f} %"
        angle = math.degrees(math.atan2(y2 - y1, x2 - x1))
        middle = x1 + 0.88 * (x2 - x1), y1 + 0.88 * (y2 - y1) - 6
        turn = f' transform="rotate({angle:.1f} {middle[0]:.1f} {middle[1]:.1f})"'
        out.append(text(*middle, words, color=color, anchor="middle", extra=turn))
        words = f"{peak:.0f} GFLOP/s" if part == 1 else f"{LATENCY * 100:.0f} %"
        out.append(text(end[0] - 6, end[1] - 6, words, color=color, anchor="end"))
    return out


def roof_boxes(axes, copy, peak):
    """Small boxes along the lines, which no label should cover."""
    boxes = []
    for part in (1, LATENCY):
        ends = roof_ends(axes, copy * part, peak * part)
        for (x1, y1), (x2, y2) in zip(ends, ends[1:]):
            for i in range(101):
                x, y = x1 + (x2 - x1) * i / 100, y1 + (y2 - y1) * i / 100
                boxes.append((x - 3, y - (20 if i > 75 else 3), x + 3, y + 3))  # with its label
    return boxes


def radius_of(point):
    return 3.5 + 12 * math.sqrt(point["share"])


def overlaps(a, b):
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def place_labels(points, axes, taken):
    """The most important points get the nearest places that are free."""
    for p in points:
        r = radius_of(p)
        x, y = axes.x(p["x"]), axes.y(p["y"])
        taken.append((x - r, y - r, x + r, y + r))
    labels = []
    for p in sorted(points, key=lambda point: -point["share"]):
        words = f'{p["kernel"]} {p["share"] * 100:.1f} %'
        width = len(words) * LETTER_WIDTH
        r, x, y = radius_of(p), axes.x(p["x"]), axes.y(p["y"])
        for up, aside, side in PLACES:
            left = x + r + 5 + aside if side > 0 else x - r - 5 - aside - width
            top = y + up - LINE_HEIGHT / 2
            box = (left, top, left + width, top + LINE_HEIGHT)
            inside = (left > LEFT and box[2] < WIDTH - RIGHT and top > TOP and
                      box[3] < HEIGHT - BOTTOM)
            if inside and not any(overlaps(box, other) for other in taken):
                taken.append(box)
                labels.append((p, words, box, side, up != 0 or aside != 0))
                break
    return labels


def draw_points(points, axes, taken):
    out = []
    for p in points:
        color, shape = STYLES.get(p["phase"], ("#555", "circle"))
        x, y, r = axes.x(p["x"]), axes.y(p["y"]), radius_of(p)
        style = f'fill="{color}" fill-opacity="0.55" stroke="{color}"'
        if shape == "circle":
            out.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{r:.1f}" {style}/>')
        else:
            s = r * 0.886  # of the same area
            out.append(f'<rect x="{x - s:.1f}" y="{y - s:.1f}" width="{2 * s:.1f}" '
                       f'height="{2 * s:.1f}" {style}/>')
    for p, words, box, side, is_away in place_labels(points, axes, taken):
        color = STYLES.get(p["phase"], ("#555",))[0]
        edge = box[0] - 1 if side > 0 else box[2] + 1
        middle = (box[1] + box[3]) / 2
        if is_away:
            out.append(line(axes.x(p["x"]), axes.y(p["y"]), edge, middle, color, 0.5))
        out.append(text(box[0], middle + 4, words, color=color))
    return out


def draw_legend(phases):
    out, x = [], LEFT
    for phase in phases:
        color, shape = STYLES.get(phase["phase"], ("#555", "circle"))
        mark = (f'<circle cx="{x + 6}" cy="68" r="6"' if shape == "circle" else
                f'<rect x="{x}" y="62" width="12" height="12"')
        out.append(f'{mark} fill="{color}" fill-opacity="0.55" stroke="{color}"/>')
        words = f'{phase["phase"]}, {phase["tokens"]} token(s), {phase["step_us"] / 1e3:.1f} ms'
        out.append(text(x + 18, 72, words, 12))
        x += 40 + len(words) * 7
    return out


def draw(result):
    copy, peak = result["copy"]["gigabytes_per_second"], result["gigaflops"]
    points = read_points(result)
    if not points:
        fail("no kernel has operations, bytes and a time")
    xs, ys = [p["x"] for p in points], [p["y"] for p in points]
    x_range = (min(min(xs) / 2, 0.1), max(max(xs), peak / copy) * 4)
    y_range = (min(ys) * 0.8, max(max(ys), peak) * 2)
    axes = Axes((decades(*x_range)[0], decades(*x_range)[-1]),
                (decades(*y_range)[0], decades(*y_range)[-1]))
    title = f'{result["model_name"]} on {result["device"]}'
    about = (f'driver {result["driver"]}; copies {copy:.1f} GB/s, does {peak:.0f} GFLOP/s '
             f'(float32); commit {result.get("commit", "unknown")}')
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" '
           f'viewBox="0 0 {WIDTH} {HEIGHT}" font-family="Helvetica, Arial, sans-serif">',
           f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>',
           text(LEFT, 26, title, 16), text(LEFT, 46, about, 12, color="#555")]
    out += draw_legend(result["kernels"])
    out += draw_grid(axes)
    out += draw_roof(axes, copy, peak)
    out += draw_points(points, axes, roof_boxes(axes, copy, peak))
    return "\n".join(out + ["</svg>"]) + "\n"


def main(arguments):
    if len(arguments) != 2:
        sys.exit(__doc__.strip())
    with open(arguments[0], encoding="utf-8") as file:
        try:
            result = json.load(file)
        except ValueError as error:
            fail(f"{arguments[0]} is no JSON: {error}")
    for key, why in (("copy", "made with --no-copy"), ("gigaflops", "made with --no-copy"),
                     ("kernels", "no result of nibble-bench")):
        if not result.get(key):
            note = "made without --kernels" if result.get(key) == [] else why
            fail(f"{arguments[0]} has no {key}: {note}")
    picture = draw(result)
    with open(arguments[1], "w", encoding="utf-8") as file:
        file.write(picture)


if __name__ == "__main__":
    main(sys.argv[1:])
