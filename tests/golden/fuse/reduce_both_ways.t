# Not fused: sums over rows and over columns run over one value in different nests, so it is stored.
entry f(x: f32[B, 20]) -> (f32[B], f32[20]) {
  y = exp(x)
  (sum(y, 1), sum(y, 0))
}
---
entry f
  kernel k0: row over [B, 20]
    computes exp (reduce_both_ways.t:3:7), reduce_sum (reduce_both_ways.t:4:4)
    stores f32[B, 20] exp (reduce_both_ways.t:3:7), f32[B] reduce_sum (reduce_both_ways.t:4:4)
    fused with exp (reduce_both_ways.t:3:7), which reduce_sum reads: read where it is made: one loop nest
  kernel k1: reduce over [B, 20]
    computes reduce_sum (reduce_both_ways.t:4:15)
    stores f32[20] reduce_sum (reduce_both_ways.t:4:15)
    not fused with exp (reduce_both_ways.t:3:7), which reduce_sum reads: the loop nests differ
