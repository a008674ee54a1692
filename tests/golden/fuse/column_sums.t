# Not fused: a sum over the first axis ends its loop nest, so a row reduction of it stands alone.
entry f(x: f32[B, 20]) -> f32[] { max(sum(x * x, 0), 0) }
---
entry f
  kernel k0: reduce over [B, 20]
    computes mul (column_sums.t:2:43), reduce_sum (column_sums.t:2:39)
    stores f32[20] reduce_sum (column_sums.t:2:39)
    fused with mul (column_sums.t:2:43), which reduce_sum reads: read where it is made: one loop nest
  kernel k1: row over [20]
    computes reduce_max (column_sums.t:2:35)
    stores f32[] reduce_max (column_sums.t:2:35)
    not fused with reduce_sum (column_sums.t:2:39), which reduce_max reads: a reduction over these axes ends its loop nest
