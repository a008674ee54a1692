"""The PyTorch twin of the digits models: writes what tests/model/test_digits.c compares with, all worked out in f64.

    pip install torch==2.13.0 numpy safetensors
    python tests/twin/twin.py                     (from the root of the repository)

Into tests/model/digits:
  x.npy y.npy            29 rows of models/digits/train_*.npy
  weights.safetensors    start of the small model (digits_small.sir), f32
  logits.npy loss.npy    its forward pass and mean cross-entropy, f64
  NAME.npy               gradients of the loss by each parameter (fc1_weight, ..), f64
  step_losses.npy        losses of 3 steps of AdamW with the cosine schedule
  after_NAME.npy         the parameters after them
  full.npy               of models/digits.sir (its dropout off) on 64 rows of test_*.npy, with the weights of start():
                         loss, accuracy, then the first row's logits"""
import math
import numpy as np
import torch
from safetensors.numpy import save_file
from torch import nn

OUT = "tests/model/digits"
ROWS, STEPS, WARMUP, TOTAL, PEAK = 29, 3, 2, 8, 3e-3


def mlp(*widths):
    layers = {f"fc{i + 1}": nn.Linear(a, b, dtype=torch.float64) for i, (a, b) in enumerate(zip(widths, widths[1:]))}
    return nn.ModuleDict(layers)


def forward(net, x):
    x = x / 16
    for i, layer in enumerate(net.values()):
        x = layer(torch.relu(x) if i else x)
    return x


def start(net):
    """Weights that a C program makes as well: number k of a parameter of n_in inputs (of its layer) is the k-th draw of
    a linear congruential generator, begun anew for each parameter with its place in the order of the state dict."""
    for place, (name, p) in enumerate(net.named_parameters()):
        n_in = net[name.split(".")[0]].in_features
        state, values = place + 1, np.empty(p.numel())
        for k in range(p.numel()):
            state = (state * 1664525 + 1013904223) % 2**32
            values[k] = ((state >> 8) / 2**23 - 1) / math.sqrt(n_in)
        with torch.no_grad():
            p.copy_(torch.from_numpy(values.astype(np.float32).astype(np.float64)).reshape(p.shape))


def cosine(step):  # the factor of PEAK; steps count from 1
    return step / WARMUP if step < WARMUP else 0.5 * (1 + math.cos(math.pi * (step - WARMUP) / (TOTAL - WARMUP)))


def data(part, rows):
    x, y = np.load(f"models/digits/{part}_x.npy")[:rows], np.load(f"models/digits/{part}_y.npy")[:rows]
    return x, y, torch.from_numpy(x.astype(np.float64)), torch.from_numpy(y)


def save(name, value):
    np.save(f"{OUT}/{name}.npy", np.asarray(value, dtype=np.float64))


def small():
    x, y, tx, ty = data("train", ROWS)
    np.save(f"{OUT}/x.npy", x)
    np.save(f"{OUT}/y.npy", y)
    net = mlp(64, 32, 16, 10)
    start(net)
    save_file({n: p.detach().numpy().astype(np.float32) for n, p in net.named_parameters()}, f"{OUT}/weights.safetensors")
    logits = forward(net, tx)
    loss = nn.functional.cross_entropy(logits, ty)
    loss.backward()
    save("logits", logits.detach())
    save("loss", loss.item())
    for name, p in net.named_parameters():
        save(name.replace(".", "_"), p.grad)
    optimizer = torch.optim.AdamW(net.parameters(), lr=PEAK, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01)
    losses = []
    for step in range(1, STEPS + 1):
        for group in optimizer.param_groups:
            group["lr"] = PEAK * cosine(step)
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(forward(net, tx), ty)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    save("step_losses", losses)
    for name, p in net.named_parameters():
        save("after_" + name.replace(".", "_"), p.detach())


def full():
    _, _, tx, ty = data("test", 64)
    net = mlp(64, 256, 128, 10)
    start(net)
    with torch.no_grad():
        logits = forward(net, tx)
        loss = nn.functional.cross_entropy(logits, ty).item()
        accuracy = (logits.argmax(-1) == ty).double().mean().item()
    save("full", [loss, accuracy, *logits[0].tolist()])


small()
full()
