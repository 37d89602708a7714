#!/usr/bin/env python3
"""Flame graph of a callgrind file: flame.py <callgrind.out> <title> <out.svg>.

Callgrind counts the instructions of each function, and those of each call from one function to another, but no whole stacks. A
function's share of a stack is estimated: it is that of its caller times the part of its instructions that this caller's calls
took. Functions with less than a thousandth of all are left out.
"""

import html
import re
import sys
from collections import defaultdict

WIDTH, ROW, LEAST = 1400, 17, 0.001
# Colours of the crates that matter; all others are grey.
COLOURS = {"doorward": "#e07a3f", "pingora": "#6f9fd8", "tokio": "#8fbf7f", "http": "#d8b84f", "mimalloc": "#b58fd0"}


class Profile:
    """Instructions of functions, and of calls between them."""

    def __init__(self, path):
        self.names, self.own = {}, defaultdict(int)
        self.calls = defaultdict(lambda: defaultdict(int))
        caller = callee = None
        in_call = False
        for line in open(path, encoding="utf-8", errors="replace"):
            if line.startswith("fn="):
                caller = self.name(line[3:])
            elif line.startswith("cfn="):
                callee = self.name(line[4:])
            elif line.startswith("calls="):
                in_call = True
            elif line[0].isdigit() or line[0] in "+-*":
                cost = int(line.split()[1])
                if not in_call:
                    self.own[caller] += cost
                elif callee != caller:
                    self.calls[caller][callee] += cost
                in_call = False

    def name(self, text):
        """Name of a function: `(id) name` the first time, `(id)` later."""
        key, _, name = text.strip().partition(" ")
        if name:
            # The number counts levels of a recursion.
            self.names[key] = re.sub(r"'\d+$", "", name)
        return self.names[key]

    def total(self, name):
        return self.own[name] + sum(self.calls[name].values())


ESCAPES = {"LT": "<", "GT": ">", "RF": "&", "BP": "*", "LP": "(", "RP": ")", "C": ",", "u20": " ", "u7b": "{", "u7d": "}"}


def readable(symbol):
    """Path of a symbol in Rust's legacy mangling, `_ZN` and then lengths and names, without its hash."""
    if not symbol.startswith("_ZN"):
        return symbol
    rest, path = symbol[3:], []
    while match := re.match(r"\d+", rest):
        start = match.end()
        path.append(rest[start : start + int(match.group())])
        rest = rest[start + int(match.group()) :]
    if path and re.fullmatch(r"h[0-9a-f]{16}", path[-1]):
        path.pop()
    name = "::".join(part.removeprefix("_") if part.startswith("_$") else part for part in path).replace("..", "::")
    return re.sub(r"\$(\w+)\$", lambda escape: ESCAPES.get(escape.group(1), "?"), name)


def tree(profile, name, cost, least, above=()):
    """The function's stack: name, cost and the stacks that it calls."""
    total = profile.total(name)
    below = []
    for callee, called in profile.calls[name].items():
        part = called * cost / total if total else 0
        if part >= least and callee not in above:
            below.append(tree(profile, callee, part, least, (*above, name)))
    return name, cost, sorted(below, key=lambda it: it[0])


def depth(node):
    return 1 + max((depth(below) for below in node[2]), default=0)


def boxes(node, x, level, whole, out):
    symbol, cost, below = node
    name = readable(symbol)
    width = cost / whole * WIDTH
    # In `<Type as Trait>::method` the type's crate counts.
    crate = re.match(r"\W*(?:dyn )?([a-z_]+)", name)
    crate = crate.group(1).split("_")[0] if crate else ""
    colour = COLOURS.get("mimalloc" if name.startswith(("mi_", "_mi_")) else crate, "#cfcfcf")
    short = re.sub(r"<[^<>]*>", "", re.sub(r"<[^<>]*>", "", name))
    short = html.escape(short[: int(width / 6.6)]) if width > 30 else ""
    y = level * ROW
    out.append(
        f'<g><title>{html.escape(name)}: {100 * cost / whole:.1f} %</title><rect x="{x:.1f}" y="{y}" width="{width:.1f}"'
        f' height="{ROW - 1}" fill="{colour}"/><text x="{x + 2:.1f}" y="{y + 12}">{short}</text></g>'
    )
    for one in below:
        boxes(one, x, level + 1, whole, out)
        x += one[1] / whole * WIDTH


def main(path, title, svg):
    profile = Profile(path)
    # What is above the task of a connection says nothing about requests.
    roots = [name for name in list(profile.calls) if re.search(r"::ServerApp>::process_new::", readable(name))]
    root = max(roots or profile.calls, key=profile.total)
    node = tree(profile, root, profile.total(root), profile.total(root) * LEAST)
    out, height = [], (depth(node) + 2) * ROW
    boxes(node, 0, 2, node[1], out)
    with open(svg, "w", encoding="utf-8") as file:
        file.write(
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="monospace" font-size="11">\n'
            f'<rect width="{WIDTH}" height="{height}" fill="#fff"/><text x="4" y="14" font-size="13">{html.escape(title)}</text>\n'
        )
        file.write("\n".join(out) + "\n</svg>\n")


if __name__ == "__main__":
    sys.setrecursionlimit(10_000)
    main(*sys.argv[1:4])
