# Not fused: an epilogue that would be unrolled too often over the tile.
entry f(x: f32[B, 20], w: f32[30, 20]) -> f32[B, 30] { tanh(exp(tanh(exp(x @ w.T)))) }
---
entry f
  kernel k0: gemm over [B, 30]
    computes dot_general (epilogue_long.t:2:74), exp (epilogue_long.t:2:70), tanh (epilogue_long.t:2:65)
    stores f32[B, 30] tanh (epilogue_long.t:2:65)
    fused with dot_general (epilogue_long.t:2:74), which exp reads: read where it is made: one loop nest
    fused with exp (epilogue_long.t:2:70), which tanh reads: read where it is made: one loop nest
  kernel k1: elementwise over [B, 30]
    computes exp (epilogue_long.t:2:61), tanh (epilogue_long.t:2:56)
    stores f32[B, 30] tanh (epilogue_long.t:2:56)
    not fused with tanh (epilogue_long.t:2:65), which exp reads: the epilogue would be too long for a register tile
    fused with exp (epilogue_long.t:2:61), which tanh reads: read where it is made: one loop nest
