"""Rows of figures beside their peers', one table of them, and the same as JSON."""
import dataclasses, statistics


@dataclasses.dataclass
class Row:
    """One measured thing: a value per round, of ToDD and of each peer in the same run. The ratio is of the medians, to the first peer."""
    name: str
    unit: str = ""
    ours: list = dataclasses.field(default_factory=list)
    peers: dict = dataclasses.field(default_factory=dict)  # name -> a value per round
    at_most: float = None  # limits of our median
    ratio_at_least: float = None  # limits of ours to the first peer's
    ratio_at_most: float = None
    wrong: list = dataclasses.field(default_factory=list)  # what makes the figure worth nothing: false loss, answers missing
    note: str = ""  # "not available: why" where there is no value

    def ratio(self):
        theirs = next(iter(self.peers.values()), [])
        if not self.ours or not theirs or statistics.median(theirs) == 0:  # nothing lost by either: no ratio
            return None
        return statistics.median(self.ours) / statistics.median(theirs)

    def target(self):
        unit = f" {self.unit}" if self.unit else ""
        texts = [f"<= {number(self.at_most)}{unit}" if self.at_most is not None else "",
                 f">= {self.ratio_at_least:g}x" if self.ratio_at_least is not None else "",
                 f"<= {self.ratio_at_most:g}x" if self.ratio_at_most is not None else ""]
        return ", ".join(text for text in texts if text)

    def met(self):
        """True or False; None where there is no target or nothing was measured."""
        if self.wrong:
            return False
        if not self.target() or not self.ours:
            return None
        ratio = self.ratio()
        if ratio is None and (self.ratio_at_least is not None or self.ratio_at_most is not None):
            return None
        return ((self.at_most is None or statistics.median(self.ours) <= self.at_most)
                and (self.ratio_at_least is None or ratio >= self.ratio_at_least)
                and (self.ratio_at_most is None or ratio <= self.ratio_at_most))

    def as_json(self):
        return dataclasses.asdict(self) | {"median": statistics.median(self.ours) if self.ours else None, "ratio": self.ratio(), "target": self.target(), "met": self.met()}


def number(value):
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) < 100 else f"{value:.0f}"


def figure(values, unit=""):
    """Median and, of several rounds, the least and the most."""
    if not values:
        return "-"
    text = number(statistics.median(values)) + (f" {unit}" if unit else "")
    return text if len(values) == 1 else f"{text} ({number(min(values))}..{number(max(values))})"


def lines_of(row):
    """The cells of the row; further peers have a line of their own."""
    peers = list(row.peers.items()) or [("", [])]
    met = {True: "yes", False: "NO", None: ""}[row.met()]
    ratio = row.ratio()
    first = [row.name, figure(row.ours, row.unit) if row.ours else row.note or "-", *(("", "") if not peers[0][0] else (peers[0][0], figure(peers[0][1], row.unit))),
             "" if ratio is None else f"{ratio:.2f}", row.target(), met]
    yield first
    for name, values in peers[1:]:
        yield ["", "", name, figure(values, row.unit), "", "", ""]
    for wrong in row.wrong:
        yield [f"  ! {wrong}", "", "", "", "", "", ""]
    if row.ours and row.note:
        yield [f"  {row.note}", "", "", "", "", "", ""]


def text_of(sections):
    """sections: (scenario, rows). Columns are as wide as they must be."""
    head = ["", "ToDD", "peer", "peer's", "ratio", "target", "met"]
    body = [(name, [line for row in rows for line in lines_of(row)]) for name, rows in sections]
    lines = [head] + [line for _, some in body for line in some if any(line[1:])]
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]

    def spaced(cells):
        return "  ".join(cell.ljust(width) for cell, width in zip(cells, widths)).rstrip()

    out = [spaced(head)]
    for name, some in body:
        out += [f"-- {name}"] + [spaced(line) for line in some]
    return "\n".join(out)
