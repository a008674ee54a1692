# Not fused: a costly operand of a product is stored once, for a product reads it many times.
entry f(x: f32[B, 20], w: f32[30, 20]) -> f32[B, 30] { exp(x) @ w.T }
---
entry f
  kernel k0: elementwise over [B, 20]
    computes exp (prologue_costly.t:2:56)
    stores f32[B, 20] exp (prologue_costly.t:2:56)
  kernel k1: gemm over [B, 30]
    computes dot_general (prologue_costly.t:2:56)
    stores f32[B, 30] dot_general (prologue_costly.t:2:56)
    not fused with exp (prologue_costly.t:2:56), which dot_general reads: an operand of a product is read many times: it is stored once
