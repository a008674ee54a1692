"""Draws results/ratios.svg: how Sinter stands to the fastest of the other engines in each row of a file of results, bars from 1
on a logarithmic axis.   python3 tests/bench/plot.py [FILE.jsonl]   (default: the newest in results/)"""

import glob, json, math, os, sys

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "results")
PEERS = {"eager": "PyTorch eager", "inductor": "torch.compile", "ort": "ONNX Runtime", "ov": "OpenVINO", "jax": "JAX"}
SAYS = {"gemm": "matrix product 512³", "gemm_gelu": "product, bias, GELU", "gemm_symbolic": "product of unknown size",
        "mlp_1": "MLP, 1 row", "mlp": "MLP, 64 rows", "ew": "element-wise", "layernorm": "layer norm", "softmax": "softmax",
        "normgelu": "layer norm, product, GELU", "conv": "convolution 3×3", "cnn": "CNN, 64 rows", "train_mlp": "MLP, training step",
        "digits": "digits MLP, training step", "train_cnn": "digits CNN, training step", "mnist": "MNIST, an epoch"}
LEFT, RIGHT, TOP, ROW, BAR, WIDE = 210, 190, 74, 34, 11, 860
STYLE = """
  text { font: 13px system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; fill: #1f2328 }
  .head { font-size: 16px; font-weight: 600 }
  .small { font-size: 11.5px; fill: #59636e }
  .grid { stroke: #d1d9e0; stroke-width: 1 }
  .one { stroke: #59636e; stroke-width: 1.5 }
  .t1 { fill: #0969da } .t2 { fill: #80b3f0 } .behind.t1 { fill: #bc4c00 } .behind.t2 { fill: #e8a27a }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 } .small { fill: #9198a1 } .grid { stroke: #3d444d } .one { stroke: #9198a1 }
    .t1 { fill: #4493f8 } .t2 { fill: #24548f } .behind.t1 { fill: #f0883e } .behind.t2 { fill: #8a4b1c }
  }
"""


def newest():
    files = [f for f in glob.glob(os.path.join(HERE, "*.jsonl")) if '"card"' not in open(f).readline()]  # those of processors
    return max(files, key=lambda f: json.loads(open(f).readline())["date"])


def ticks(lo, hi):
    return [t for t in (0.25, 0.5, 0.75, 1, 1.5, 2, 3, 4, 6, 8, 12, 16) if lo <= t <= hi]


def draw(rows, name):
    rows = [r for r in rows if r["engine"] == "sinter" and "ratio" in r]
    works = list(dict.fromkeys(r["workload"] for r in rows))
    threads = sorted({r["threads"] for r in rows})[:2]
    lo, hi = min(0.75, *(r["ratio"] for r in rows)) * 0.97, max(2, *(r["ratio"] for r in rows)) * 1.05
    x = lambda v: LEFT + (WIDE - LEFT - RIGHT) * math.log(v / lo) / math.log(hi / lo)
    high, mean = TOP + ROW * len(works) + 46, math.exp(sum(math.log(r["ratio"]) for r in rows) / len(rows))
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDE}" height="{high}" viewBox="0 0 {WIDE} {high}" role="img">',
           f"<title>Sinter beside the fastest other engine: geometric mean {mean:.2f}</title>", f"<style>{STYLE}</style>",
           f'<text class="head" x="{LEFT}" y="22">Speed beside the fastest of ' + f"{len({r['fastest_peer'] for r in rows})} other engines</text>",
           f'<text class="small" x="{LEFT}" y="42">times as fast as the fastest peer, named at the right (orange: behind it); geometric mean {mean:.2f}</text>']
    for i, t in enumerate(threads):
        at = LEFT + 430 - LEFT % 10 + 100 * i
        out += [f'<rect class="t{i + 1}" x="{at}" y="{13}" width="{BAR}" height="{BAR}" rx="2"/>',
                f'<text class="small" x="{at + 16}" y="{23}">{t} thread{"s" if t > 1 else ""}</text>']
    bottom = TOP + ROW * len(works) + 4
    for v in ticks(lo, hi):
        out += [f'<line class="{"one" if v == 1 else "grid"}" x1="{x(v):.1f}" y1="{TOP - 12}" x2="{x(v):.1f}" y2="{bottom}"/>',
                f'<text class="small" x="{x(v):.1f}" y="{bottom + 16}" text-anchor="middle">{v:g}×</text>']
    for k, work in enumerate(works):
        y = TOP + ROW * k
        out.append(f'<text x="{LEFT - 12}" y="{y + 15}" text-anchor="end">{SAYS.get(work, work)}</text>')
        said = []
        for i, t in enumerate(threads):
            for r in rows:
                if (r["workload"], r["threads"]) != (work, t):
                    continue
                a, b = sorted((x(1), x(r["ratio"])))
                behind = " behind" if r["ratio"] < 1 else ""
                out.append(f'<rect class="t{i + 1}{behind}" x="{a:.1f}" y="{y + i * (BAR + 1)}" width="{max(b - a, 1.5):.1f}" height="{BAR}" rx="2">'
                           f"<title>{work}, {t} threads: {r['ratio']:.2f} times {PEERS[r['fastest_peer']]}</title></rect>")
                said.append((r["ratio"], PEERS[r["fastest_peer"]]))
        peers = list(dict.fromkeys(p for _, p in said))
        text = " · ".join(f"{v:.2f}" for v, _ in said)
        out.append(f'<text x="{WIDE - RIGHT + 12}" y="{y + 10}">{text}</text>')
        out.append(f'<text class="small" x="{WIDE - RIGHT + 12}" y="{y + 24}">{", ".join(peers)}</text>')
    r = rows[0]
    loads = [q["load"] for q in rows]
    where = f"{r['cpu'].rsplit(', ', 1)[0]}, {r['date'][:10]}; load average {min(loads)} to {max(loads)}; tests/bench/results/{name}"
    out += [f'<text class="small" x="{WIDE - 12}" y="{high - 6}" text-anchor="end">{where}</text>', "</svg>"]
    return "\n".join(out) + "\n"


path = sys.argv[1] if len(sys.argv) > 1 else newest()
with open(os.path.join(HERE, "ratios.svg"), "w") as f:
    f.write(draw([json.loads(l) for l in open(path)], os.path.basename(path)))
