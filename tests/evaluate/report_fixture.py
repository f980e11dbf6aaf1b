"""An invented report that holds everything a page can show, over the kept report of the demo run."""

import json
from pathlib import Path
from typing import Any

KEPT = Path(__file__).with_name("report.json")  # of a real run; what is kept as a result changes with every run
HOSTILE = "<script>alert('title')</script> & $x$ \"clerk\""
# Query, right titles, found titles ("+" right, "-" wrong): all written for this page.
QUERIES = {
    "talentclef:en": [
        ("barback", ["bar assistant", "bar porter", "beverage runner"], "-banker +bar assistant -back-end developer"),
        ("front of house lead", ["restaurant supervisor", "dining room manager", "head waiter", "hostess",
         "floor manager", "maître d'hôtel", "service captain"], "-house painter -team lead +head waiter -lead singer"),
        ("RN, night shift", ["registered nurse", "staff nurse"], "-night porter -shift manager -night auditor"),
        ("growth hacker", ["digital marketing specialist", "online marketer"], "-hair grower -ethical hacker"),
        ("Sous chef de partie (garde manger)", ["cold kitchen cook"],
         "-security guard -garden manager +cold kitchen cook"),
        (HOSTILE, ["script supervisor"], "+script supervisor -alert operator"),
    ],
    "talentclef:es": [
        ("peón de almacén", ["mozo de almacén", "operario logístico"],
         "-jefe de almacén -peón agrícola +mozo de almacén"),
        ("técnico en frío industrial", ["frigorista"], "-técnico industrial -operario de cámara +frigorista"),
    ],
    "talentclef:de": [
        ("Kfz-Mechatroniker/in für Karosserietechnik und Hochvoltsysteme", ["Karosseriebauer", "Autospengler"],
         "-Kfz-Sachverständiger -Mechatroniker +Karosseriebauer"),
        ("Servicekraft", ["Kellner", "Bedienung"], "-Servicetechniker -Kraftfahrer -Kraftwerker"),
    ],
    "talentclef:zh": [("护士长", ["病房护士主管", "护理组长"], "-护林员 +护理组长 -卫士")],
}  # fmt: skip


def whole_report() -> dict[str, Any]:
    """Every section; figures that are not the demo's are invented."""
    report: dict[str, Any] = json.loads(KEPT.read_text(encoding="utf-8"))
    sets = list(report["queries"])
    report["worst"] = {name: [row for copy in range(5) for row in worst_rows(name, copy)] for name in QUERIES}
    report["dims"] = {
        name: {str(width): {"map": report["after"][name]["map"] * share, "ndcg@200": 0.5} for width, share in WIDTHS}
        for name in sets
    }
    report["languages"] = {
        "rows": ["en", "de", "es"], "columns": ["en", "de", "es", "zh"], "metric": "map", "family": "esco",
        "before": [[0.716, 0.301, 0.402, 0.064], [0.288, 0.512, 0.251, None], [0.377, 0.249, 0.548, 0.05]],
        "after": [[0.788, 0.342, 0.398, 0.061], [0.331, 0.541, 0.266, None], [0.402, 0.261, 0.571, 0.049]],
    }  # fmt: skip
    report["general"] = {
        "stsb-tr:dev": {
            "metric": "spearman", "before": 0.412, "after": 0.371, "low": -0.062, "high": -0.019, "warn": True,
        },
        "tquad:dev": {"metric": "map", "before": 0.655, "after": 0.649, "low": -0.021, "high": 0.008, "warn": False},
    }  # fmt: skip
    report["gender"] = {"esco-gender:de": {"before": 0.713, "after": 0.842, "low": 0.11, "high": 0.147, "pairs": 2318}}
    report["triplets"] = {
        "telecom": {
            f"telecom-{width}d_cosine_accuracy": {"before": 0.81, "after": 0.9, "low": width / 1e4, "high": 0.131}
            for width, _ in WIDTHS[:2]
        }
    }
    report["audit"] = audit()
    report["history"] = [
        {"step": step, "epoch": step / 10, **{f"{name} map": value(report, name, step)
         for name in sets}}
        for step in range(0, 121, 20)
    ]  # fmt: skip
    return report


WIDTHS = [(384, 1.0), (256, 0.992), (128, 0.957), (64, 0.871), (32, 0.69)]


def value(report: dict[str, Any], name: str, step: int) -> float:
    """From before to after, quickly at first."""
    before, after = (report[stage][name]["map"] for stage in ("before", "after"))
    return before + (after - before) * (1 - (1 - step / 120) ** 3)


def worst_rows(name: str, copy: int) -> list[dict[str, Any]]:
    """Rows of one set; copies differ in id and value."""
    rows = []
    for place, (text, right, found) in enumerate(QUERIES[name]):
        titles = [(title[1:], title[0] == "+") for title in _split(found)]
        rank = {title: position for position, (title, _) in enumerate(titles, start=1)}
        gold = sorted(right, key=lambda title: rank.get(title, 99))
        after = 0.01 * (place + 1) + 0.07 * copy
        rows.append({
            "query": f"q{100 * copy + place}", "text": text, "metric": "map",
            "before": round(after * (1.4 if place % 2 else 0.8), 4), "after": after,
            "gold": [{"id": f"c{title}", "text": title, "rank": rank.get(title)} for title in gold],
            "relevant": len(gold) + (9 if place == 1 else 0),
            "predicted": [
                {"id": f"c{title}", "text": title, "score": 0.81 - 0.03 * position, "right": good}
                for position, (title, good) in enumerate(titles)
            ],
        })  # fmt: skip
    return rows


def _split(found: str) -> list[str]:
    """ "-a b +c" -> ["-a b", "+c"]."""
    parts: list[str] = []
    for word in found.split():
        parts = [*parts, word] if word[0] in "+-" else [*parts[:-1], f"{parts[-1]} {word}"]
    return parts


def audit() -> dict[str, Any]:
    """As `tutelage audit` writes it, with invented figures."""
    bins = [round(-1 + 0.02 * edge, 2) for edge in range(101)]
    margins = [round(-0.5 + 0.01 * place, 2) for place in range(101)]
    bell = [2.718 ** -(((bins[place] - 0.22) / 0.13) ** 2) for place in range(100)]
    slope = [2.718 ** -(((bins[place] - 0.71) / 0.14) ** 2) for place in range(100)]
    seen = {
        "batches": 24, "rows": 6144, "candidates": 6_266_880,
        "dropped": {"self": 16_344, "text": 0, "never": 12, "group": 0, "guide": 126_400},
        "rates": {"self": 0.002608, "text": 0.0, "never": 0.000002, "group": 0.0, "guide": 0.02017},
        "partition": 0.0942,
        "histogram": {
            "positives": [round(4e2 * share) for share in slope], "negatives": [round(4e5 * share) for share in bell],
        },
        "rate_at_margin": {
            "absolute": [min(1.0, 0.02 * 2.718 ** (8 * margin)) for margin in margins],
            "relative": [min(1.0, 0.02 * 2.718 ** (6 * margin)) for margin in margins],
        },
        "margin_for_rate": {"absolute": -0.0871, "relative": None},
        "agreement": {"spearman": 0.8432, "pairs": 100_000, "encoder_drops_too": 0.71, "guide_drops_too": 0.64},
    }  # fmt: skip
    names = ("anchor", "candidate", "guide_score", "ceiling", "encoder_score", "times", "same_concept")
    dropped = [
        ("hair stylist", "hairdresser", 0.91, 0.74, 0.88, 9, False),
        ("barkeeper", "bartender", 0.93, 0.8, 0.9, 7, False),
        (HOSTILE, "scrivener", 0.61, 0.6, 0.4, 3, False),
        ("wind turbine fitter", "wind turbine technician", 0.9, 0.77, 0.85, 3, True),
    ]
    near = [("tile layer", "floor layer", 0.69, 0.691, 0.72, 2, False)]
    return {
        "name": "demo", "guide": "all-MiniLM-L6-v2", "encoder": "all-MiniLM-L6-v2", "margin": 0.0,
        "margin_strategy": "absolute", "rate": 0.01, "bins": bins, "margins": margins,
        "sets": {"esco:en": {"256": seen, "1024": seen}},
        "dropped": [dict(zip(names, pair, strict=True)) for pair in dropped],
        "near": [dict(zip(names, pair, strict=True)) for pair in near],
    }  # fmt: skip
