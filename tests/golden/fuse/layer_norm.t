# Layer norm and its gradient: rows are one kernel each way; sums over the batch are kernels of their own.
use nn
entry f(x: f32[B, 32], g: f32[32], b: f32[32], s: f32[B, 32]) -> (f32[B, 32], f32[B, 32], f32[32], f32[32]) {
  x = leaf(x)
  g = leaf(g)
  b = leaf(b)
  c = x - mean(x, -1, keepdim = true)
  y = c * rsqrt(mean(c * c, -1, keepdim = true) + 1e-5) * g + b
  d = grad(sum(y * s), [x, g, b])
  (y, d[0], d[1], d[2])
}
---
entry f
  kernel k0: reduce over [B, 32]
    computes reduce_sum (layer_norm.t:8:7)
    stores f32[32] reduce_sum (layer_norm.t:8:7)
  kernel k1: row over [B, 32]
    computes reduce_sum (layer_norm.t:7:11), mul (layer_norm.t:7:11), sub (layer_norm.t:7:7), mul (layer_norm.t:8:22), reduce_sum (layer_norm.t:8:17), mul (layer_norm.t:8:17), add (layer_norm.t:8:17), rsqrt (layer_norm.t:8:11), mul (layer_norm.t:8:7), mul (layer_norm.t:8:7), add (layer_norm.t:8:7), mul (layer_norm.t:8:7), mul (layer_norm.t:8:7), mul (layer_norm.t:8:7), mul (layer_norm.t:8:7), reduce_sum (layer_norm.t:8:7), mul (layer_norm.t:8:11), mul (layer_norm.t:8:11), mul (layer_norm.t:8:11), mul (layer_norm.t:8:11), mul (layer_norm.t:8:17), mul (layer_norm.t:8:22), add (layer_norm.t:8:22), add (layer_norm.t:8:22), reduce_sum (layer_norm.t:7:7), neg (layer_norm.t:7:7), mul (layer_norm.t:7:11), add (layer_norm.t:7:11)
    stores f32[B, 32] add (layer_norm.t:8:7), f32[B, 32] mul (layer_norm.t:8:7), f32[B, 32] add (layer_norm.t:7:11)
    fused with reduce_sum (layer_norm.t:7:11), which mul reads: read where it is made: one loop nest
    fused with mul (layer_norm.t:7:11), which sub reads: read where it is made: one loop nest
    fused with sub (layer_norm.t:7:7), which mul reads: read where it is made: one loop nest
    fused with mul (layer_norm.t:8:22), which reduce_sum reads: read where it is made: one loop nest
    fused with reduce_sum (layer_norm.t:8:17), which mul reads: read where it is made: one loop nest
    fused with mul (layer_norm.t:8:17), which add reads: read where it is made: one loop nest
    fused with add (layer_norm.t:8:17), which rsqrt reads: read where it is made: one loop nest
    fused with sub (layer_norm.t:7:7), which mul reads: read where it is made: one loop nest
    fused with mul (layer_norm.t:8:7), which mul reads: read where it is made: one loop nest
    fused with mul (layer_norm.t:8:7), which add reads: read where it is made: one loop nest
    fused with mul (layer_norm.t:8:7), which mul reads: read where it is made: one loop nest
    fused with rsqrt (layer_norm.t:8:11), which mul reads: read where it is made: one loop nest
    fused with mul (layer_norm.t:8:7), which mul reads: read where it is made: one loop nest
    fused with sub (layer_norm.t:7:7), which mul reads: read where it is made: one loop nest
    fused with mul (layer_norm.t:8:7), which reduce_sum reads: read where it is made: one loop nest
    fused with rsqrt (layer_norm.t:8:11), which mul reads: read where it is made: one loop nest
    fused with rsqrt (layer_norm.t:8:11), which mul reads: read where it is made: one loop nest
    fused with mul (layer_norm.t:8:11), which mul reads: read where it is made: one loop nest
    fused with reduce_sum (layer_norm.t:8:7), which mul reads: read where it is made: one loop nest
    fused with mul (layer_norm.t:8:11), which mul reads: read where it is made: one loop nest
    fused with sub (layer_norm.t:7:7), which mul reads: read where it is made: one loop nest
    fused with mul (layer_norm.t:8:7), which add reads: read where it is made: one loop nest
    fused with mul (layer_norm.t:8:22), which add reads: read where it is made: one loop nest
    fused with add (layer_norm.t:8:22), which reduce_sum reads: read where it is made: one loop nest
    fused with reduce_sum (layer_norm.t:7:7), which neg reads: read where it is made: one loop nest
    fused with neg (layer_norm.t:7:7), which mul reads: read where it is made: one loop nest
    fused with add (layer_norm.t:8:22), which add reads: read where it is made: one loop nest
  kernel k2: reduce over [B, 32]
    computes reduce_sum (layer_norm.t:8:7)
    stores f32[32] reduce_sum (layer_norm.t:8:7)
    not fused with mul (layer_norm.t:8:7), which reduce_sum reads: the loop nests differ
