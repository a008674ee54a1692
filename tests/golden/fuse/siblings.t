# Row kernels that read the same rows become one, though neither feeds the other.
entry f(x: f32[B, 16]) -> (f32[B], f32[B], i64[B]) { (sum(x, 1), max(x, 1), argmax(x, 1)) }
---
entry f
  kernel k0: row over [B, 16]
    computes reduce_sum (siblings.t:2:55), reduce_max (siblings.t:2:66), argmax (siblings.t:2:77)
    stores f32[B] reduce_sum (siblings.t:2:55), f32[B] reduce_max (siblings.t:2:66), i64[B] argmax (siblings.t:2:77)
    fused with reduce_sum (siblings.t:2:55), a sibling of reduce_max: both read the same values: one loop nest
    fused with reduce_sum (siblings.t:2:55), a sibling of argmax: both read the same values: one loop nest
