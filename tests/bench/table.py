"""Makes results/README.md of results/*.jsonl: one table a file, milliseconds (best median of a round), Sinter's ratio to the
fastest peer; of a GPU (results.jsonl of ../gpu_kit), microseconds of a call."""

import glob, json, math, os

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "results")
NAMES = {"sinter": "Sinter", "sinter-v3": "Sinter, AVX2", "eager": "PyTorch eager", "inductor": "torch.compile",
         "ort": "ONNX Runtime", "ov": "OpenVINO", "jax": "JAX"}


def number(x):
    return f"{x:.4g}"


def on_gpu(rows):
    """What `run bench` of the kit for machines with a GPU wrote."""
    cards = dict.fromkeys(f"{r['card']}, driver {r['driver']}" for r in rows if "card" in r)
    lines = [f"{rows[0]['date']}, {'; '.join(cards)}. Microseconds of a call, whose inputs and outputs lie on the GPU: the best.", "",
             "| workload | Sinter | GB/s | % of a copy | TFLOP/s | peer | its time | ratio |", "|---" * 8 + "|"]
    cell = lambda r, key: number(r[key]) if key in r else ""
    for r in rows:
        said = r.get("refused") or r.get("peer", "")
        lines.append(f"| {r['workload']} | {cell(r, 'best_us')} | {cell(r, 'gb_s')} | {cell(r, 'percent_of_copy')} | {cell(r, 'tflop_s')}"
                     f" | {said} | {cell(r, 'peer_best_us')} | {cell(r, 'ratio')} |")
    return lines


text = ["# Results", "", "Made by `tests/bench/table.py` of the lines of JSON beside it. Milliseconds: the best median of a round; `mnist`: an epoch.",
        "Ratio: the fastest peer's over Sinter's, above 1 Sinter is ahead. % of peak: of multiply-adds timed in the same process.", ""]
for path in sorted(glob.glob(os.path.join(HERE, "*.jsonl"))):
    rows = [json.loads(l) for l in open(path)]
    if any("card" in r for r in rows):
        text += [f"## {os.path.basename(path)}", "", *on_gpu(rows), ""]
        continue
    engines = [e for e in NAMES if any(r["engine"] == e for r in rows)]
    loads = [r["load"] for r in rows]
    text += [f"## {os.path.basename(path)}", "", f"{rows[0]['date']}, {rows[0]['cpu']}; load average {min(loads)} to {max(loads)}. "
             + "; ".join(f"{NAMES[e]} {next(r['version'] for r in rows if r['engine'] == e)}" for e in engines if e != "sinter-v3") + ".", ""]
    text += ["| workload | threads | " + " | ".join(NAMES[e] for e in engines) + " | ratio | % of peak |", "|---" * (len(engines) + 4) + "|"]
    ratios = []
    for key in dict.fromkeys((r["workload"], r["threads"]) for r in rows):
        of = {r["engine"]: r for r in rows if (r["workload"], r["threads"]) == key}
        s = of.get("sinter", {})
        percent = [f"{of[e]['percent_of_peak']:.0f}" for e in ("sinter", "sinter-v3")
                   if key[0].startswith("gemm") and "percent_of_peak" in of.get(e, {})]
        ratios += [s["ratio"]] if "ratio" in s else []
        text.append(f"| {key[0]} | {key[1]} | " + " | ".join(number(of[e]["best_ms"]) if e in of else "" for e in engines)
                    + f" | {s.get('ratio', '')} | {' (AVX2: '.join(percent) + (')' if len(percent) > 1 else '')} |")
    if ratios:
        mean = math.exp(sum(map(math.log, ratios)) / len(ratios))
        behind = sum(r < 1 for r in ratios)
        text += ["", f"Geometric mean of the ratios: {mean:.3f}; behind the fastest peer in {behind} of {len(ratios)} rows."]
    text.append("")
open(os.path.join(HERE, "README.md"), "w").write("\n".join(text))
