# Weights that are needed elsewhere too are stored: three kernels.
use nn
entry f(q: f32[T, 8], k: f32[S, 8], v: f32[S, 8]) -> (f32[T, 8], f32[T, S]) { w = softmax(q @ k.mT, -1); (w @ v, w) }
---
entry f
  kernel k0: gemm over [T, S]
    computes dot_general (attention_kept.t:3:91)
    stores f32[T, S] dot_general (attention_kept.t:3:91)
  kernel k1: row over [T, S]
    computes reduce_max (attention_kept.t:3:83), sub (attention_kept.t:3:83), exp (attention_kept.t:3:83), reduce_sum (attention_kept.t:3:83), div (attention_kept.t:3:83), mul (attention_kept.t:3:83)
    stores f32[T, S] mul (attention_kept.t:3:83)
    not fused with dot_general (attention_kept.t:3:91), which reduce_max reads: a reduction does not ride on a product's tile
    not fused with dot_general (attention_kept.t:3:91), which sub reads: a kernel between them needs the one and feeds the other
    fused with reduce_max (attention_kept.t:3:83), which sub reads: read where it is made: one loop nest
    fused with sub (attention_kept.t:3:83), which exp reads: read where it is made: one loop nest
    fused with exp (attention_kept.t:3:83), which reduce_sum reads: read where it is made: one loop nest
    fused with reduce_sum (attention_kept.t:3:83), which div reads: read where it is made: one loop nest
    fused with exp (attention_kept.t:3:83), which mul reads: read where it is made: one loop nest
  kernel k2: gemm over [T, 8]
    computes dot_general (attention_kept.t:3:107)
    stores f32[T, 8] dot_general (attention_kept.t:3:107)
    not fused with mul (attention_kept.t:3:83), which dot_general reads: the scores or weights of attention are needed elsewhere too: they are stored
