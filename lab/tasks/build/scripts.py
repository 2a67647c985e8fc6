"""Printed words of twenty writing systems: Noto fonts (Debian's fonts-noto-core) and the names of countries and languages (PyPI's babel).

Each picture is a part of one word, upright or a little turned, in dark ink on lighter paper, sharp or blurred. Splits differ in words.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from babel import Locale
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from models import Recipe
from photos import Made, shuffled

SIDE, LEVELS = 64, 16
LOCALES = {
    "Latin": "en fr de vi sw tr",
    "Greek": "el",
    "Cyrillic": "ru uk bg kk",
    "Armenian": "hy",
    "Georgian": "ka",
    "Hebrew": "he",
    "Arabic": "ar fa ur",
    "Ethiopic": "am ti",
    "Devanagari": "hi mr ne",
    "Bengali": "bn as",
    "Gujarati": "gu",
    "Gurmukhi": "pa",
    "Tamil": "ta",
    "Telugu": "te",
    "Kannada": "kn",
    "Malayalam": "ml",
    "Sinhala": "si",
    "Thai": "th",
    "Khmer": "km",
    "Myanmar": "my",
}
FACES = {"Latin": "Noto(Sans|Serif)-", "Greek": "Noto(Sans|Serif)-", "Cyrillic": "Noto(Sans|Serif)-", "Arabic": "Arabic|Urdu"}
# Of each class.
COUNTS = {"base": 120, "validation": 25, "seen": 90}

EDGE = Recipe(widths=(12, 16, 24, 32), pooled=(1, 2), epochs=25, side=64, stride=2, shift=3)
CLOUD = Recipe(widths=(24, 32, 56, 80), pooled=(1, 2), epochs=35, side=64, stride=2, shift=4, dropout=0.1)


def make(sources: Path) -> Made:
    folder = sources / "fonts-noto-core/usr/share/fonts/truetype/noto"
    random = np.random.default_rng(1)
    found: dict[str, tuple[list[np.ndarray], list[int]]] = {name: ([], []) for name in COUNTS}
    for label, (script, locales) in enumerate(LOCALES.items()):
        files = sorted(file for file in folder.glob("*.ttf") if re.search(FACES.get(script, f"Noto[A-Za-z]*{script}-"), file.name))
        words = random.permutation(sorted(words_of(script, locales)))
        names = np.repeat(list(COUNTS), list(COUNTS.values()))
        if len(words) < len(names):
            raise ValueError(f"{script}: {len(words)} words")
        for name, word in zip(names, words):
            photos, labels = found[name]
            photos.append(printed(str(word), files[random.integers(len(files))], random))
            labels.append(label)
    splits = {name: shuffled(np.stack(photos), np.array(labels), 1) for name, (photos, labels) in found.items()}
    return Made(
        about="20 classes, equally often, grey printed words of 64x64: writing systems",
        source="names of countries and languages of babel 2.19.0 (CLDR) in the fonts of Debian's fonts-noto-core 20201225-1",
        licence="Apache-2.0, as this repository: a document made with fonts of the OFL-1.1",
        labels=[script.lower() for script in LOCALES],
        frame_side=192,
        splits=splits,
    )


def words_of(script: str, locales: str) -> set[str]:
    words = set()
    for locale in map(Locale.parse, locales.split()):
        for name in [*locale.territories.values(), *locale.languages.values()]:
            for word in re.split(r"[\s()\-,،།]+", name):
                if len(word) >= 3 and (script == "Latin" or not re.search("[A-Za-z0-9]", word)):
                    words.add(word)
    return words


def printed(word: str, face: Path, random: np.random.Generator) -> np.ndarray:
    font = ImageFont.truetype(str(face), int(random.integers(18, 31)), layout_engine=ImageFont.Layout.RAQM)
    paper = int(random.integers(150, 251))
    ink = max(0, paper - int(random.integers(60, 151)))
    picture = Image.new("L", (160, 128), paper)
    ImageDraw.Draw(picture).text((80 + random.uniform(-12, 12), 64 + random.uniform(-6, 6)), word, fill=ink, font=font, anchor="mm")
    turned = picture.rotate(random.uniform(-8, 8), Image.Resampling.BICUBIC, fillcolor=paper).crop((48, 32, 112, 96))
    pixels = np.asarray(turned.filter(ImageFilter.GaussianBlur(random.uniform(0, 1.2))))
    return (np.round(pixels / 255 * (LEVELS - 1)) * (255 / (LEVELS - 1))).astype(np.uint8)
