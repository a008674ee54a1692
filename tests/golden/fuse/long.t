# Not fused: a kernel has at most 256 nodes.
# only: too long
entry f(x: f32[N]) -> f32[N] {
  for i in 0..257 { x = sin(x) }
  x
}
---
    not fused with sin (long.t:4:25), which sin reads: the kernel would be too long
