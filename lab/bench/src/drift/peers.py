"""The methods that bench drift compares with, on its windows: one command a line on standard input, one answer a line.

PSI is Evidently's, with its bins and threshold; KS is scipy's, with Evidently's threshold; ADWIN and Page-Hinkley are river's, with
river's settings, on one stream a feature and class, frame by frame. A camera alarms when one of its streams does."""

import json
import sys

import numpy as np
import pandas as pd
from evidently.legacy.calculations.stattests import psi_stat_test
from evidently.legacy.core import ColumnType
from river.drift import ADWIN, PageHinkley
from scipy.stats import ks_2samp

KS_P = 0.05


class Psi:
    """Of every feature and of the labels; drift of the data set is Evidently's default: half of the columns."""

    def __init__(self, raw, labels):
        self.columns = [(pd.Series(column), ColumnType.Numerical) for column in raw.T]
        self.columns.append((pd.Series(labels), ColumnType.Categorical))

    def scores(self, raw, labels):
        currents = [*raw.T, labels]
        pairs = zip(self.columns, currents)
        return [float(psi_stat_test(past, pd.Series(now), kind, None).drift_score) for (past, kind), now in pairs]


def ks_p(past, now):
    """The least p-value of all features."""
    return min(ks_2samp(a, b).pvalue for a, b in zip(past.T, now.T))


class Sequential:
    """One detector a stream; each starts again by itself once it detected something."""

    def __init__(self, make, streams):
        self.detectors = [make() for _ in range(streams)]

    def is_alarm(self, values):
        found = False
        for detector, stream in zip(self.detectors, values.T.tolist()):
            for value in stream:
                detector.update(value)
                found = found or detector.drift_detected
        return found


class Table:
    def __init__(self, folder, frames, features, streams):
        self.raw = np.fromfile(f"{folder}/raw.f32", np.float32).reshape(frames, features).astype(float)
        self.values = np.fromfile(f"{folder}/values.f32", np.float32).reshape(frames, streams).astype(float)
        self.labels = np.fromfile(f"{folder}/labels.u8", np.uint8)


# By the PSI of all columns, the least p-value of KS, and the number of features.
BATCH = {
    "PSI > .1": lambda psi, ks, features: max(psi) > 0.1,
    "PSI > .2": lambda psi, ks, features: max(psi) > 0.2,
    "PSI > .1, half of the columns": lambda psi, ks, features: sum(score > 0.1 for score in psi) * 2 >= len(psi),
    "KS p < .05": lambda psi, ks, features: ks < KS_P,
    "KS p < .05 / features": lambda psi, ks, features: ks < KS_P / features,
}
SEQUENTIAL = {"ADWIN": ADWIN, "Page-Hinkley": PageHinkley}


def watch(table, windows, baseline, change):
    """`windows`: frames by window. The first `baseline` are the past; the change is at window `change`, or never (null).

    Gives for each method the first window from the change on that alarms, and how many alarmed before of how many looked at.
    Methods that look at each window alone look at those before the change only where there is none."""
    past = windows[:baseline].ravel()
    psi = Psi(table.raw[past], table.labels[past])
    answer = {}
    first = baseline if change is None else change
    found = {name: [] for name in BATCH}
    delay = dict.fromkeys(BATCH)
    for w in range(first, len(windows)):
        open_ = [name for name in BATCH if change is None or delay[name] is None]
        if not open_:
            break
        frames = windows[w]
        scores = psi.scores(table.raw[frames], table.labels[frames])
        ks = ks_p(table.raw[past], table.raw[frames])
        for name in open_:
            if BATCH[name](scores, ks, table.raw.shape[1]):
                found[name].append(w)
                delay[name] = delay[name] or w - first + 1
    for name in BATCH:
        is_change = change is not None
        looked = 0 if is_change else len(windows) - first
        answer[name] = {"delay": delay[name] if is_change else None, "alarms": 0 if is_change else len(found[name]), "looked": looked}
    for name, make in SEQUENTIAL.items():
        detectors = Sequential(make, table.raw.shape[1])
        alarms, seen = 0, None
        for w, frames in enumerate(windows):
            is_alarm = detectors.is_alarm(table.values[frames, : table.raw.shape[1]])
            if w < baseline:
                continue
            if change is None or w < change:
                alarms += is_alarm
            elif is_alarm:
                seen = w - change + 1
                break
        answer[name] = {"delay": seen, "alarms": alarms, "looked": (change or len(windows)) - baseline}
    return answer


def main():
    table = None
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        command = json.loads(line)
        if command["kind"] == "table":
            table = Table(command["folder"], command["frames"], command["features"], command["streams"])
            print(json.dumps({}), flush=True)
        elif command["kind"] == "psi":
            # Windows of several cameras beside the same past.
            past = np.array(command["past"])
            psi = Psi(table.raw[past], table.labels[past])
            scores = [psi.scores(table.raw[frames], table.labels[frames]) for frames in np.array(command["windows"])]
            print(json.dumps([max(each) for each in scores]), flush=True)
        else:
            windows = np.array(command["frames"], dtype=np.uint32).reshape(command["windows"], -1)
            print(json.dumps(watch(table, windows, command["baseline"], command["change"])), flush=True)


main()
