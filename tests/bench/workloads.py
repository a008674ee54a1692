"""What `./dev bench` measures: for each workload its model, inputs, weights and the answer in f64, made once from a fixed
seed, so that every engine runs the same. Needs only NumPy."""

import json, math, os, struct
import numpy as np

erf = np.vectorize(math.erf, otypes=[np.float64])
MODELS = os.path.join(os.path.dirname(__file__), "models")


def gelu(x):
    return 0.5 * x * (1 + erf(x / math.sqrt(2)))


def relu(x):
    return np.maximum(x, 0)


def norm(x, w, b):
    d = x - x.mean(-1, keepdims=True)
    return d / np.sqrt((d * d).mean(-1, keepdims=True) + 1e-5) * w + b


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def linear(x, w, name):
    y = x @ w[name + "weight"].T
    return y + w[name + "bias"] if name + "bias" in w else y


def cross_entropy(logits, y):
    """Mean loss and its gradient."""
    p, rows = softmax(logits), np.arange(len(y))
    g = p.copy()
    g[rows, y] -= 1
    return -np.log(p[rows, y]).mean(), g / len(y)


def mlp(x, w, n):
    """Activations of n layers fc1 .. fcn with ReLU between."""
    h = [x]
    for i in range(1, n + 1):
        z = linear(h[-1], w, f"fc{i}.")
        h.append(relu(z) if i < n else z)
    return h


def train_mlp(i, w):
    """The loss before and after one step of AdamW (lr 1e-3, decay 0.01)."""
    h = mlp(i["x"], w, 3)
    loss, g = cross_entropy(h[3], i["y"])
    new = {}
    for k in (3, 2, 1):
        grads = {f"fc{k}.weight": g.T @ h[k - 1], f"fc{k}.bias": g.sum(0)}
        g = (g @ w[f"fc{k}.weight"]) * (h[k - 1] > 0)
        for name, d in grads.items():  # first step: m / (1 - b1) = d, v / (1 - b2) = d * d
            new[name] = w[name] * (1 - 1e-3 * 0.01) - 1e-3 * d / (np.abs(d) + 1e-8)
    return [np.float64(loss), np.float64(cross_entropy(mlp(i["x"], new, 3)[3], i["y"])[0])]


def conv(x, w, padding):
    """NCHW, stride 1, the same padding on both axes of space."""
    p = np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    windows = np.lib.stride_tricks.sliding_window_view(p, w.shape[2:], axis=(2, 3))  # [N, C, H, W, kh, kw]
    return np.tensordot(windows, w, axes=([1, 4, 5], [1, 2, 3])).transpose(0, 3, 1, 2)


def cnn(x, w):
    """Logits of models/digits_cnn.sir in prediction."""
    x = (x / 16).reshape(-1, 1, 8, 8)
    for i in "12":
        x = conv(x, w[f"conv{i}.weight"], 1)
        at = lambda name: w[f"bn{i}.{name}"][None, :, None, None]
        x = relu((x - at("running_mean")) / np.sqrt(at("running_var") + 1e-5) * at("weight") + at("bias"))
    x = x.reshape(len(x), 32, 4, 2, 4, 2).max((3, 5)).reshape(len(x), -1)
    return linear(x, w, "fc.")


def cnn_weights(rng):
    w = kaiming(rng, {"fc.": (10, 512)})
    for i, n, k in ("1", 16, 1), ("2", 32, 16):
        w[f"conv{i}.weight"] = rng.uniform(-1, 1, (n, k, 3, 3)) / math.sqrt(9 * k)
        w[f"bn{i}.weight"], w[f"bn{i}.bias"] = rng.uniform(0.5, 1.5, n), rng.uniform(-0.5, 0.5, n)
        w[f"bn{i}.running_mean"], w[f"bn{i}.running_var"] = rng.uniform(-0.1, 0.1, n), rng.uniform(0.5, 1.5, n)
    return w


def kaiming(rng, sizes):
    w = {}
    for name, (n, k) in sizes.items():
        w[name + "weight"] = rng.uniform(-1, 1, (n, k)) / math.sqrt(k)
        w[name + "bias"] = rng.uniform(-1, 1, n) / math.sqrt(k)
    return w


MLP = {"fc1.": (512, 784), "fc2.": (256, 512), "fc3.": (10, 256)}
DIGITS = {"fc1.": (256, 64), "fc2.": (128, 256), "fc3.": (10, 128)}


def gemm_weights(rng):
    return {"weight": rng.uniform(-1, 1, (512, 512)) / 22.6}


# model file, entry, options of the compiler, options of `sinter bench`, shapes of inputs ("y": below 10), weights, answer
TABLE = {
    "gemm": ("gemm", "gemm", [], {"x": (512, 512)}, gemm_weights, lambda i, w: [linear(i["x"], w, "")]),
    "gemm_gelu": ("gemm_gelu", "gemm", [], {"x": (128, 384)}, lambda r: kaiming(r, {"": (1536, 384)}),
                  lambda i, w: [gelu(linear(i["x"], w, ""))]),
    "gemm_symbolic": ("gemm_symbolic", "gemm", [], {"a": (37, 256), "b": (256, 100)}, lambda r: {}, lambda i, w: [i["a"] @ i["b"]]),
    "mlp_1": ("mlp", "mlp", ["-D", "B=1"], {"x": (1, 784)}, lambda r: kaiming(r, MLP), lambda i, w: [mlp(i["x"], w, 3)[3]]),
    "mlp": ("mlp", "mlp", [], {"x": (64, 784)}, lambda r: kaiming(r, MLP), lambda i, w: [mlp(i["x"], w, 3)[3]]),
    "ew": ("ew", "ew", [], {"x": (1024, 1024), "y_": (1024, 1024)}, lambda r: {},
           lambda i, w: [gelu(i["x"] * 1.5 + i["y_"]) / (1 + np.exp(-i["y_"])) - np.tanh(i["x"])]),
    "layernorm": ("layernorm", "layernorm", [], {"x": (2048, 768)},
                  lambda r: {"weight": r.uniform(0.5, 1.5, 768), "bias": r.uniform(-1, 1, 768)},
                  lambda i, w: [norm(i["x"], w["weight"], w["bias"])]),
    "softmax": ("softmax", "softmaxes", [], {"x": (4096, 512)}, lambda r: {}, lambda i, w: [softmax(i["x"])]),
    "normgelu": ("normgelu", "normgelu", [], {"x": (512, 768)},
                 lambda r: {"norm.weight": r.uniform(0.5, 1.5, 768), "norm.bias": r.uniform(-1, 1, 768), **kaiming(r, {"lin.": (3072, 768)})},
                 lambda i, w: [gelu(linear(norm(i["x"], w["norm.weight"], w["norm.bias"]), w, "lin."))]),
    "train_mlp": ("train_mlp", "step", [], {"x": (64, 784), "y": (64,)}, lambda r: kaiming(r, MLP), train_mlp),
    # Dropout draws other numbers in every engine: what is checked is the evaluation of the same weights.
    "digits": ("digits", "step", [], {"x": (64, 64), "y": (64,)}, lambda r: kaiming(r, DIGITS),
               lambda i, w: [np.float64(cross_entropy(mlp(i["x"] / 16, w, 3)[3], i["y"])[0])]),
    "conv": ("conv", "conv", [], {"x": (1, 64, 56, 56)}, lambda r: {"weight": r.uniform(-1, 1, (64, 64, 3, 3)) / 24},
             lambda i, w: [conv(i["x"], w["weight"], 1)]),
    "cnn": ("digits_cnn", "predict", [], {"x": (64, 64)}, cnn_weights, lambda i, w: [softmax(cnn(i["x"], w))]),
    "train_cnn": ("digits_cnn", "step", [], {"x": (64, 64), "y": (64,)}, cnn_weights,
                  lambda i, w: [np.float64(cross_entropy(cnn(i["x"], w), i["y"])[0])]),
}
NAMES = [n for n in TABLE if n not in ("gemm_gelu", "gemm_symbolic")]
TRAINS = ("train_mlp", "digits", "train_cnn")
# The entry whose results are compared and the results' names, where they are not the entry's one result without a name.
CHECKS = {"train_mlp": ("after", ["loss", "after"]), "digits": ("evaluate", ["loss"]), "train_cnn": ("evaluate", ["loss"]),
          "cnn": ("predict", ["probability"])}
TOLERANCE = 1e-4  # of the largest value of the answer


class Workload:
    def __init__(self, name):
        self.name = name
        model, self.entry, self.options, shapes, weights, answer = TABLE[name]
        self.file = os.path.join(MODELS, model + ".sir")
        if not os.path.exists(self.file):
            self.file = os.path.join(MODELS, "..", "..", "..", "models", model + ".sir")
        rng = np.random.default_rng(1)
        self.inputs = {}
        for k, shape in shapes.items():
            self.inputs[k.rstrip("_")] = rng.integers(0, 10, shape) if k == "y" else rng.standard_normal(shape, dtype=np.float32)
        self.weights = {k: v.astype(np.float32) for k, v in weights(rng).items()}
        wide = {k: v.astype(np.float64) for k, v in self.weights.items()}
        names = {k: self.inputs[k.rstrip("_")] for k in shapes}
        self.answer = answer({k: v.astype(np.float64) if v.dtype == np.float32 else v for k, v in names.items()}, wide)

    def error(self, results):
        """The largest distance from the answer, in units of its largest value."""
        worst = 0.0
        for want, got in zip(self.answer, results):
            got = np.asarray(got, np.float64)
            if got.shape != np.shape(want) or not np.isfinite(got).all():
                return math.inf
            worst = max(worst, float(np.abs(got - want).max() / np.abs(want).max()))
        return worst


def write_safetensors(path, tensors):
    head, at = {}, 0
    for name, a in tensors.items():
        head[name] = {"dtype": "F32", "shape": list(a.shape), "data_offsets": [at, at + a.nbytes]}
        at += a.nbytes
    text = json.dumps(head).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text)
        for a in tensors.values():
            f.write(np.ascontiguousarray(a).tobytes())
