# Not fused: the space of the one is not that of the other.
entry f(x: f32[N], y: f32[N, 4]) -> f32[N, 4] { exp(x)[:, none] * y }
---
entry f
  kernel k0: elementwise over [N]
    computes exp (shapes_differ.t:2:49)
    stores f32[N] exp (shapes_differ.t:2:49)
  kernel k1: elementwise over [N, 4]
    computes mul (shapes_differ.t:2:49)
    stores f32[N, 4] mul (shapes_differ.t:2:49)
    not fused with exp (shapes_differ.t:2:49), which mul reads: the shapes differ
