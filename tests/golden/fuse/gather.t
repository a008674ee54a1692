# A gather is worked out where it is read.
entry f(t: f32[50, 8], i: i64[B]) -> f32[B, 8] { t[i] * 2 }
---
entry f
  kernel k0: elementwise over [B, 8]
    computes gather (gather.t:2:50), mul (gather.t:2:50)
    stores f32[B, 8] mul (gather.t:2:50)
    fused with gather (gather.t:2:50), which mul reads: read where it is made: one loop nest
