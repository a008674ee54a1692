# Not fused: what a sum over columns reads, and the caller gets too, is stored once.
entry f(x: f32[B, 20]) -> (f32[B, 20], f32[20]) {
  y = exp(x)
  (y, sum(y, 0))
}
---
entry f
  kernel k0: elementwise over [B, 20]
    computes exp (needed_elsewhere.t:3:7)
    stores f32[B, 20] exp (needed_elsewhere.t:3:7)
  kernel k1: reduce over [B, 20]
    computes reduce_sum (needed_elsewhere.t:4:7)
    stores f32[20] reduce_sum (needed_elsewhere.t:4:7)
    not fused with exp (needed_elsewhere.t:3:7), which reduce_sum reads: the value is needed elsewhere too: it is stored once
