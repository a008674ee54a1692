# 16 bits as f32 is free for every reader, also through moves; the rounding rides with what is rounded, and only 16 bits are stored.
param w: bf16[8, 16] = full([8, 16], 0.5, bf16)
entry f(x: bf16[B, 8], c: bf16[16]) -> {y: bf16[B, 16], p: bf16[B, 16]} where B <= 9 {
  h = gelu(x @ w + c)
  {y = h, p = softmax(h, -1)}
}
---
entry f
  kernel k0: gemm over [B, 16]
    computes dot_general (half.t:4:12), convert (half.t:4:12), add (half.t:4:12), convert (half.t:4:12), mul (half.t:4:7), convert (half.t:4:7), mul (half.t:4:7), convert (half.t:4:7), erf (half.t:4:7), convert (half.t:4:7), add (half.t:4:7), convert (half.t:4:7), mul (half.t:4:7), convert (half.t:4:7)
    stores bf16[B, 16] convert (half.t:4:7)
    fused with dot_general (half.t:4:12), which convert reads: read where it is made: one loop nest
    fused with convert (half.t:4:12), which add reads: read where it is made: one loop nest
    fused with add (half.t:4:12), which convert reads: read where it is made: one loop nest
    fused with convert (half.t:4:12), which mul reads: read where it is made: one loop nest
    fused with mul (half.t:4:7), which convert reads: read where it is made: one loop nest
    fused with convert (half.t:4:12), which mul reads: read where it is made: one loop nest
    fused with mul (half.t:4:7), which convert reads: read where it is made: one loop nest
    fused with convert (half.t:4:7), which erf reads: read where it is made: one loop nest
    fused with erf (half.t:4:7), which convert reads: read where it is made: one loop nest
    fused with convert (half.t:4:7), which add reads: read where it is made: one loop nest
    fused with add (half.t:4:7), which convert reads: read where it is made: one loop nest
    fused with convert (half.t:4:7), which mul reads: read where it is made: one loop nest
    fused with mul (half.t:4:7), which convert reads: read where it is made: one loop nest
  kernel k1: row over [B, 16]
    computes reduce_max (half.t:5:15), convert (half.t:5:15), sub (half.t:5:15), convert (half.t:5:15), exp (half.t:5:15), convert (half.t:5:15), reduce_sum (half.t:5:15), convert (half.t:5:15), div (half.t:5:15), convert (half.t:5:15), mul (half.t:5:15), convert (half.t:5:15)
    stores bf16[B, 16] convert (half.t:5:15)
    not fused with convert (half.t:4:7), which reduce_max reads: a reduction does not ride on a product's tile
    fused with reduce_max (half.t:5:15), which convert reads: read where it is made: one loop nest
    not fused with convert (half.t:4:7), which sub reads: a kernel between them needs the one and feeds the other
    fused with convert (half.t:5:15), which sub reads: read where it is made: one loop nest
    fused with sub (half.t:5:15), which convert reads: read where it is made: one loop nest
    fused with convert (half.t:5:15), which exp reads: read where it is made: one loop nest
    fused with exp (half.t:5:15), which convert reads: read where it is made: one loop nest
    fused with convert (half.t:5:15), which reduce_sum reads: read where it is made: one loop nest
    fused with reduce_sum (half.t:5:15), which convert reads: read where it is made: one loop nest
    fused with convert (half.t:5:15), which div reads: read where it is made: one loop nest
    fused with div (half.t:5:15), which convert reads: read where it is made: one loop nest
    fused with convert (half.t:5:15), which mul reads: read where it is made: one loop nest
    fused with mul (half.t:5:15), which convert reads: read where it is made: one loop nest
