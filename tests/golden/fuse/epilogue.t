# What follows a product element by element rides on its register tile.
entry f(x: f32[B, 20], w: f32[30, 20], b: f32[30]) -> f32[B, 30] { relu(x @ w.T + b) }
---
entry f
  kernel k0: gemm over [B, 30]
    computes dot_general (epilogue.t:2:73), add (epilogue.t:2:73), less_equal (epilogue.t:2:68), select (epilogue.t:2:68)
    stores f32[B, 30] select (epilogue.t:2:68)
    fused with dot_general (epilogue.t:2:73), which add reads: read where it is made: one loop nest
    fused with add (epilogue.t:2:73), which less_equal reads: read where it is made: one loop nest
    fused with less_equal (epilogue.t:2:68), which select reads: read where it is made: one loop nest
