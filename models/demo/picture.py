#!/usr/bin/env python3
"""Draws what scripts/demo prints as a terminal: scripts/demo </dev/null | picture.py >docs/demo.svg"""

import sys
from xml.sax.saxutils import escape

LINE, LEFT, TOP, CHARACTER = 19, 18, 46, 8.0


def main():
    lines = sys.stdin.read().splitlines()
    first = next(i for i, line in enumerate(lines) if line.startswith("state:"))
    lines = ["$ scripts/demo", ""] + lines[first:]
    width = LEFT * 2 + CHARACTER * max(map(len, lines))
    height = TOP + LINE * len(lines)
    print(f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height}" width="{width:.0f}">')
    print(f'<rect width="{width:.0f}" height="{height}" rx="8" fill="#1b1f24"/>')
    for i, color in enumerate(("#ff5f57", "#febc2e", "#28c840")):
        print(f'<circle cx="{LEFT + 4 + 18 * i}" cy="18" r="6" fill="{color}"/>')
    print('<g font-family="DejaVu Sans Mono, Menlo, Consolas, monospace" font-size="13">')
    for i, line in enumerate(lines):
        color = "#7ee787" if line.startswith("{") else "#ffffff" if line.startswith(("> ", "$ ")) else "#9aa4ae"
        if line:
            print(f'<text x="{LEFT}" y="{TOP + LINE * i}" fill="{color}" xml:space="preserve">{escape(line)}</text>')
    print("</g>\n</svg>")


if __name__ == "__main__":
    main()
