"""How long a flip holds producers: 100 partitions, replication factor 3, 5,000 records/s."""

from . import bench_hold


def scenario_hold(lab, settings):
    figures = bench_hold.measure(lab, flips=100 if settings.full else 6)
    bench_hold.write(figures, settings.json and settings.json + ".hold.json")
    print(bench_hold.render(figures), flush=True)
    # One small machine runs both clusters and every client: only a breakdown fails here, the figures are to be read.
    assert figures["hold_ms"]["max"] < 3500, figures["hold_ms"]
    hold = figures["hold_ms"]
    return f"longest hold of {figures['flips']} flips: p50 {hold['p50']:.0f} ms, p99 {hold['p99']:.0f} ms"
