"""One engine at one number of threads as a process of its own: peers.py ENGINE THREADS. Reads a line of JSON {"workload",
"seconds"} at a time, calls that workload so long, and answers with a line {"median", "p10", "error", "version"} (ms) or {"refused"}.
Engines: eager, inductor (torch.compile), ort (ONNX Runtime), ov (OpenVINO), jax (training steps only)."""

import json, os, sys, tempfile, time

engine, threads = sys.argv[1], int(sys.argv[2])
for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = str(threads)
os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=" + ("true" if threads > 1 else "false")
if threads == 1:
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
answers = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)  # what libraries print is no answer

import numpy as np
from workloads import TRAINS, Workload


def torch_net(name, weights):
    import torch
    from torch import nn
    import torch.nn.functional as F

    def lin(prefix):
        w = weights[prefix + "weight"]
        return load(nn.Linear(w.shape[1], w.shape[0], bias=prefix + "bias" in weights), prefix)

    def conv(prefix):
        n_out, n_in, k, _ = weights[prefix + "weight"].shape
        return load(nn.Conv2d(n_in, n_out, k, padding=k // 2, bias=False), prefix)

    def cnn(*end):
        block = lambda i, n: [conv(f"conv{i}."), load(nn.BatchNorm2d(n), f"bn{i}."), nn.ReLU()]
        return layers(Call(lambda x: (x / 16).reshape(-1, 1, 8, 8)), *block(1, 16), *block(2, 32), nn.MaxPool2d(2), nn.Flatten(),
                      nn.Dropout(0.2), lin("fc."), *end)

    def load(m, prefix):
        with torch.no_grad():
            for k, p in [*m.named_parameters(), *m.named_buffers()]:
                if prefix + k in weights:
                    p.copy_(torch.from_numpy(weights[prefix + k]))
        return m

    def norm(prefix):
        return load(nn.LayerNorm(768), prefix)

    class Call(nn.Module):
        def __init__(self, fn):
            super().__init__()
            self.fn = fn

        def forward(self, *a):
            return self.fn(*a)

    layers = lambda *l: nn.Sequential(*l)
    net = {
        "gemm": lambda: lin(""),
        "gemm_gelu": lambda: layers(lin(""), nn.GELU()),
        "gemm_symbolic": lambda: Call(torch.matmul),
        "mlp": lambda: layers(lin("fc1."), nn.ReLU(), lin("fc2."), nn.ReLU(), lin("fc3.")),
        "ew": lambda: Call(lambda x, y: F.gelu(x * 1.5 + y) * torch.sigmoid(y) - torch.tanh(x)),
        "layernorm": lambda: norm(""),
        "softmax": lambda: nn.Softmax(-1),
        "normgelu": lambda: layers(norm("norm."), lin("lin."), nn.GELU()),
        "digits": lambda: layers(lin("fc1."), nn.ReLU(), nn.Dropout(0.2), lin("fc2."), nn.ReLU(), nn.Dropout(0.2), lin("fc3.")),
        "conv": lambda: conv(""),
        "cnn": lambda: cnn(nn.Softmax(-1)),
        "train_cnn": lambda: cnn(),
    }
    return net[{"mlp_1": "mlp", "train_mlp": "mlp"}.get(name, name)]()


def torch_call(w):
    """The call to time, and what it must give."""
    import torch
    import torch.nn.functional as F

    torch.set_num_threads(threads)
    net = torch_net(w.name, w.weights)
    args = [torch.from_numpy(a) for a in w.inputs.values()]
    if w.name not in TRAINS:
        net.eval()
        torch.set_grad_enabled(False)
        call = torch.compile(net, dynamic=False) if engine == "inductor" else net
        return lambda: call(*args), [call(*args).numpy().copy()]
    torch.set_grad_enabled(True)
    x, y = args
    if w.name == "digits":
        x = x / 16
    opt = torch.optim.AdamW(net.parameters(), lr=1e-3, foreach=True)
    loss = lambda: F.cross_entropy(net(x), y)

    def step():
        opt.zero_grad(set_to_none=True)
        l = loss()
        l.backward()
        opt.step()
        return l

    f = torch.compile(step, dynamic=False) if engine == "inductor" else step
    if w.name in ("digits", "train_cnn"):
        net.eval()
        first = [float(loss())]
        net.train()
    else:
        first = [float(f()), float(loss())]
    return lambda: float(f()), first


def onnx_call(w):
    import torch

    torch.set_grad_enabled(False)
    net = torch_net(w.name, w.weights).eval()
    path = os.path.join(tempfile.gettempdir(), f"sinter-bench-{os.getpid()}-{w.name}.onnx")
    torch.onnx.export(net, tuple(torch.from_numpy(a) for a in w.inputs.values()), path, opset_version=20, dynamo=False)
    try:
        if engine == "ort":
            import onnxruntime

            o = onnxruntime.SessionOptions()
            o.intra_op_num_threads = threads
            s = onnxruntime.InferenceSession(path, o, providers=["CPUExecutionProvider"])
            feed = {i.name: a for i, a in zip(s.get_inputs(), w.inputs.values())}
            return lambda: s.run(None, feed), s.run(None, feed)
        import openvino

        hints = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": "f32"}
        core = openvino.Core()
        compiled = core.compile_model(path, "CPU", hints)
        request = compiled.create_infer_request()
        tensors = [openvino.Tensor(a, shared_memory=True) for a in w.inputs.values()]
        for i, t in enumerate(tensors):
            request.set_input_tensor(i, t)
        request.infer()
        return lambda alive=(core, compiled, tensors): request.infer(), [np.array(request.get_output_tensor(0).data)]
    finally:
        os.unlink(path)


def jax_call(w):
    import jax, jax.numpy as jnp, optax

    jax.config.update("jax_platforms", "cpu")
    if w.name != "train_mlp":
        return None
    P = {k: jnp.array(v) for k, v in w.weights.items()}

    def forward(P, h):
        for i in (1, 2, 3):
            h = h @ P[f"fc{i}.weight"].T + P[f"fc{i}.bias"]
            h = jax.nn.relu(h) if i < 3 else h
        return h

    tx = optax.adamw(1e-3, weight_decay=0.01)
    loss = lambda P, x, y: optax.softmax_cross_entropy_with_integer_labels(forward(P, x), y).mean()

    @jax.jit
    def step(P, S, x, y):
        l, G = jax.value_and_grad(loss)(P, x, y)
        u, S = tx.update(G, S, P)
        return optax.apply_updates(P, u), S, l

    x, y = jnp.array(w.inputs["x"]), jnp.array(w.inputs["y"])
    state = [P, tx.init(P)]

    def call():
        state[0], state[1], l = step(state[0], state[1], x, y)
        return float(l)

    first = call()
    return call, [first, float(loss(state[0], x, y))]


def version():
    if engine in ("eager", "inductor"):
        import torch as m
    elif engine == "ort":
        import onnxruntime as m
    elif engine == "ov":
        import openvino as m
    else:
        import jax as m
    return m.__version__


def make(name):
    w = Workload(name)
    if engine == "jax":
        made = jax_call(w)
    elif engine in ("ort", "ov"):
        made = None if name in TRAINS else onnx_call(w)
    else:
        made = torch_call(w)
    return made and (made[0], w.error(made[1]))


ready = {}
for line in sys.stdin:
    q = json.loads(line)
    try:
        if q["workload"] not in ready:
            ready.clear()
            ready[q["workload"]] = make(q["workload"])
        made = ready[q["workload"]]
        if made is None:
            answer = {"refused": "it has no such workload"}
        else:
            call, error = made
            for _ in range(3):
                call()
            times, end = [], time.perf_counter() + q["seconds"]
            while time.perf_counter() < end or len(times) < 5:
                t = time.perf_counter()
                call()
                times.append(time.perf_counter() - t)
            times.sort()
            answer = {"median": 1e3 * times[len(times) // 2], "p10": 1e3 * times[len(times) // 10], "error": error, "version": version()}
    except Exception as e:  # an engine that fails is one row less, not the end
        answer = {"refused": f"{type(e).__name__}: {str(e)[:300]}"}
    answers.write(json.dumps(answer) + "\n")
    answers.flush()
