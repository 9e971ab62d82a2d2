"""Reads the Prometheus text of /metrics (format 0.0.4)."""

import re

_SAMPLE = re.compile(r'^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)$')
_LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"')


class Metrics:
    def __init__(self, text):
        self.samples = []  # (name, labels, value)
        for line in text.splitlines():
            if not line or line.startswith("#"):
                continue
            match = _SAMPLE.match(line)
            assert match, f"not a sample: {line!r}"
            self.samples.append((match.group(1), dict(_LABEL.findall(match.group(2) or "")), float(match.group(3))))

    def sum(self, name, **labels):
        """Of all samples of this name that carry these labels."""
        found = [value for sample, have, value in self.samples
                 if sample == name and all(have.get(key) == wanted for key, wanted in labels.items())]
        assert found, f"/metrics has no {name} {labels or ''}"
        return int(sum(found))

    def by(self, name, label):
        return {have[label]: int(value) for sample, have, value in self.samples if sample == name and label in have}
