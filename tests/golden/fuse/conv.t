# Bias and relu ride on the convolution; what the next one reads is stored.
entry f(x: f32[B, 3, 8, 8], w: f32[16, 3, 3, 3], b: f32[16], v: f32[4, 16, 1, 1]) -> f32[B, 4, 6, 6] { conv(relu(conv(x, w) + b[:, none, none]), v) }
---
entry f
  kernel k0: conv over [B, 16, 6, 6]
    computes conv_general (conv.t:2:114), add (conv.t:2:114), less_equal (conv.t:2:109), select (conv.t:2:109)
    stores f32[B, 16, 6, 6] select (conv.t:2:109)
    fused with conv_general (conv.t:2:114), which add reads: read where it is made: one loop nest
    fused with add (conv.t:2:114), which less_equal reads: read where it is made: one loop nest
    fused with less_equal (conv.t:2:109), which select reads: read where it is made: one loop nest
  kernel k1: conv over [B, 4, 6, 6]
    computes conv_general (conv.t:2:104)
    stores f32[B, 4, 6, 6] conv_general (conv.t:2:104)
    not fused with select (conv.t:2:109), which conv_general reads: an operand of a convolution is read many times: it is stored once
