# Cross-entropy, forward and backward: one pass over the rows gives the loss of each and the gradient.
use loss
entry f(x: f32[B, 10], y: i64[B]) -> (f32[], f32[B, 10]) {
  x = leaf(x)
  l = loss.cross_entropy(x, y)
  (l, grad(l, x))
}
---
entry f
  kernel k0: row over [B, 10]
    computes reduce_max (cross_entropy.t:5:7), sub (cross_entropy.t:5:7), exp (cross_entropy.t:5:7), reduce_sum (cross_entropy.t:5:7), log (cross_entropy.t:5:7), sub (cross_entropy.t:5:7), gather (cross_entropy.t:5:7), scatter_add (cross_entropy.t:5:7), reduce_sum (cross_entropy.t:5:7), neg (cross_entropy.t:5:7), div (cross_entropy.t:5:7), mul (cross_entropy.t:5:7), add (cross_entropy.t:5:7)
    stores f32[B, 1] gather (cross_entropy.t:5:7), f32[B, 10] add (cross_entropy.t:5:7)
    fused with reduce_max (cross_entropy.t:5:7), which sub reads: read where it is made: one loop nest
    fused with sub (cross_entropy.t:5:7), which exp reads: read where it is made: one loop nest
    fused with exp (cross_entropy.t:5:7), which reduce_sum reads: read where it is made: one loop nest
    fused with reduce_sum (cross_entropy.t:5:7), which log reads: read where it is made: one loop nest
    fused with sub (cross_entropy.t:5:7), which sub reads: read where it is made: one loop nest
    fused with sub (cross_entropy.t:5:7), which gather reads: read where it is made: one loop nest
    fused with scatter_add (cross_entropy.t:5:7), which reduce_sum reads: read where it is made: one loop nest
    fused with reduce_sum (cross_entropy.t:5:7), which neg reads: read where it is made: one loop nest
    fused with neg (cross_entropy.t:5:7), which div reads: read where it is made: one loop nest
    fused with reduce_sum (cross_entropy.t:5:7), which div reads: read where it is made: one loop nest
    fused with exp (cross_entropy.t:5:7), which mul reads: read where it is made: one loop nest
    fused with scatter_add (cross_entropy.t:5:7), which add reads: read where it is made: one loop nest
  kernel k1: reduce over [B, 1]
    computes reduce_sum (cross_entropy.t:5:7), div (cross_entropy.t:5:7), neg (cross_entropy.t:5:7)
    stores f32[] neg (cross_entropy.t:5:7)
    not fused with gather (cross_entropy.t:5:7), which reduce_sum reads: the loop nests differ
    fused with reduce_sum (cross_entropy.t:5:7), which div reads: read where it is made: one loop nest
    fused with div (cross_entropy.t:5:7), which neg reads: read where it is made: one loop nest
