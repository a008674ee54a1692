# Not in place: another task still needs the old value.
state s: f32[8, 8] = zeros([8, 8])
entry f(x: f32[8]) { s <- s.T + x }
---
plan f(; in x0: f32[8], inout c0: f32[8, 8]) {
  buf t5: f32[8, 8] at 0
  launch f_0_elementwise.main(; p2 = c0, x1 = x0, y5 = t5)
  barrier
  copy c0 <- t5 commit
}

plan sinter_init(; inout c0: f32[8, 8]) {
  launch sinter_init_0_elementwise.main(; y2 = c0) commit
}
