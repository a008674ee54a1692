# An update that reads only the element it stores is in place.
state s: f32[100] = zeros([100])
entry f(x: f32[100]) { s <- s * 0.9 + x }
---
plan f(; in x0: f32[100], inout c0: f32[100]) {
  launch f_0_elementwise.main(; p2 = c0, x1 = x0, y5 = c0) commit
}

plan sinter_init(; inout c0: f32[100]) {
  launch sinter_init_0_elementwise.main(; y2 = c0) commit
}
