# A value that one reduction alone reads is made with it where the tile stores anyway what it is made of, else on the tile.
use nn
entry stored(x: f32[B, 8], w: f32[8, 6], t: f32[B, 6]) -> (f32[B, 6], f32[B]) where B <= 30 {
  y = x @ w
  (y, sum(y * t, 1))
}
entry not_stored(x: f32[B, 8], w: f32[8, 6], t: f32[B, 6]) -> f32[B] where B <= 30 { sum((x @ w) * t, 1) }
entry read_twice(x: f32[B, 8], w: f32[8, 6], t: f32[B, 6]) -> (f32[B, 6], f32[B], f32[6]) where B <= 30 {
  y = x @ w
  z = y * t
  (y, sum(z, 1), sum(z, 0))
}
entry attention(q: bf16[B, T, 8], k: bf16[B, T, 8], v: bf16[B, T, 8], w: bf16[8, 8], s: bf16[B, T, 8]) -> (bf16[B, T, 8], f32[B, T]) where B <= 3, T <= 90 {
  y = nn.attention(q, k, v)
  (y @ w, sum(y.to(f32) * s.to(f32), -1))
}
---
entry stored
  kernel k0: gemm over [B, 6]
    computes dot_general (reduced_apart.t:4:7)
    stores f32[B, 6] dot_general (reduced_apart.t:4:7)
  kernel k1: row over [B, 6]
    computes mul (reduced_apart.t:5:11), reduce_sum (reduced_apart.t:5:7)
    stores f32[B] reduce_sum (reduced_apart.t:5:7)
    not fused with dot_general (reduced_apart.t:4:7), which mul reads: a reduction alone reads it: it is made there, of what is stored anyway
    fused with mul (reduced_apart.t:5:11), which reduce_sum reads: read where it is made: one loop nest
entry not_stored
  kernel k0: gemm over [B, 6]
    computes dot_general (reduced_apart.t:7:91), mul (reduced_apart.t:7:90)
    stores f32[B, 6] mul (reduced_apart.t:7:90)
    fused with dot_general (reduced_apart.t:7:91), which mul reads: read where it is made: one loop nest
  kernel k1: row over [B, 6]
    computes reduce_sum (reduced_apart.t:7:86)
    stores f32[B] reduce_sum (reduced_apart.t:7:86)
    not fused with mul (reduced_apart.t:7:90), which reduce_sum reads: a reduction does not ride on a product's tile
entry read_twice
  kernel k0: gemm over [B, 6]
    computes dot_general (reduced_apart.t:9:7), mul (reduced_apart.t:10:7)
    stores f32[B, 6] dot_general (reduced_apart.t:9:7), f32[B, 6] mul (reduced_apart.t:10:7)
    fused with dot_general (reduced_apart.t:9:7), which mul reads: read where it is made: one loop nest
  kernel k1: row over [B, 6]
    computes reduce_sum (reduced_apart.t:11:7)
    stores f32[B] reduce_sum (reduced_apart.t:11:7)
    not fused with mul (reduced_apart.t:10:7), which reduce_sum reads: a reduction does not ride on a product's tile
  kernel k2: reduce over [B, 6]
    computes reduce_sum (reduced_apart.t:11:18)
    stores f32[6] reduce_sum (reduced_apart.t:11:18)
    not fused with mul (reduced_apart.t:10:7), which reduce_sum reads: a reduction does not ride on a product's tile
entry attention
  kernel k0: attention over [B, T, 8]
    computes dot_general (reduced_apart.t:14:7), convert (reduced_apart.t:14:7), mul (reduced_apart.t:14:7), convert (reduced_apart.t:14:7), reduce_max (reduced_apart.t:14:7), convert (reduced_apart.t:14:7), sub (reduced_apart.t:14:7), convert (reduced_apart.t:14:7), exp (reduced_apart.t:14:7), convert (reduced_apart.t:14:7), reduce_sum (reduced_apart.t:14:7), convert (reduced_apart.t:14:7), div (reduced_apart.t:14:7), convert (reduced_apart.t:14:7), mul (reduced_apart.t:14:7), convert (reduced_apart.t:14:7), dot_general (reduced_apart.t:14:7), convert (reduced_apart.t:14:7)
    stores bf16[B, T, 8] convert (reduced_apart.t:14:7)
    fused with dot_general (reduced_apart.t:14:7), which convert reads: read where it is made: one loop nest
    fused with convert (reduced_apart.t:14:7), which mul reads: read where it is made: one loop nest
    fused with mul (reduced_apart.t:14:7), which convert reads: read where it is made: one loop nest
    fused with convert (reduced_apart.t:14:7), which reduce_max reads: scores, softmax and product of attention: one kernel, block by block of keys
    fused with reduce_max (reduced_apart.t:14:7), which convert reads: read where it is made: one loop nest
    fused with convert (reduced_apart.t:14:7), which sub reads: scores, softmax and product of attention: one kernel, block by block of keys
    fused with convert (reduced_apart.t:14:7), which sub reads: read where it is made: one loop nest
    fused with sub (reduced_apart.t:14:7), which convert reads: read where it is made: one loop nest
    fused with convert (reduced_apart.t:14:7), which exp reads: read where it is made: one loop nest
    fused with exp (reduced_apart.t:14:7), which convert reads: read where it is made: one loop nest
    fused with convert (reduced_apart.t:14:7), which reduce_sum reads: read where it is made: one loop nest
    fused with reduce_sum (reduced_apart.t:14:7), which convert reads: read where it is made: one loop nest
    fused with convert (reduced_apart.t:14:7), which div reads: read where it is made: one loop nest
    fused with div (reduced_apart.t:14:7), which convert reads: read where it is made: one loop nest
    fused with convert (reduced_apart.t:14:7), which mul reads: read where it is made: one loop nest
    fused with mul (reduced_apart.t:14:7), which convert reads: read where it is made: one loop nest
    fused with convert (reduced_apart.t:14:7), which dot_general reads: scores, softmax and product of attention: one kernel, block by block of keys
    fused with dot_general (reduced_apart.t:14:7), which convert reads: read where it is made: one loop nest
  kernel k1: gemm over [B, T, 8]
    computes dot_general (reduced_apart.t:15:4), convert (reduced_apart.t:15:4)
    stores bf16[B, T, 8] convert (reduced_apart.t:15:4)
    not fused with convert (reduced_apart.t:14:7), which dot_general reads: an operand of a product is read many times: it is stored once
    fused with dot_general (reduced_apart.t:15:4), which convert reads: read where it is made: one loop nest
  kernel k2: row over [B, T, 8]
    computes mul (reduced_apart.t:15:15), reduce_sum (reduced_apart.t:15:11)
    stores f32[B, T] reduce_sum (reduced_apart.t:15:11)
    not fused with convert (reduced_apart.t:14:7), which mul reads: a reduction alone reads it: it is made there, of what is stored anyway
    fused with mul (reduced_apart.t:15:15), which reduce_sum reads: read where it is made: one loop nest
