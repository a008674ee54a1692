"""What PyTorch takes for the rows of bench.list that name attention and training steps: kit_peers.py bench.list. A line a row:
its name, then what it is held against, the median and the best (us) of a call; or that it could not be measured, and why."""

import sys, time, traceback

ROUNDS, ROUND_SECONDS = 5, 0.05

try:
    import torch
    from torch import nn
    from torch.nn import functional as F
    missing = None if torch.cuda.is_available() else f"PyTorch {torch.__version__} sees no GPU"
except ImportError:
    missing = "no PyTorch here"
except Exception as e:  # a library that it wants is broken
    missing = "PyTorch does not start: " + (str(e).strip().splitlines() or [type(e).__name__])[0]


def times(call):
    took = []
    for _ in range(5):
        call()
    torch.cuda.synchronize()
    for _ in range(ROUNDS):
        begin = last = time.perf_counter()
        while last - begin < ROUND_SECONDS or last == begin:
            call()
            torch.cuda.synchronize()
            now = time.perf_counter()
            took.append(now - last)
            last = now
    took.sort()
    return took[len(took) // 2] * 1e6, took[0] * 1e6


def attention(width, causal, tokens):
    q, k, v = (torch.rand(16384 // tokens, 2048 // width, tokens, width, dtype=torch.bfloat16, device="cuda") * 2 - 1
               for _ in range(3))
    with torch.no_grad():
        return times(lambda: F.scaled_dot_product_attention(q, k, v, is_causal=causal))


def digits():
    return nn.Sequential(nn.Linear(64, 256), nn.ReLU(), nn.Dropout(0.2), nn.Linear(256, 128), nn.ReLU(), nn.Dropout(0.2),
                         nn.Linear(128, 10))


def digits_cnn():
    block = lambda i, o: [nn.Conv2d(i, o, 3, padding=1, bias=False), nn.BatchNorm2d(o), nn.ReLU()]
    return nn.Sequential(nn.Unflatten(1, (1, 8)), *block(1, 16), *block(16, 32), nn.MaxPool2d(2), nn.Flatten(), nn.Dropout(0.2),
                         nn.Linear(512, 10))


if not missing:

    class Block(nn.Module):
        def __init__(self, d, heads, groups):
            super().__init__()
            self.e, self.groups = d // heads, groups
            self.norm1, self.norm2 = nn.RMSNorm(d), nn.RMSNorm(d)
            self.qkv, self.proj = nn.Linear(d, d + 2 * groups * self.e, bias=False), nn.Linear(d, d, bias=False)
            self.mlp = nn.Sequential(nn.Linear(d, 4 * d, bias=False), nn.GELU(), nn.Linear(4 * d, d, bias=False))

        def forward(self, x):
            b, t, d = x.shape
            parts = self.qkv(self.norm1(x)).split([d, self.groups * self.e, self.groups * self.e], dim=-1)
            q, k, v = (z.reshape(b, t, -1, self.e).transpose(1, 2) for z in parts)
            y = F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
            x = x + self.proj(y.transpose(1, 2).reshape(b, t, d))
            return x + self.mlp(self.norm2(x))

    class GPT(nn.Module):
        def __init__(self, vocab, context, d, layers, heads=4, groups=2):
            super().__init__()
            self.wte, self.wpe = nn.Embedding(vocab, d), nn.Embedding(context, d)
            self.h = nn.Sequential(*(Block(d, heads, groups) for _ in range(layers)))
            self.norm, self.head = nn.RMSNorm(d), nn.Linear(d, vocab, bias=False)

        def forward(self, x):
            return self.head(self.norm(self.h(self.wte(x) + self.wpe.weight[: x.shape[1]])))


def step(net, x, y, cast, clip):
    """As the models of Sinter: cross entropy, gradients, their norm held to 1 if `clip`, AdamW."""
    net = net.cuda()
    optimizer = torch.optim.AdamW(net.parameters(), lr=torch.tensor(1e-3, device="cuda"), fused=True, capturable=True)

    def loss_of(x, y):
        with torch.autocast("cuda", torch.bfloat16, enabled=cast):
            logits = net(x)
        return F.cross_entropy(logits.flatten(0, -2).float(), y.flatten())

    forward = torch.compile(loss_of)

    def call():
        optimizer.zero_grad(set_to_none=False)
        forward(x, y).backward()
        if clip:
            nn.utils.clip_grad_norm_(net.parameters(), 1.0, foreach=True)
        optimizer.step()

    plain = times(call)
    try:  # the whole step as one graph, which is what Sinter's is
        side = torch.cuda.Stream()
        with torch.cuda.stream(side):
            for _ in range(3):
                call()
        torch.cuda.synchronize()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, stream=side):
            call()
        return min(plain, times(graph.replay))
    except RuntimeError:
        traceback.print_exc()
        return plain


def training(name):
    tokens = lambda b, t, most: torch.randint(0, most, (b, t), device="cuda")
    labels = torch.randint(0, 10, (256,), device="cuda")
    pixels = torch.rand(256, 64, device="cuda")
    if name == "digits":
        return step(digits(), pixels, labels, False, False)
    if name == "digits_cnn":
        return step(digits_cnn(), pixels.reshape(256, 8, 8), labels, False, False)
    if name == "gpt_small":
        return step(GPT(128, 64, 64, 2), tokens(64, 64, 10), tokens(64, 64, 10), False, True)
    if name == "gpt_bf16":
        return step(GPT(4096, 512, 512, 4), tokens(16, 512, 10), tokens(16, 512, 10), True, True)
    raise ValueError("there is no PyTorch model of it here")


for line in open(sys.argv[1]):
    words = line.split()
    if not words or words[0] == "#" or words[3] not in ("attention", "causal", "step"):
        continue
    try:
        if missing:
            print(words[0], missing, sep="\t", flush=True)
            continue
        if words[3] == "step":
            peer, found = f"torch.compile {torch.__version__}", training(words[0].removesuffix("-step"))
        else:
            _, width, _, tokens = words[0].split("-")
            peer, found = f"PyTorch {torch.__version__}", attention(int(width[1:]), words[3] == "causal", int(tokens))
        print(words[0], peer, f"{found[0]:.2f}", f"{found[1]:.2f}", sep="\t", flush=True)
    except Exception as e:  # one row that fails does not lose the others
        traceback.print_exc()
        print(words[0], "PyTorch: " + (str(e).strip().splitlines() or [type(e).__name__])[0], sep="\t", flush=True)
