"""Spectrograms of notes of instruments, by family: the soundfonts of Debian's fluid-soundfont-gm and musescore-general-soundfont.

Each picture is one note or two, synthesised with the General MIDI programs of a family, louder or softer, begun a little earlier or
later, with some noise of a room: 64 steps of time by 64 bands of the mel scale, 60 dB from black to white in 12 steps. Splits differ in
pitch: those that cameras see were not trained on, and one of the programs of each family neither.
"""

from __future__ import annotations

import sys
import types
from pathlib import Path

import numpy as np

from models import Recipe
from photos import Made, shuffled

RATE = 22_050
SIDE, WINDOW = 64, 1024
DECIBELS, LEVELS = 60, 12
# The last program of each is only seen by cameras.
FAMILIES = {
    "piano": (0, 1, 3, 4, 5, 2),
    "mallets": (8, 9, 11, 12, 13, 10),
    "organ": (16, 17, 19, 20, 21, 18),
    "guitar": (24, 25, 26, 27, 28, 15),
    "bass": (32, 33, 35, 36, 38, 34),
    "strings": (40, 41, 42, 44, 48, 43),
    "plucked": (45, 46, 104, 105, 106, 107),
    "brass": (56, 57, 58, 60, 61, 59),
    "reeds": (64, 65, 66, 68, 70, 71),
    "flutes": (72, 73, 74, 75, 78, 77),
}
PITCHES = range(43, 80)
# Of every six neighbours, two are heard by cameras alone, one is of the validation set.
SPLIT_OF_PITCH = ("base", "base", "seen", "base", "validation", "seen")
# Of each family.
COUNTS = {"base": 150, "validation": 40, "seen": 110}

EDGE = Recipe(widths=(8, 12, 20, 24), pooled=(0, 1, 2), epochs=40, side=64, shift=2)
CLOUD = Recipe(widths=(24, 32, 48, 64), pooled=(1, 2), epochs=50, side=64, stride=2, shift=4, dropout=0.1)


def make(sources: Path) -> Made:
    synthesiser = Synthesiser(sources)
    random = np.random.default_rng(1)
    splits = {}
    for name, count in COUNTS.items():
        pitches = [pitch for pitch in PITCHES if SPLIT_OF_PITCH[pitch % 6] == name]
        photos, labels = [], []
        for label, programs in enumerate(FAMILIES.values()):
            known = programs if name == "seen" else programs[:-1]
            for i in range(count):
                program = known[i % len(known)]
                photos.append(spectrogram(synthesiser.note(program, pitches, random), random))
                labels.append(label)
        splits[name] = shuffled(np.stack(photos), np.array(labels), 1)
    return Made(
        about=f"{len(FAMILIES)} classes, equally often, grey spectrograms of 64x64: notes of instruments, by family",
        source="made with the soundfonts of Debian's fluid-soundfont-gm 3.1-5.3 and musescore-general-soundfont 0.2.1-1",
        licence="MIT",
        labels=list(FAMILIES),
        frame_side=192,
        splits=splits,
    )


class Synthesiser:
    def __init__(self, sources: Path) -> None:
        # It plays sound by pyaudio, which is not needed to compute it.
        silent = types.ModuleType("pyaudio")
        silent.PyAudio, silent.paFloat32, silent.paContinue, silent.paInt16 = object, 1, 1, 1
        sys.modules["pyaudio"] = silent
        import tinysoundfont

        self.synth = tinysoundfont.Synth(samplerate=RATE)
        self.fonts = [
            self.synth.sfload(str(sources / "fluid-soundfont-gm/usr/share/sounds/sf2/FluidR3_GM.sf2")),
            self.synth.sfload(str(sources / "musescore-general-soundfont/usr/share/sounds/sf3/MuseScore_General_Full.sf3")),
        ]

    def note(self, program: int, pitches: list[int], random: np.random.Generator) -> np.ndarray:
        while True:
            sound = self.attempt(program, pitches, random)
            # A font may have no sample of so soft or so high a note.
            if np.abs(sound).max() > 1e-3:
                return sound

    def attempt(self, program: int, pitches: list[int], random: np.random.Generator) -> np.ndarray:
        self.synth.program_select(0, self.fonts[random.integers(2)], 0, program)
        notes = random.choice(pitches, 2 if random.random() < 0.25 else 1, replace=False)
        for pitch in notes:
            self.synth.noteon(0, int(pitch), int(random.integers(40, 127)))
        held = self.samples(random.uniform(0.4, 0.9))
        for pitch in notes:
            self.synth.noteoff(0, int(pitch))
        sound = np.concatenate([np.zeros(int(RATE * random.uniform(0, 0.12))), held, self.samples(1.2)])
        self.synth.sounds_off()
        self.synth.generate(2000)
        return sound[: int(RATE * 1.2)]

    def samples(self, seconds: float) -> np.ndarray:
        stereo = np.frombuffer(bytes(self.synth.generate(int(RATE * seconds))), np.float32)
        return stereo.reshape(-1, 2).mean(1)


def spectrogram(sound: np.ndarray, random: np.random.Generator) -> np.ndarray:
    noise = random.normal(0, np.abs(sound).max() * 10 ** random.uniform(-3.6, -2.2), len(sound))
    hop = (len(sound) - WINDOW) // (SIDE - 1)
    parts = np.stack([(sound + noise)[i * hop : i * hop + WINDOW] * np.hanning(WINDOW) for i in range(SIDE)])
    power = np.abs(np.fft.rfft(parts)) ** 2
    mel = 2595 * np.log10(1 + np.fft.rfftfreq(WINDOW, 1 / RATE) / 700)
    edges = np.linspace(mel[2], mel[-1], SIDE + 2)
    rising = (mel - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    falling = (edges[2:, None] - mel) / (edges[2:] - edges[1:-1])[:, None]
    loudness = 10 * np.log10(np.clip(np.minimum(rising, falling), 0, None) @ power.T + 1e-12)
    share = np.clip((loudness - loudness.max()) / DECIBELS + 1, 0, 1)
    return (np.round(share[::-1] * (LEVELS - 1)) * (255 / (LEVELS - 1))).astype(np.uint8)
