# A value with two readers is fused, if both are in the kernel.
entry f(x: f32[B, 20]) -> f32[20] {
  y = exp(x)
  sum(y * y + y, 0)
}
---
entry f
  kernel k0: reduce over [B, 20]
    computes exp (used_twice.t:3:7), mul (used_twice.t:4:7), add (used_twice.t:4:7), reduce_sum (used_twice.t:4:3)
    stores f32[20] reduce_sum (used_twice.t:4:3)
    fused with exp (used_twice.t:3:7), which mul reads: read where it is made: one loop nest
    fused with exp (used_twice.t:3:7), which add reads: read where it is made: one loop nest
    fused with add (used_twice.t:4:7), which reduce_sum reads: read where it is made: one loop nest
