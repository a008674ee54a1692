# Movement is free: a row and a column that are spread are read where they are needed.
entry f(x: f32[M, N], a: f32[N], b: f32[M]) -> f32[M, N] { x * a + b[:, none] }
---
entry f
  kernel k0: elementwise over [M, N]
    computes mul (broadcast.t:2:60), add (broadcast.t:2:60)
    stores f32[M, N] add (broadcast.t:2:60)
    fused with mul (broadcast.t:2:60), which add reads: read where it is made: one loop nest
