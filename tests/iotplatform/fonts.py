"""`make fonts`: of the fonts that Unfold brings, what the console shows, a fifth of their size.

Letters of European languages and Vietnamese; what else there is in a name is drawn by Unfold's own
files, which a browser loads only then. Of the icons, those that templates and menus name.
"""

import re
import shutil
from pathlib import Path

import unfold
from fontTools.subset import Options, Subsetter
from fontTools.ttLib import TTFont

ROOT = Path(__file__).resolve().parents[2]
UNFOLD = Path(unfold.__file__).parent
SOURCES = UNFOLD / "static" / "unfold" / "fonts"
TARGET = ROOT / "accounts" / "static" / "accounts" / "fonts"
ICONS = SOURCES / "material-symbols" / "Material-Symbols-Outlined.woff2"
WEIGHTS = ("Regular", "Medium", "SemiBold")
# As `unicode-range` in fonts.css: Latin, its accents and those of Vietnamese, signs of prices,
# units and typography.
LETTERS = [
    *range(0x20, 0x250), *range(0x2B0, 0x370), 0x3A9, 0x3BC, *range(0x1E00, 0x1F00),
    *range(0x2000, 0x2070), *range(0x20A0, 0x20C0), *range(0x2100, 0x2200), 0x2212, 0x2248, 0x2260,
    0x2264, 0x2265,
]  # fmt: skip
LETTERS_OF_ICONS = [*range(ord("a"), ord("z") + 1), *range(ord("0"), ord("9") + 1), ord("_")]
# After the class of an icon, or a word for one, there is its name not far away.
NAMED = re.compile(r"material-symbols-outlined.{0,400}|icon.{0,40}", re.DOTALL)
WORD = re.compile(r"[a-z][a-z0-9_]{2,}")
LITERAL = re.compile(r'"([a-z][a-z0-9_]{2,})"')


def ligatures(font: TTFont) -> dict[str, str]:
    """The name by which a page calls an icon → that of its glyph."""
    letters = {glyph: chr(code) for code, glyph in font.getBestCmap().items() if code < 128}
    found = {}
    for lookup in font["GSUB"].table.LookupList.Lookup:
        for table in lookup.SubTable:
            sets = getattr(getattr(table, "ExtSubTable", table), "ligatures", {})
            for first, ends in sets.items():
                for end in ends:
                    name = "".join(letters.get(each, "?") for each in (first, *end.Component))
                    found[name] = end.LigGlyph
    return found


def named(known: dict[str, str]) -> set[str]:
    """The icons that templates, scripts and menus may name; a few too many, never one too few."""
    words: set[str] = set()
    for file in sources():
        text = file.read_text()
        words.update(word for near in NAMED.findall(text) for word in WORD.findall(near))
        if file.name in ("admin.py", "look.py"):
            words.update(LITERAL.findall(text))
    return words & known.keys()


def sources() -> list[Path]:
    ours = [ROOT / name for name in ("accounts", "devices", "telemetry", "iotplatform")]
    files = [file for top in (*ours, UNFOLD) for file in top.rglob("*.py")]
    pages = [file for top in (*ours, ROOT / "templates", UNFOLD) for file in top.rglob("*.html")]
    scripts = [file for top in ours for file in top.rglob("static/*/*.js")]
    return [*files, *pages, *scripts, UNFOLD / "static" / "unfold" / "js" / "app.js"]


def subset(source: Path, target: Path, **wanted: list[int] | list[str]) -> None:
    options = Options(flavor="woff2", layout_closure=False, notdef_outline=True)
    options.layout_features = ["kern", "liga", "rlig", "calt", "ccmp", "locl", "mark", "mkmk"]
    font = TTFont(source)
    cutter = Subsetter(options)
    cutter.populate(**wanted)
    cutter.subset(font)
    font.flavor = "woff2"
    font.save(target)


def main() -> None:
    TARGET.mkdir(exist_ok=True)
    for weight in WEIGHTS:
        name = f"Inter-{weight}.woff2"
        subset(SOURCES / "inter" / name, TARGET / name, unicodes=LETTERS)
    icons = ligatures(TTFont(ICONS))
    glyphs = [icons[name] for name in sorted(named(icons))]
    subset(ICONS, TARGET / "icons.woff2", glyphs=glyphs, unicodes=LETTERS_OF_ICONS)
    shutil.copy(ICONS.parent / "LICENSE", TARGET / "LICENSE-icons")
    shutil.copy(SOURCES / "inter" / "LICENSE", TARGET / "LICENSE-Inter")


if __name__ == "__main__":
    main()
