# Copies that a program writes itself are nodes as all others, and not those that a gradient of attention has.
# level: gpu
entry f(x: f32[4]) -> (f32[4], f32[4], f32[4]) {
  v0: f32[4] = exp(x, copy = 1)
  v1: f32[4] = exp(x, copy = 2147483647)
  v2: f32[4] = sin(x, copy = 1)
  (v0, v1, v2)
}
---
entry f
  kernel k0: elementwise over [4]
    computes exp (copies.t:4:3)
    stores f32[4] exp (copies.t:4:3)
  kernel k1: elementwise over [4]
    computes exp (copies.t:5:3)
    stores f32[4] exp (copies.t:5:3)
  kernel k2: elementwise over [4]
    computes sin (copies.t:6:3)
    stores f32[4] sin (copies.t:6:3)
