# On a GPU the gradient of attention works scores and weights out anew: a copy of what leads to each gradient is a group.
# level: gpu
use nn
entry f(q: f32[B, T, 8], k: f32[B, T, 8], v: f32[B, T, 8]) -> (f32[B, T, 8], f32[B, T, 8], f32[B, T, 8]) where B <= 3, T <= 90 {
  [q, k, v] = [leaf(q), leaf(k), leaf(v)]
  g = grad(sum(exp(nn.attention(q, k, v, causal = true))), [q, k, v])
  (g[0], g[1], g[2])
}
---
entry f
  kernel k0: attention over [B, T, 8]
    computes dot_general (attention_grad.t:6:20), mul (attention_grad.t:6:20), select (attention_grad.t:6:20), reduce_max (attention_grad.t:6:20), equal (attention_grad.t:6:20), select (attention_grad.t:6:20), sub (attention_grad.t:6:20), exp (attention_grad.t:6:20), reduce_sum (attention_grad.t:6:20), log (attention_grad.t:6:20), add (attention_grad.t:6:20), select (attention_grad.t:6:20), equal (attention_grad.t:6:20), select (attention_grad.t:6:20), div (attention_grad.t:6:20), mul (attention_grad.t:6:20), dot_general (attention_grad.t:6:20), exp (attention_grad.t:6:16), mul (attention_grad.t:6:20)
    stores f32[B, T] select (attention_grad.t:6:20), f32[B, T, 8] exp (attention_grad.t:6:16), f32[B, T, 8] mul (attention_grad.t:6:20)
    fused with dot_general (attention_grad.t:6:20), which mul reads: read where it is made: one loop nest
    fused with mul (attention_grad.t:6:20), which select reads: read where it is made: one loop nest
    fused with select (attention_grad.t:6:20), which reduce_max reads: scores, softmax and product of attention: one kernel, block by block of keys
    fused with reduce_max (attention_grad.t:6:20), which equal reads: read where it is made: one loop nest
    fused with equal (attention_grad.t:6:20), which select reads: read where it is made: one loop nest
    fused with select (attention_grad.t:6:20), which sub reads: scores, softmax and product of attention: one kernel, block by block of keys
    fused with select (attention_grad.t:6:20), which sub reads: read where it is made: one loop nest
    fused with sub (attention_grad.t:6:20), which exp reads: read where it is made: one loop nest
    fused with exp (attention_grad.t:6:20), which reduce_sum reads: read where it is made: one loop nest
    fused with reduce_sum (attention_grad.t:6:20), which log reads: read where it is made: one loop nest
    fused with reduce_max (attention_grad.t:6:20), which add reads: read where it is made: one loop nest
    fused with equal (attention_grad.t:6:20), which select reads: read where it is made: one loop nest
    fused with reduce_sum (attention_grad.t:6:20), which equal reads: read where it is made: one loop nest
    fused with equal (attention_grad.t:6:20), which select reads: read where it is made: one loop nest
    fused with select (attention_grad.t:6:20), which div reads: read where it is made: one loop nest
    fused with exp (attention_grad.t:6:20), which mul reads: read where it is made: one loop nest
    fused with mul (attention_grad.t:6:20), which dot_general reads: scores, softmax and product of attention: one kernel, block by block of keys
    fused with dot_general (attention_grad.t:6:20), which exp reads: read where it is made: one loop nest
    fused with dot_general (attention_grad.t:6:20), which mul reads: read where it is made: one loop nest
  kernel k1: row over [B, T, 8]
    computes reduce_sum (attention_grad.t:6:20)
    stores f32[B, T] reduce_sum (attention_grad.t:6:20)
    not fused with mul (attention_grad.t:6:20), which reduce_sum reads: a reduction does not ride on a product's tile
  kernel k2: attention_grad over [B, T, 8]
    computes dot_general (attention_grad.t:6:20), mul (attention_grad.t:6:20), select (attention_grad.t:6:20), sub (attention_grad.t:6:20), exp (attention_grad.t:6:20), dot_general (attention_grad.t:6:20), sub (attention_grad.t:6:20), mul (attention_grad.t:6:20), select (attention_grad.t:6:20), mul (attention_grad.t:6:20), dot_general (attention_grad.t:6:20), dot_general (attention_grad.t:6:20)
    stores f32[B, T, 8] dot_general (attention_grad.t:6:20), f32[B, T, 8] dot_general (attention_grad.t:6:20)
    not fused with select (attention_grad.t:6:20), which sub reads: an operand of attention is read many times: it is stored once
    not fused with exp (attention_grad.t:6:16), which dot_general reads: an operand of attention is read many times: it is stored once
    not fused with reduce_sum (attention_grad.t:6:20), which sub reads: an operand of attention is read many times: it is stored once
    not fused with exp (attention_grad.t:6:16), which dot_general reads: an operand of attention is read many times: it is stored once
  kernel k3: attention_grad over [B, T, 8]
    computes dot_general (attention_grad.t:6:20), mul (attention_grad.t:6:20), select (attention_grad.t:6:20), sub (attention_grad.t:6:20), exp (attention_grad.t:6:20), dot_general (attention_grad.t:6:20), sub (attention_grad.t:6:20), mul (attention_grad.t:6:20), select (attention_grad.t:6:20), mul (attention_grad.t:6:20), dot_general (attention_grad.t:6:20)
    stores f32[B, T, 8] dot_general (attention_grad.t:6:20)
    not fused with select (attention_grad.t:6:20), which sub reads: an operand of attention is read many times: it is stored once
    not fused with exp (attention_grad.t:6:16), which dot_general reads: an operand of attention is read many times: it is stored once
    not fused with reduce_sum (attention_grad.t:6:20), which sub reads: an operand of attention is read many times: it is stored once
