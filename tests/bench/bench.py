"""`./dev bench`: Sinter beside other engines on the same inputs and weights, in turn, round by round, each in a process of
its own. Refuses results that are not the f64 answer. README.md beside this file says how to read it."""

import argparse, datetime, json, math, os, platform, shutil, statistics, subprocess, sys, time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
VENV = os.path.join(ROOT, "build", "bench-venv")
WORK = os.path.join(ROOT, "build", "bench")
# PyTorch must come first and alone, or the resolver takes another build of it.
PACKAGES = {"sinter": ["numpy"], "sinter-v3": ["numpy"], "sinter-v2": ["numpy"], "eager": ["torch==2.13.0", "numpy"],
            "inductor": ["torch==2.13.0", "numpy"], "ort": ["torch==2.13.0", "numpy", "onnx", "onnxruntime"],
            "ov": ["torch==2.13.0", "numpy", "onnx", "openvino"], "jax": ["numpy", "jax==0.10.2", "optax"]}
MODULES = {"torch==2.13.0": "torch", "jax==0.10.2": "jax"}
NAMES = ["gemm", "gemm_gelu", "gemm_symbolic", "mlp_1", "mlp", "ew", "layernorm", "softmax", "normgelu", "train_mlp", "digits", "conv", "cnn", "train_cnn", "mnist"]


def options():
    p = argparse.ArgumentParser(prog="./dev bench", description="Measures workloads on Sinter and on other engines, in turn.")
    p.add_argument("workloads", nargs="*", help="of: " + " ".join(NAMES) + "; `gemm` is all three gemm rows; mnist wants SINTER_DATA, "
                   "the folder of the four MNIST idx files; none: all but mnist")
    p.add_argument("--threads", default="1,2", help="numbers of threads (default 1,2)")
    p.add_argument("--engines", help="of: " + " ".join(PACKAGES) + " (default: all but sinter-v2; sinter-v3 for gemm rows)")
    p.add_argument("--rounds", type=int, default=5, help="rounds (default 5)")
    p.add_argument("--seconds", type=float, default=0.5, help="for each engine in a round (default 0.5)")
    p.add_argument("--json", help="writes a line of JSON for each row")
    p.add_argument("--sinter", default=os.path.join(ROOT, "build", "sinter"), help="the compiler (default build/sinter)")
    o = p.parse_args()
    o.workloads = o.workloads or NAMES[:-1]
    if "gemm" in o.workloads:
        at = o.workloads.index("gemm")
        o.workloads[at + 1:at + 1] = [n for n in ("gemm_gelu", "gemm_symbolic") if n not in o.workloads]
    o.threads = [int(t) for t in o.threads.split(",")]
    o.engines = o.engines.split(",") if o.engines else None
    for n in o.workloads:
        if n not in NAMES:
            p.error(f"there is no workload {n}; there are: {' '.join(NAMES)}")
    for e in o.engines or []:
        if e not in PACKAGES:
            p.error(f"there is no engine {e}; there are: {' '.join(PACKAGES)}")
    return o


def engines_of(o, name):
    if o.engines:
        return o.engines
    return [e for e in PACKAGES if e not in ("sinter-v2",) and (e != "sinter-v3" or name.startswith("gemm"))]


def enter_venv(o):
    """Installs what the engines want, and goes on inside. An engine that cannot be installed is left out."""
    python = os.path.join(VENV, "bin", "python")
    if not os.path.exists(python):
        if subprocess.run([sys.executable, "-m", "venv", VENV]).returncode:
            sys.exit("bench: python3 cannot make build/bench-venv; Debian's package python3-venv is needed")
    wanted = sorted({e for n in o.workloads for e in engines_of(o, n)}, key=list(PACKAGES).index)
    gone = []
    for e in wanted:
        for package in PACKAGES[e]:
            if subprocess.run([python, "-c", "import " + MODULES.get(package, package)], capture_output=True).returncode == 0:
                continue
            print(f"installing {package} into build/bench-venv", flush=True)
            if subprocess.run([python, "-m", "pip", "install", "-q", "--disable-pip-version-check", package], stderr=subprocess.DEVNULL).returncode:
                gone.append(e)
                break
    if os.path.realpath(sys.prefix) != os.path.realpath(VENV):
        os.environ["SINTER_BENCH_WITHOUT"] = ",".join(gone)
        os.execv(python, [python, os.path.abspath(__file__), *sys.argv[1:]])


def processor():
    text = open("/proc/cpuinfo").read() if os.path.exists("/proc/cpuinfo") else ""
    field = lambda k: next((l.split(":", 1)[1].strip() for l in text.splitlines() if l.startswith(k)), "")
    return f"{field('model name') or platform.processor()}, family {field('cpu family')} model {field('model')}, {os.cpu_count()} processors"


class Sinter:
    """`sinter run` for the answer, `sinter bench` for the times."""

    def __init__(self, o, engine, threads):
        self.o, self.engine, self.threads = o, engine, threads
        self.env = dict(os.environ)
        if "-" in engine:
            self.env["SINTER_CPU"] = engine.split("-")[1]
        self.version = subprocess.run([o.sinter, "--version"], capture_output=True, text=True, check=True).stdout.split()[-1]

    def run(self, *words):
        pin = (lambda: os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})) if self.threads == 1 else None
        p = subprocess.run([self.o.sinter, *words], env=self.env, preexec_fn=pin, capture_output=True, text=True)
        if p.returncode:
            raise RuntimeError(p.stderr.strip().splitlines()[-1] if p.stderr.strip() else f"status {p.returncode}")

    def files(self, w):
        import numpy as np
        from workloads import write_safetensors

        at = os.path.join(WORK, w.name)
        art = os.path.join(at, w.name + ".so")
        weights = os.path.join(at, "weights.safetensors")
        os.makedirs(at, exist_ok=True)
        words = [art, "ENTRY"]
        for k, a in w.inputs.items():
            path = os.path.join(at, k + ".npy")
            np.save(path, a)
            words.append(f"{k}={path}")
        if w.weights:
            write_safetensors(weights, w.weights)
            words += ["--weights", weights]
        newest = max(os.path.getmtime(self.o.sinter), os.path.getmtime(w.file))
        if not os.path.exists(art) or os.path.getmtime(art) < newest:
            self.run("compile", w.file, "-o", art, *w.options)
        return at, words + ["--threads", str(self.threads)]

    def ask(self, w, seconds):
        import numpy as np
        from workloads import CHECKS

        try:
            at, words = self.files(w)
            if not hasattr(self, "error") or self.of != w.name:
                out = os.path.join(at, "out-" + self.engine)
                entry, results = CHECKS.get(w.name, (w.entry, ["0"]))
                self.run("run", words[0], entry, *words[2:], "--out", out)
                self.error, self.of = w.error([np.load(os.path.join(out, r + ".npy")) for r in results]), w.name
            path = os.path.join(at, f"bench-{self.engine}-{self.threads}.json")
            rounds = max(1, round(seconds / 0.1))
            self.run("bench", words[0], w.entry, *words[2:], "--rounds", str(rounds), "--json", path)
            call = json.loads(open(path).readline())
            return {"median": call["median_ms"], "p10": call["p10_ms"], "error": self.error, "version": self.version,
                    "peak": call["peak_gflops"], "percent": 100 * call["flops"] / (call["best_ms"] * 1e6) / call["peak_gflops"]}
        except RuntimeError as e:
            return {"refused": str(e)}

    def close(self):
        pass


class Peer:
    def __init__(self, o, engine, threads):
        env = dict(os.environ, TORCHINDUCTOR_CACHE_DIR=os.path.join(WORK, "inductor"))
        self.log = open(os.path.join(WORK, f"{engine}-{threads}.log"), "w")
        self.p = subprocess.Popen([sys.executable, os.path.join(HERE, "peers.py"), engine, str(threads)], stdin=subprocess.PIPE,
                                  stdout=subprocess.PIPE, stderr=self.log, text=True, env=env)

    def ask(self, w, seconds):
        try:
            self.p.stdin.write(json.dumps({"workload": w.name, "seconds": seconds}) + "\n")
            self.p.stdin.flush()
            r = json.loads(self.p.stdout.readline())
        except (OSError, ValueError):
            return {"refused": "its process ended; see build/bench"}
        time.sleep(0.25)  # until its threads sleep
        return r

    def close(self):
        try:
            self.p.stdin.close()
        except OSError:
            pass
        self.p.wait()
        self.log.close()


def row(w, engine, threads, rounds, load):
    medians = [r["median"] for r in rounds]
    out = {"workload": w.name, "engine": engine, "threads": threads, "median_ms": round(statistics.median(medians), 6),
           "p10_ms": round(min(r["p10"] for r in rounds), 6), "best_ms": round(min(medians), 6), "rounds": len(rounds),
           "error": rounds[0]["error"], "version": rounds[0]["version"], "load": round(load, 1)}
    if "percent" in rounds[0]:
        out["peak_gflops"] = max(r["peak"] for r in rounds)
        out["percent_of_peak"] = round(max(r["percent"] for r in rounds), 1)
    return out


def measure(o, name, threads, processes, note):
    """Rows of one workload at one number of threads."""
    from workloads import TOLERANCE, Workload

    w, got, bad = Workload(name), {}, False
    without = os.environ.get("SINTER_BENCH_WITHOUT", "").split(",")
    engines = [e for e in engines_of(o, name) if e not in without]
    for r in range(o.rounds):
        for e in engines[r % len(engines):] + engines[:r % len(engines)]:
            if got.get(e) is None and r:
                continue
            if (e, threads) not in processes:
                processes[e, threads] = (Sinter if e.startswith("sinter") else Peer)(o, e, threads)
            answer = processes[e, threads].ask(w, o.seconds)
            if "refused" in answer:
                if answer["refused"] != "it has no such workload":
                    note(f"{name}, {e}, {threads}: {answer['refused']}")
                    bad |= e.startswith("sinter")
                got[e] = None
            elif not answer["error"] <= TOLERANCE:
                note(f"{name}, {e}, {threads}: not reported, its result is {answer['error']:.2g} from the f64 answer")
                bad |= e.startswith("sinter")
                got[e] = None
            else:
                got.setdefault(e, []).append(answer)
    rows = [row(w, e, threads, got[e], os.getloadavg()[0]) for e in engines if got.get(e)]
    peers = [r for r in rows if not r["engine"].startswith("sinter")]
    for r in rows:
        if r["engine"] == "sinter" and peers:
            best = min(peers, key=lambda p: p["best_ms"])
            r["fastest_peer"], r["ratio"] = best["engine"], round(best["best_ms"] / r["best_ms"], 3)
    return rows, bad


def show(rows):
    for r in rows:
        more = f"  {r['percent_of_peak']:.1f} % of the FMA peak" if r["workload"].startswith("gemm") and "percent_of_peak" in r else ""
        more += f"  {r['ratio']:.2f} times {r['fastest_peer']}" if "ratio" in r else ""
        print(f"{r['workload']:14} {r['engine']:10} {r['threads']}  {r['median_ms']:10.4f} ms (10th {r['p10_ms']:.4f}, best {r['best_ms']:.4f})"
              f"  error {r['error']:.1e}{more}", flush=True)


def main():
    o = options()
    if not os.path.exists(o.sinter):
        sys.exit(f"bench: there is no {o.sinter}; run ./dev build")
    enter_venv(o)
    sys.path.insert(0, HERE)
    os.makedirs(WORK, exist_ok=True)
    head = {"date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%MZ"), "cpu": processor()}
    all_rows, notes, failed = [], [], False
    note = lambda s: (notes.append(s), print("bench: " + s, file=sys.stderr, flush=True))
    print(f"{head['cpu']}, {head['date']}; load {os.getloadavg()[0]:.1f}", flush=True)
    for threads in o.threads: # one number after the other, so that only its processes are alive
        processes = {}
        for name in o.workloads:
            if name == "mnist":
                import mnist

                rows, bad = mnist.measure(o, engines_of(o, name), threads, os.environ.get("SINTER_DATA"), WORK, note)
            else:
                rows, bad = measure(o, name, threads, processes, note)
            failed |= bad
            show(rows)
            all_rows += rows
        for p in processes.values():
            p.close()
    ratios = [r["ratio"] for r in all_rows if "ratio" in r]
    if ratios:
        print(f"geometric mean over the fastest peer of each row: {math.exp(sum(map(math.log, ratios)) / len(ratios)):.3f}")
    if o.json:
        with open(o.json + ".tmp", "w") as f:
            for r in all_rows:
                f.write(json.dumps({**r, **head}) + "\n")
        os.replace(o.json + ".tmp", o.json)
    sys.exit(1 if failed or not all_rows else 0)


if __name__ == "__main__":
    main()
