"""Plots as SVG, without any library: horizontal bars with their spread, and lines over two axes.

A plot is what results.Part keeps of it in JSON, so that the report can draw it again.
"""
import math
from xml.sax.saxutils import escape

WIDTH, LEFT, RIGHT, TOP = 760, 250, 90, 44
BAR, GAP = 18, 8
COLOURS = ["#2563a8", "#c2571a", "#3b8a3e", "#8a3b86", "#8c6d1f", "#4d5963", "#b3264c", "#1a8a8a"]
STYLE = ("<style>text{font:12px system-ui,sans-serif;fill:#222}.title{font-size:14px;font-weight:600}"
         ".axis{stroke:#bbb}.grid{stroke:#eee}.spread{stroke:#222}.mark{stroke:#b3264c;stroke-dasharray:4 3}"
         "</style>")


def number_text(value):
    if value == 0:
        return "0"
    if abs(value) >= 1e6:
        return f"{value / 1e6:.3g} M"
    if abs(value) >= 1e4:
        return f"{value / 1e3:.3g} k"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def text(x, y, content, anchor="start", kind=""):
    kind = f' class="{kind}"' if kind else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{kind}>{escape(content)}</text>'


def line(x1, y1, x2, y2, kind):
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" class="{kind}"/>'


def document(height, title, parts):
    head = (f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" '
            f'viewBox="0 0 {WIDTH} {height}" role="img"><title>{escape(title)}</title>{STYLE}'
            f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>')
    return "\n".join([head, text(12, 24, title, kind="title"), *parts, "</svg>\n"])


def draw_bars(plot):
    bars = plot["bars"]
    most = max([high for _, (_, _, high) in bars] + [plot.get("mark") or 0]) or 1
    scale = (WIDTH - LEFT - RIGHT) / most
    parts, y = [], TOP
    for number, (name, (middle, low, high)) in enumerate(bars):
        centre = y + BAR / 2
        parts.append(text(LEFT - 8, centre + 4, name, "end"))
        parts.append(f'<rect x="{LEFT}" y="{y}" width="{max(middle * scale, 1):.1f}" height="{BAR}" '
                     f'fill="{COLOURS[0] if number else COLOURS[5]}"/>')
        parts.append(line(LEFT + low * scale, centre, LEFT + high * scale, centre, "spread"))
        parts.append(text(LEFT + high * scale + 6, centre + 4, number_text(middle)))
        y += BAR + GAP
    if plot.get("mark"):
        parts.append(line(LEFT + plot["mark"] * scale, TOP - 4, LEFT + plot["mark"] * scale, y, "mark"))
    parts.append(line(LEFT, TOP - 4, LEFT, y, "axis"))
    parts.append(text(LEFT, y + 14, f"{plot['unit']}; the thin line is the spread of the rounds"))
    return document(y + 26, plot["title"], parts)


class Axis:
    """Values to pixels; logarithmic or from zero."""

    def __init__(self, values, first, last, logarithmic):
        self.first, self.last, self.logarithmic = first, last, logarithmic
        values = [value for value in values if value > 0] or [1]
        if logarithmic:
            self.low = 10 ** math.floor(math.log10(min(values)))
            self.high = 10 ** math.ceil(math.log10(max(values)) + 1e-9)
            self.high = self.high if self.high > self.low else self.low * 10
        else:
            self.low, self.high = 0, max(values) * 1.05

    def at(self, value):
        if self.logarithmic:
            share = math.log(max(value, self.low) / self.low) / math.log(self.high / self.low)
        else:
            share = (value - self.low) / (self.high - self.low)
        return self.first + share * (self.last - self.first)

    def ticks(self):
        if self.logarithmic:
            count = round(math.log10(self.high / self.low))
            return [self.low * 10 ** power for power in range(count + 1)]
        step = 10 ** math.floor(math.log10(self.high / 2))
        step = next(step * by for by in (1, 2, 5, 10) if self.high / (step * by) <= 6)
        return [step * number for number in range(int(self.high / step) + 1)]


def draw_lines(plot):
    height, left, right, bottom = 340, 70, WIDTH - 230, 290
    points = [point for _, series in plot["series"] for point in series]
    x = Axis([point[0] for point in points], left, right, "x" in plot["logarithmic"])
    y = Axis([point[1] for point in points], bottom, TOP, "y" in plot["logarithmic"])
    parts = []
    for tick in y.ticks():
        parts += [line(left, y.at(tick), right, y.at(tick), "grid"),
                  text(left - 6, y.at(tick) + 4, number_text(tick), "end")]
    for tick in x.ticks():
        parts += [line(x.at(tick), TOP, x.at(tick), bottom, "grid"),
                  text(x.at(tick), bottom + 16, number_text(tick), "middle")]
    for number, (name, series) in enumerate(plot["series"]):
        colour = COLOURS[number % len(COLOURS)]
        way = " ".join(f"{x.at(a):.1f},{y.at(b):.1f}" for a, b in series)
        parts.append(f'<polyline points="{way}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [f'<circle cx="{x.at(a):.1f}" cy="{y.at(b):.1f}" r="3" fill="{colour}"/>'
                  for a, b in series]
        at = TOP + 10 + number * 18
        parts += [f'<rect x="{right + 14}" y="{at - 9}" width="10" height="10" fill="{colour}"/>',
                  text(right + 30, at, name)]
    parts += [text((left + right) / 2, height - 14, plot["x"], "middle"), text(12, TOP - 4, plot["y"])]
    return document(height, plot["title"], parts)


def draw(plot):
    return draw_bars(plot) if plot["kind"] == "bars" else draw_lines(plot)
