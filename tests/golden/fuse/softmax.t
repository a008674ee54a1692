# Reductions over the last axis and all that is made of them are one row kernel.
entry f(x: f32[B, 10]) -> f32[B, 10] { softmax(x, -1) }
---
entry f
  kernel k0: row over [B, 10]
    computes reduce_max (softmax.t:2:40), sub (softmax.t:2:40), exp (softmax.t:2:40), reduce_sum (softmax.t:2:40), div (softmax.t:2:40), mul (softmax.t:2:40)
    stores f32[B, 10] mul (softmax.t:2:40)
    fused with reduce_max (softmax.t:2:40), which sub reads: read where it is made: one loop nest
    fused with sub (softmax.t:2:40), which exp reads: read where it is made: one loop nest
    fused with exp (softmax.t:2:40), which reduce_sum reads: read where it is made: one loop nest
    fused with reduce_sum (softmax.t:2:40), which div reads: read where it is made: one loop nest
    fused with exp (softmax.t:2:40), which mul reads: read where it is made: one loop nest
