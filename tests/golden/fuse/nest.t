# Not fused: a scatter is a plain loop nest that stands alone.
entry f(x: f32[6, 4], i: i64[B], u: f32[B, 4]) -> f32[6, 4] { index_add(x * 2, i, u + 1) * 3 }
---
entry f
  kernel k0: elementwise over [6, 4]
    computes mul (nest.t:2:73)
    stores f32[6, 4] mul (nest.t:2:73)
  kernel k1: elementwise over [B, 4]
    computes add (nest.t:2:83)
    stores f32[B, 4] add (nest.t:2:83)
  kernel k2: nest over [6, 4]
    computes scatter_add (nest.t:2:63)
    stores f32[6, 4] scatter_add (nest.t:2:63)
    not fused with mul (nest.t:2:73), which scatter_add reads: a plain loop nest stands alone
    not fused with add (nest.t:2:83), which scatter_add reads: a plain loop nest stands alone
  kernel k3: elementwise over [6, 4]
    computes mul (nest.t:2:63)
    stores f32[6, 4] mul (nest.t:2:63)
    not fused with scatter_add (nest.t:2:63), which mul reads: a plain loop nest stands alone
