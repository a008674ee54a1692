# Scores, softmax and the product with the values are one kernel.
use nn
entry f(q: f32[T, 8], k: f32[S, 8], v: f32[S, 8]) -> f32[T, 8] { nn.attention(q, k, v, causal = true) }
---
entry f
  kernel k0: attention over [T, 8]
    computes dot_general (attention.t:3:66), mul (attention.t:3:66), select (attention.t:3:66), reduce_max (attention.t:3:66), equal (attention.t:3:66), select (attention.t:3:66), sub (attention.t:3:66), exp (attention.t:3:66), reduce_sum (attention.t:3:66), equal (attention.t:3:66), select (attention.t:3:66), div (attention.t:3:66), mul (attention.t:3:66), dot_general (attention.t:3:66)
    stores f32[T, 8] dot_general (attention.t:3:66)
    fused with dot_general (attention.t:3:66), which mul reads: read where it is made: one loop nest
    fused with mul (attention.t:3:66), which select reads: read where it is made: one loop nest
    fused with select (attention.t:3:66), which reduce_max reads: scores, softmax and product of attention: one kernel, block by block of keys
    fused with reduce_max (attention.t:3:66), which equal reads: read where it is made: one loop nest
    fused with equal (attention.t:3:66), which select reads: read where it is made: one loop nest
    fused with select (attention.t:3:66), which sub reads: scores, softmax and product of attention: one kernel, block by block of keys
    fused with select (attention.t:3:66), which sub reads: read where it is made: one loop nest
    fused with sub (attention.t:3:66), which exp reads: read where it is made: one loop nest
    fused with exp (attention.t:3:66), which reduce_sum reads: read where it is made: one loop nest
    fused with reduce_sum (attention.t:3:66), which equal reads: read where it is made: one loop nest
    fused with equal (attention.t:3:66), which select reads: read where it is made: one loop nest
    fused with select (attention.t:3:66), which div reads: read where it is made: one loop nest
    fused with exp (attention.t:3:66), which mul reads: read where it is made: one loop nest
    fused with mul (attention.t:3:66), which dot_general reads: scores, softmax and product of attention: one kernel, block by block of keys
