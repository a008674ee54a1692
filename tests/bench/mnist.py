"""The row `mnist`: MLP 784-500-10 trained on the four MNIST idx files (as they are, or packed by gzip) that SINTER_DATA names:
seconds an epoch and accuracy on the test rows, `sinter train` beside PyTorch eager (mnist.py THREADS FOLDER EPOCHS)."""

import gzip, json, math, os, subprocess, sys, time

EPOCHS, BATCH, GOAL = 10, 64, 0.979
FILES = {"train_x": "train-images-idx3-ubyte", "train_y": "train-labels-idx1-ubyte",
         "test_x": "t10k-images-idx3-ubyte", "test_y": "t10k-labels-idx1-ubyte"}


def read_idx(folder, name):
    import numpy as np

    path = os.path.join(folder, name)
    data = open(path, "rb").read() if os.path.exists(path) else gzip.open(path + ".gz").read()
    rank = data[3]
    shape = [int.from_bytes(data[4 + 4 * i:8 + 4 * i], "big") for i in range(rank)]
    a = np.frombuffer(data, np.uint8, offset=4 + 4 * rank).reshape(shape)
    return a.reshape(len(a), -1).astype(np.float32) if rank == 3 else a.astype(np.int64)


def convert(folder, to):
    import numpy as np

    os.makedirs(to, exist_ok=True)
    for name, file in FILES.items():
        np.save(os.path.join(to, name + ".npy"), read_idx(folder, file))


def eager(threads, at, epochs):
    os.environ["OMP_NUM_THREADS"] = str(threads)
    if threads == 1:
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    import numpy as np, torch
    from torch import nn

    torch.set_num_threads(threads)
    torch.manual_seed(1)
    x, y, tx, ty = (torch.from_numpy(np.load(os.path.join(at, n + ".npy"))) for n in FILES)
    net = nn.Sequential(nn.Linear(784, 500), nn.ReLU(), nn.Linear(500, 10))
    opt = torch.optim.AdamW(net.parameters(), lr=1e-3, foreach=True)
    steps, warmup, step = epochs * 938, 938, 0
    begin = time.perf_counter()
    for _ in range(epochs):
        order = torch.randperm(len(x))
        for k in range(0, len(x), BATCH):
            rows = order[k:k + BATCH]
            step += 1
            down = 0.5e-3 * (1 + math.cos(math.pi * (step - warmup) / (steps - warmup)))
            opt.param_groups[0]["lr"] = 1e-3 * step / warmup if step < warmup else down
            opt.zero_grad(set_to_none=True)
            loss = nn.functional.cross_entropy(net(x[rows] / 255), y[rows])
            loss.backward()
            opt.step()
    seconds = (time.perf_counter() - begin) / epochs
    with torch.no_grad():
        accuracy = float((net(tx / 255).argmax(-1) == ty).float().mean())
    print(json.dumps({"seconds": seconds, "accuracy": accuracy, "version": torch.__version__}))


def sinter(o, threads, at):
    import numpy as np

    art, out, weights = os.path.join(at, "mnist.so"), os.path.join(at, "out"), os.path.join(at, "mnist.safetensors")
    pin = (lambda: os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})) if threads == 1 else None
    run = lambda *words: subprocess.run([o.sinter, *words], check=True, capture_output=True, text=True, preexec_fn=pin)
    run("compile", os.path.join(os.path.dirname(os.path.abspath(__file__)), "models", "mnist.sir"), "-o", art)
    data = [f"{k}={at}/train_{k}.npy" for k in "xy"]
    begin = time.perf_counter()
    run("train", art, "--data", *data, "--epochs", str(EPOCHS), "--batch", str(BATCH), "--holdout", "0", "--seed", "1",
        "--threads", str(threads), "--save", weights)
    seconds = (time.perf_counter() - begin) / EPOCHS
    run("run", art, "evaluate", f"x={at}/test_x.npy", f"y={at}/test_y.npy", "--weights", weights, "--out", out)
    return {"seconds": seconds, "accuracy": float(np.load(os.path.join(out, "accuracy.npy"))),
            "version": run("--version").stdout.split()[-1]}


def measure(o, engines, threads, folder, work, note):
    if not folder:
        note("mnist: SINTER_DATA does not name the folder of the MNIST files")
        return [], True
    at = os.path.join(work, "mnist")
    if not os.path.exists(os.path.join(at, "test_y.npy")):
        convert(folder, at)
    rows, bad = [], False
    for e in engines:
        if e not in ("sinter", "eager"):
            continue
        try:
            r = sinter(o, threads, at) if e == "sinter" else json.loads(subprocess.run(
                [sys.executable, os.path.abspath(__file__), str(threads), at, str(EPOCHS)], check=True, stdout=subprocess.PIPE, text=True).stdout)
        except subprocess.CalledProcessError as error:
            note(f"mnist, {e}, {threads}: {(error.stderr or '').strip()[-300:]}")
            bad |= e == "sinter"
            continue
        if r["accuracy"] < GOAL:
            note(f"mnist, {e}, {threads}: accuracy {r['accuracy']:.4f}, below {GOAL}")
            bad |= e == "sinter"
        ms = round(1e3 * r["seconds"], 3) # an epoch
        rows.append({"workload": "mnist", "engine": e, "threads": threads, "median_ms": ms, "p10_ms": ms, "best_ms": ms, "rounds": 1,
                     "error": 1 - r["accuracy"], "accuracy": r["accuracy"], "version": r["version"], "load": round(os.getloadavg()[0], 1)})
    times = {r["engine"]: r["best_ms"] for r in rows}
    for r in rows:
        if r["engine"] == "sinter" and "eager" in times:
            r["fastest_peer"], r["ratio"] = "eager", round(times["eager"] / r["best_ms"], 3)
    return rows, bad


if __name__ == "__main__":
    eager(int(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
