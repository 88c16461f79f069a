"""The console's fonts: small, and with every icon that a page names."""

from fontTools.ttLib import TTFont

from tests.iotplatform.fonts import ICONS, TARGET, WEIGHTS, ligatures, named

LARGEST_BYTES = 50_000


def test_every_icon_that_a_page_names_is_drawn():
    drawn = ligatures(TTFont(TARGET / "icons.woff2"))
    missing = named(ligatures(TTFont(ICONS))) - drawn.keys()
    assert not missing, "“make fonts” adds them."


def test_letters_of_vietnamese_names_are_drawn():
    for weight in WEIGHTS:
        letters = TTFont(TARGET / f"Inter-{weight}.woff2").getBestCmap()
        assert {ord(letter) for letter in "Huế, Đà Nẵng: 21 °C µ"} <= letters.keys()


def test_a_page_is_loaded_without_large_fonts():
    assert all(file.stat().st_size < LARGEST_BYTES for file in TARGET.glob("*.woff2"))
