# Not fused: a sum over columns of what rows make has another loop nest.
entry f(x: f32[B, 20]) -> f32[20] { sum(softmax(x, -1), 0) }
---
entry f
  kernel k0: row over [B, 20]
    computes reduce_max (rows_then_columns.t:2:41), sub (rows_then_columns.t:2:41), exp (rows_then_columns.t:2:41), reduce_sum (rows_then_columns.t:2:41), div (rows_then_columns.t:2:41), mul (rows_then_columns.t:2:41)
    stores f32[B, 20] mul (rows_then_columns.t:2:41)
    fused with reduce_max (rows_then_columns.t:2:41), which sub reads: read where it is made: one loop nest
    fused with sub (rows_then_columns.t:2:41), which exp reads: read where it is made: one loop nest
    fused with exp (rows_then_columns.t:2:41), which reduce_sum reads: read where it is made: one loop nest
    fused with reduce_sum (rows_then_columns.t:2:41), which div reads: read where it is made: one loop nest
    fused with exp (rows_then_columns.t:2:41), which mul reads: read where it is made: one loop nest
  kernel k1: reduce over [B, 20]
    computes reduce_sum (rows_then_columns.t:2:37)
    stores f32[20] reduce_sum (rows_then_columns.t:2:37)
    not fused with mul (rows_then_columns.t:2:41), which reduce_sum reads: the loop nests differ
