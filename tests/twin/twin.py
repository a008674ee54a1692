"""The PyTorch twins of the digits models: writes what tests/model/test_digits*.c compare with, all worked out in f64.

    pip install torch==2.13.0 numpy safetensors
    python tests/twin/twin.py                     (from the root of the repository)

Into tests/model/digits, of the MLP:
  x.npy y.npy            29 rows of models/digits/train_*.npy
  weights.safetensors    start of the small model (digits_small.sir), f32
  logits.npy loss.npy    its forward pass and mean cross-entropy, f64
  NAME.npy               gradients of the loss by each parameter (fc1_weight, ..), f64
  step_losses.npy        losses of 3 steps of AdamW with the cosine schedule
  after_NAME.npy         the parameters after them
  full.npy               of models/digits.sir (its dropout off) on 64 rows of test_*.npy, with the weights of start():
                         loss, accuracy, then the first row's logits
  bf16_errors.npy f16_errors.npy
                         of the small model with the same weights and rows in 16 bits (parameters f32, `.to(torch.bfloat16)`
                         in the step): how far PyTorch's logits, loss and gradients are from those in f64 at most
Into tests/model/digits_cnn, of the convolutional model (digits_cnn_twin.sir), on the same rows from the weights of start():
  logits.npy loss.npy    in training, f64
  NAME.npy               gradients of the loss by each parameter, and bn1_running_mean.npy .. as that one call leaves them
  step_losses.npy        losses of 3 steps of SGD with momentum, whose steps are smooth in the gradients: the first of AdamW
                         are about their signs, and of ten thousand gradients some are 0 but for rounding
  after_NAME.npy         parameters, running means and variances after them
  predicted.npy          logits of the same rows by the running means and variances, after them"""
import math
import numpy as np
import torch
from safetensors.numpy import save_file
from torch import nn

OUT, OUT_CNN = "tests/model/digits", "tests/model/digits_cnn"
ROWS, STEPS, WARMUP, TOTAL, PEAK = 29, 3, 2, 8, 3e-3
RATE, MOMENTUM = 0.005, 0.9


def mlp(*widths):
    layers = {f"fc{i + 1}": nn.Linear(a, b, dtype=torch.float64) for i, (a, b) in enumerate(zip(widths, widths[1:]))}
    return nn.ModuleDict(layers)


def forward(net, x):
    x = x / 16
    for i, layer in enumerate(net.values()):
        x = layer(torch.relu(x) if i else x)
    return x


def start(net):
    """Weights that a C program makes as well: number k of a parameter is the k-th draw of a linear congruential generator,
    begun anew for each parameter with its place in the order of the state dict, between -1 and 1, over the root of the
    inputs of its layer; of a normalization half the draw, and 1 is added to the weight."""
    for place, (name, p) in enumerate(net.named_parameters()):
        layer = net[name.split(".")[0]]
        state, values = place + 1, np.empty(p.numel())
        for k in range(p.numel()):
            state = (state * 1664525 + 1013904223) % 2**32
            values[k] = (state >> 8) / 2**23 - 1
        if isinstance(layer, nn.BatchNorm2d):
            values = 0.5 * values + name.endswith("weight")
        else:
            values /= math.sqrt(layer.weight[0].numel())
        with torch.no_grad():
            p.copy_(torch.from_numpy(values.astype(np.float32).astype(np.float64)).reshape(p.shape))


def cosine(step):  # the factor of PEAK; steps count from 1
    return step / WARMUP if step < WARMUP else 0.5 * (1 + math.cos(math.pi * (step - WARMUP) / (TOTAL - WARMUP)))


def data(part, rows):
    x, y = np.load(f"models/digits/{part}_x.npy")[:rows], np.load(f"models/digits/{part}_y.npy")[:rows]
    return x, y, torch.from_numpy(x.astype(np.float64)), torch.from_numpy(y)


def save(name, value, folder=OUT):
    np.save(f"{folder}/{name.replace('.', '_')}.npy", np.asarray(value, dtype=np.float64))


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
        save(name, p.grad)
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
        save("after_" + name, p.detach())


def half():
    """Mixed precision: what a step in 16 bits may differ from f64 is what PyTorch's differs."""
    _, _, x, y = data("train", ROWS)
    net = mlp(64, 32, 16, 10)
    start(net)

    def results(dtype):
        parameters = [p.detach().to(torch.float32 if dtype != torch.float64 else dtype).requires_grad_() for p in net.parameters()]
        rounded = [p.to(dtype) for p in parameters]
        h = x.to(dtype) / 16
        for i in range(0, len(rounded), 2):
            h = nn.functional.linear(torch.relu(h) if i else h, rounded[i], rounded[i + 1])
        logits = h if dtype == torch.float64 else h.float()
        loss = nn.functional.cross_entropy(logits, y)
        loss.backward()
        return [logits.detach().double(), loss.detach().double(), *(p.grad.double() for p in parameters)]

    exact = results(torch.float64)
    for dtype, name in (torch.bfloat16, "bf16"), (torch.float16, "f16"):
        save(name + "_errors", [(a - b).abs().max().item() for a, b in zip(results(dtype), exact)])


def full():
    _, _, tx, ty = data("test", 64)
    net = mlp(64, 256, 128, 10)
    start(net)
    with torch.no_grad():
        logits = forward(net, tx)
        loss = nn.functional.cross_entropy(logits, ty).item()
        accuracy = (logits.argmax(-1) == ty).double().mean().item()
    save("full", [loss, accuracy, *logits[0].tolist()])


def cnn():
    _, _, x, y = data("train", ROWS)
    conv = lambda n_in, n_out: nn.Conv2d(n_in, n_out, 3, padding=1, bias=False)
    layers = {"conv1": conv(1, 16), "bn1": nn.BatchNorm2d(16), "conv2": conv(16, 32), "bn2": nn.BatchNorm2d(32),
              "pool": nn.MaxPool2d(2), "flat": nn.Flatten(), "fc": nn.Linear(512, 10)}
    net = nn.ModuleDict(layers).double()
    start(net)

    def forward():
        h = (x / 16).reshape(ROWS, 1, 8, 8)
        for name, layer in layers.items():
            h = torch.relu(layer(h)) if name.startswith("bn") else layer(h)
        return h

    def save_all(prefix, values):
        for name, v in values:
            if v.dim():  # the number of batches seen is known
                save(prefix + name, v.detach(), OUT_CNN)

    optimizer = torch.optim.SGD(net.parameters(), lr=RATE, momentum=MOMENTUM)
    losses = []
    for step in range(STEPS):
        optimizer.zero_grad()
        logits = forward()
        loss = nn.functional.cross_entropy(logits, y)
        loss.backward()
        losses.append(loss.item())
        if step == 0:
            save("logits", logits.detach(), OUT_CNN)
            save("loss", loss.item(), OUT_CNN)
            save_all("", [(n, p.grad) for n, p in net.named_parameters()])
            save_all("", net.named_buffers())
        optimizer.step()
    save("step_losses", losses, OUT_CNN)
    save_all("after_", net.state_dict().items())
    net.eval()
    with torch.no_grad():
        save("predicted", forward(), OUT_CNN)


small()
full()
cnn()
