"""How long a flip holds producers: 100 partitions, replication factor 3, 5,000 records/s."""
from . import bench_hold


def scenario_hold(lab, settings):
    figures = bench_hold.measure(lab, flips=100 if settings.full else 6)
    bench_hold.write(figures, settings.json and settings.json + ".hold.json")
    print(bench_hold.render(figures), flush=True)
    # CI's machine runs both clusters and every client on a few cores: only a breakdown fails here; the figures are for reading.
    assert figures["hold_ms"]["max"] < 3500, figures["hold_ms"]
    return f"hold p50 {figures['hold_ms']['p50']:.0f} ms, p99 {figures['hold_ms']['p99']:.0f} ms over {figures['flips']} flips"
