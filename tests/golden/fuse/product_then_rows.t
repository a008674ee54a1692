# Not fused: a reduction needs the whole row, a product's tile has a part of it.
entry f(x: f32[B, 20], w: f32[30, 20]) -> f32[B, 30] { softmax(x @ w.T, -1) }
---
entry f
  kernel k0: gemm over [B, 30]
    computes dot_general (product_then_rows.t:2:64)
    stores f32[B, 30] dot_general (product_then_rows.t:2:64)
  kernel k1: row over [B, 30]
    computes reduce_max (product_then_rows.t:2:56), sub (product_then_rows.t:2:56), exp (product_then_rows.t:2:56), reduce_sum (product_then_rows.t:2:56), div (product_then_rows.t:2:56), mul (product_then_rows.t:2:56)
    stores f32[B, 30] mul (product_then_rows.t:2:56)
    not fused with dot_general (product_then_rows.t:2:64), which reduce_max reads: a reduction does not ride on a product's tile
    not fused with dot_general (product_then_rows.t:2:64), which sub reads: a kernel between them needs the one and feeds the other
    fused with reduce_max (product_then_rows.t:2:56), which sub reads: read where it is made: one loop nest
    fused with sub (product_then_rows.t:2:56), which exp reads: read where it is made: one loop nest
    fused with exp (product_then_rows.t:2:56), which reduce_sum reads: read where it is made: one loop nest
    fused with reduce_sum (product_then_rows.t:2:56), which div reads: read where it is made: one loop nest
    fused with exp (product_then_rows.t:2:56), which mul reads: read where it is made: one loop nest
