# A cheap value that only the left side of a product reads rides along as its prologue.
entry f(x: f32[B, 20], w: f32[30, 20]) -> f32[B, 30] { (x / 16 - 1) @ w.T }
---
entry f
  kernel k0: gemm over [B, 30]
    computes mul (prologue.t:2:57), sub (prologue.t:2:57), dot_general (prologue.t:2:56)
    stores f32[B, 30] dot_general (prologue.t:2:56)
    fused with mul (prologue.t:2:57), which sub reads: read where it is made: one loop nest
    fused with sub (prologue.t:2:57), which dot_general reads: read where it is made: one loop nest
