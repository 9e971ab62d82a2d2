"""What a server looks like while something happens to it: resident memory, handshakes in flight."""

import threading
import time


class Watch:
    """Samples until stop(). Memory from /proc, often; /metrics seldom, since answering it is work for the server."""

    MEMORY_EVERY_S, METRICS_EVERY_S = 0.05, 0.5

    def __init__(self, cyan):
        self.cyan = cyan
        self.before = cyan.metrics()
        self.resident_before = self.resident_peak = cyan.resident_bytes()
        self.peaks = {}
        self.over = threading.Event()
        self.thread = threading.Thread(target=self._sample, daemon=True)
        self.thread.start()

    def _sample(self):
        next_metrics = 0
        while not self.over.wait(self.MEMORY_EVERY_S):
            self.resident_peak = max(self.resident_peak, self.cyan.resident_bytes())
            if time.monotonic() >= next_metrics:
                next_metrics = time.monotonic() + self.METRICS_EVERY_S
                self._note(self.cyan.metrics())

    def _note(self, metrics):
        for name, value in metrics.items():
            self.peaks[name] = max(self.peaks.get(name, value), value)

    def stop(self):
        self.over.set()
        self.thread.join()
        self.after = self.cyan.metrics()
        self._note(self.after)

    def grown(self, *beginnings):
        """Counters that moved: name -> by how much."""
        return {name: value - self.before.get(name, 0) for name, value in sorted(self.after.items())
                if name.startswith(beginnings) and "_total" in name and value != self.before.get(name, 0)}

    def peak(self, *beginnings):
        """Gauges: name -> the highest seen."""
        return {name: value for name, value in sorted(self.peaks.items())
                if name.startswith(beginnings) and "_total" not in name}
