# A mask of positions and 1 / B are worked out where they are read.
entry f(x: f32[B, T, T]) -> f32[B, T, T] {
  i = arange(T)
  where(i[:, none] >= i[none], x, 0) / x.shape[0]
}
---
entry f
  kernel k0: elementwise over [B, T, T]
    computes select (generated.t:4:3), div (generated.t:4:3)
    stores f32[B, T, T] div (generated.t:4:3)
    fused with select (generated.t:4:3), which div reads: read where it is made: one loop nest
